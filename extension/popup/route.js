// The way of a page as a chain: this computer, each hop, the sites.

import { country, flag } from "../lib/format.js";
import { LOCALE, text } from "../lib/words.js";

let shown = "";

/**
 * @param {HTMLElement} list
 * @param {import("../lib/messages.js").Hop[]} hops
 */
export function showRoute(list, hops) {
  const now = JSON.stringify(hops);
  if (now === shown) return;
  shown = now;
  const middle = hops.map(({ nickname, country: code = "" }) => {
    const step = make([flag(code), nickname || country(code, LOCALE) || text("hop_unnamed")].filter(Boolean).join(" "));
    step.className = "hop";
    if (code) step.title = country(code, LOCALE);
    return step;
  });
  list.replaceChildren(make(text("route_you")), ...middle, make(text("route_sites")));
}

function make(words) {
  const item = document.createElement("li");
  item.append(Object.assign(document.createElement("bdi"), { textContent: words }));
  return item;
}

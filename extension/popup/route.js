// The way of a page as a chain: this computer, each hop, the sites.

import { country, flag } from "../lib/format.js";
import { counted, LOCALE, text } from "../lib/words.js";

let shown = "";

/**
 * @param {HTMLElement} list
 * @param {import("../lib/messages.js").Hop[]} hops
 */
export function showRoute(list, hops) {
  const now = JSON.stringify(hops);
  if (now === shown) return;
  shown = now;
  list.replaceChildren(make(text("route_you")), ...hops.map(step), make(text("route_sites")));
}

let others = "";

/** The routes that stand ready, or carry what rules ask for. @param {import("../lib/messages.js").Hop[][]} routes */
export function showOthers(routes) {
  const now = JSON.stringify(routes);
  if (now === others) return;
  others = now;
  document.getElementById("others").hidden = routes.length === 0;
  document.getElementById("others-count").textContent = counted("others", routes.length);
  const lists = routes.map((hops) => {
    const list = Object.assign(document.createElement("ol"), { className: "route" });
    list.append(...hops.map(step));
    return list;
  });
  document.getElementById("others-list").replaceChildren(...lists);
}

function step({ nickname, country: code = "" }) {
  const item = make([flag(code), nickname || country(code, LOCALE) || text("hop_unnamed")].filter(Boolean).join(" "));
  item.className = "hop";
  if (code) item.title = country(code, LOCALE);
  return item;
}

function make(words) {
  const item = document.createElement("li");
  item.append(Object.assign(document.createElement("bdi"), { textContent: words }));
  return item;
}

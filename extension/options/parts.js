// The parts of the settings page: one is shown at a time, named in the address behind #.

import { text } from "../lib/words.js";

const PARTS = ["connection", "network", "rules", "lists", "settings", "mode", "log", "failures", "diagnostics", "about"];
/** What needs no helper. */
const ALONE = ["settings", "mode", "log", "failures", "diagnostics", "about"];
/** What a person who just looks wants to see first. */
const FIRST = "connection";

const nav = document.getElementById("nav");
const sections = document.querySelectorAll("[data-part]");

for (const part of PARTS) {
  const link = document.createElement("a");
  link.href = `#${part}`;
  link.textContent = text(`nav_${part}`);
  nav.append(link);
}

function show() {
  const named = location.hash.slice(1);
  const part = PARTS.includes(named) ? named : FIRST;
  for (const section of sections) section.hidden = section.dataset.part !== part;
  for (const link of nav.children) link.ariaCurrent = link.hash === `#${part}` ? "page" : null;
  document.body.dataset.part = part;
  document.body.classList.toggle("alone", ALONE.includes(part));
}

/** Without a network there is nothing to choose yet: whoever named no part is led to where one joins. */
export function leadToNetwork() {
  if (!PARTS.includes(location.hash.slice(1))) location.replace("#network");
}

addEventListener("hashchange", show);
show();

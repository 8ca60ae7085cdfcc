// One rule as a row of the list.

import { text, number } from "../lib/words.js";

const SHAPES = {
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  remove: "M6 6l12 12M18 6L6 18",
};
const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {import("../lib/messages.js").Rule} rule
 * @param {{place: number, first: boolean, last: boolean}} where  first and last cannot be moved further
 */
export function makeRow(rule, { place, first, last }) {
  const row = make("div", "rule");
  row.dataset.place = String(place);
  row.classList.toggle("off", rule.enabled === false);
  const open = make("button", "open");
  open.type = "button";
  open.dataset.do = "change";
  const pattern = make("bdi", "pattern", rule.port ? `${rule.pattern}:${rule.port}` : rule.pattern);
  pattern.dir = "ltr";
  pattern.title = [rule.pattern, rule.note].filter(Boolean).join("\n");
  const chip = make("span", "chip", text(`choice_${rule.action}`));
  chip.dataset.action = rule.action;
  open.append(make("span", "place", number(place + 1)), make("span", "kind", text(`kind_${rule.kind}`)), pattern);
  open.append(make("span", "more", moreText(rule)), chip);
  row.append(open, small("up", "rule_up", first), small("down", "rule_down", last), small("remove", "rule_remove", false));
  return row;
}

function moreText({ enabled, country, hops }) {
  return [enabled === false && text("rule_off"), country, hops && text("rule_hops", number(hops))].filter(Boolean).join(" · ");
}

function small(action, label, disabled) {
  const button = make("button", "small-button");
  button.type = "button";
  button.dataset.do = action;
  button.disabled = disabled;
  button.ariaLabel = button.title = text(label);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[action]);
  svg.append(path);
  button.append(svg);
  return button;
}

function make(tag, name, words = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = words;
  return made;
}

// Where pages leave, chosen in the popup itself: searched by name, by keyboard alone.

import { showCountries } from "../lib/country-list.js";
import { errorText } from "../lib/words.js";

const element = (id) => document.getElementById(id);

/** @type {import("../lib/messages.js").SettingsInfo | null} */
let settings = null;

/** Open or close the list. @param {boolean} open @returns {boolean} whether it is open */
export function chooseExit(open) {
  if (element("chooser").hidden !== open) return open;
  const focused = element("chooser").contains(document.activeElement);
  element("chooser").hidden = !open;
  element("exit-change").ariaExpanded = String(open);
  element("chooser-search").value = "";
  if (open) element("chooser-search").focus();
  else if (focused) element("exit-change").focus();
  return open;
}

/** @param {{settings: import("../lib/messages.js").SettingsInfo | null, error: object | null}} found */
export function showExits({ settings: known, error }) {
  element("chooser-error").hidden = !error;
  element("chooser-error").textContent = error ? errorText(error) : "";
  const at = document.activeElement?.closest?.("#chooser-list") ? document.activeElement.value : null;
  const first = settings === null;
  if (known) settings = known;
  show();
  if (first) element("chooser-list").querySelector("label:has(:checked)")?.scrollIntoView({ block: "nearest" });
  if (at !== null) element("chooser-list").querySelector(`[value="${CSS.escape(at)}"]`)?.focus();
}

function show() {
  if (settings) showCountries(element("chooser-list"), settings, element("chooser-search").value);
}

element("chooser-search").addEventListener("input", show);
element("chooser").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  event.preventDefault();
  chooseExit(false);
});

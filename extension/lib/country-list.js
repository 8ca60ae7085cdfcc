// The countries to leave from, as a group of radio buttons: on the settings page and in the popup.

import { exitsOf } from "./exits.js";
import { flag } from "./format.js";
import { counted, LOCALE, text } from "./words.js";

/**
 * @param {HTMLElement} place
 * @param {import("./messages.js").SettingsInfo} info
 * @param {string} words  of the search
 */
export function showCountries(place, info, words) {
  const any = words.trim() ? [] : [option("", text("exit_any"), "", info)];
  const fitting = exitsOf(info, words, LOCALE);
  const rows = fitting.map(({ code, exits, name }) => option(code, `${flag(code)} ${name}`, counted("exits", exits), info));
  place.replaceChildren(...any, ...rows);
}

function option(code, name, more, info) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "country", value: code });
  radio.checked = code === info.exit_country;
  const words = document.createElement("span");
  words.append(name, Object.assign(document.createElement("span"), { className: "small", textContent: more }));
  label.append(radio, words);
  return label;
}

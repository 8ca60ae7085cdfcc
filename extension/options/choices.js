// What the helper lets a person choose while it runs: hops, exit country, network.

import { country, flag } from "../lib/format.js";
import { counted, errorText, LOCALE, number, text } from "../lib/words.js";

const element = (id) => document.getElementById(id);

/** @type {(cmd: string, fields?: object) => Promise<import("../lib/messages.js").Answer>} */
let ask;
let say = (_words) => {};
/** @type {import("../lib/messages.js").SettingsInfo | null} */
let info = null;

/** @param {typeof ask} asking @param {typeof say} saying */
export async function load(asking, saying) {
  ask = asking;
  say = saying;
  take((await ask("settings")).settings);
}

/** @param {import("../lib/messages.js").SettingsInfo} settings */
export function take(settings) {
  info = settings;
  for (const radio of element("hops-form").elements) radio.checked = Number(radio.value) === info.hops;
  element("network-none").hidden = info.network !== null && info.network !== undefined;
  element("network-present").hidden = !info.network;
  element("network-name").textContent = info.network?.name ?? "";
  element("network-fingerprint").textContent = info.network?.fingerprint ?? "";
  element("network-peers").textContent = number(info.peers);
  showCountries();
}

function showCountries() {
  const words = element("exit-search").value.trim().toLocaleLowerCase(LOCALE);
  const known = info.countries.map(({ country: code, exits }) => ({ code, exits, name: country(code, LOCALE) }));
  if (info.exit_country && !known.some(({ code }) => code === info.exit_country)) {
    known.push({ code: info.exit_country, exits: 0, name: country(info.exit_country, LOCALE) });
  }
  known.sort((one, other) => one.name.localeCompare(other.name, LOCALE));
  const fitting = known.filter(({ code, name }) => `${code} ${name}`.toLocaleLowerCase(LOCALE).includes(words));
  element("exit-list").replaceChildren(
    option("", text("exit_any"), ""),
    ...fitting.map(({ code, exits, name }) => option(code, `${flag(code)} ${name}`, counted("exits", exits))),
  );
  element("exit-none").hidden = known.length > 0;
}

function option(code, name, more) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "country", value: code });
  radio.checked = code === info.exit_country;
  const words = document.createElement("span");
  words.append(name, Object.assign(document.createElement("span"), { className: "small", textContent: more }));
  label.append(radio, words);
  return label;
}

async function change(fields) {
  try {
    take((await ask("change-settings", fields)).settings);
    say(text("saved"));
  } catch (error) {
    say(errorText(error.failure?.error ?? {}));
    if (info) take(info);
  }
}

element("exit-search").addEventListener("input", () => info && showCountries());
element("hops-form").addEventListener("change", ({ target }) => change({ hops: Number(target.value) }));
element("exit-list").addEventListener("change", ({ target }) => change({ exit_country: target.value }));
for (const form of ["hops-form", "exit-form"]) element(form).addEventListener("submit", (event) => event.preventDefault());

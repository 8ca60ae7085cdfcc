// What the helper lets a person choose while it runs: hops, exit country, network.

import { showCountries } from "../lib/country-list.js";
import { bytes } from "../lib/format.js";
import { errorText, LOCALE, number, text } from "../lib/words.js";

const lists = new Intl.ListFormat(LOCALE || "en", { type: "conjunction" });
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
  return info;
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
  showTerms(info);
  showExits();
}

function showExits() {
  showCountries(element("exit-list"), info, element("exit-search").value);
  element("exit-none").hidden = info.countries.length > 0;
}

/** What this node does for others, where it is an exit. */
function showTerms({ terms }) {
  element("mode-terms").hidden = !terms;
  if (!terms) return;
  element("terms-ports").textContent = terms.only ? text("terms_only") : lists.format(terms.ports.map(String));
  element("terms-connections").textContent = number(terms.connections);
  element("terms-client").textContent = number(terms.per_client);
  element("terms-month").textContent = terms.gigabytes ? bytes(terms.gigabytes * 1e9, LOCALE) : text("terms_unlimited");
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

element("exit-search").addEventListener("input", () => info && showExits());
element("hops-form").addEventListener("change", ({ target }) => change({ hops: Number(target.value) }));
element("exit-list").addEventListener("change", ({ target }) => change({ exit_country: target.value }));
for (const form of ["hops-form", "exit-form"]) element(form).addEventListener("submit", (event) => event.preventDefault());

// The countries to leave from, as a person searches them. Pure.

import { country } from "./format.js";

/**
 * Those where an exit is known, and the one chosen even if none is, by name.
 * @param {import("./messages.js").SettingsInfo} info
 * @param {string} words  searched in names and codes
 * @param {string} locale
 * @returns {{code: string, exits: number, name: string}[]}
 */
export function exitsOf({ countries, exit_country: chosen }, words, locale) {
  const known = countries.map(({ country: code, exits }) => ({ code, exits, name: country(code, locale) }));
  if (chosen && !known.some(({ code }) => code === chosen)) {
    known.push({ code: chosen, exits: 0, name: country(chosen, locale) });
  }
  const wanted = words.trim().toLocaleLowerCase(locale);
  return known
    .filter(({ code, name }) => `${code} ${name}`.toLocaleLowerCase(locale).includes(wanted))
    .sort((one, other) => one.name.localeCompare(other.name, locale));
}

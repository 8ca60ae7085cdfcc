// Numbers and countries in the person's language.

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/**
 * @param {number} count
 * @param {string} locale
 * @param {string} per  after the unit's name: such as -per-second
 */
export function bytes(count, locale, per = "") {
  const step = count > 0 ? Math.max(0, Math.min(Math.floor(Math.log10(count) / 3), UNITS.length - 1)) : 0;
  const value = count / 1000 ** step;
  return new Intl.NumberFormat(locale, {
    style: "unit",
    unit: UNITS[step] + per,
    unitDisplay: "short",
    maximumFractionDigits: step > 0 && value < 100 ? 1 : 0,
  }).format(value);
}

/** Bytes a second. @param {number} count @param {string} locale */
export const rate = (count, locale) => bytes(count, locale, "-per-second");

/**
 * @param {string} code  ISO 3166 two letters; anything else comes back as it is
 * @param {string} locale
 */
export function country(code, locale) {
  if (!/^[A-Za-z]{2}$/.test(code)) return code;
  return new Intl.DisplayNames(locale, { type: "region", fallback: "code" }).of(code.toUpperCase()) ?? code;
}

/**
 * The flag as the two regional indicators that fonts/flags.woff2 draws.
 * @param {string} code  ISO 3166 two letters; anything else has none
 */
export function flag(code) {
  if (!/^[A-Za-z]{2}$/.test(code)) return "";
  return String.fromCodePoint(...[...code.toUpperCase()].map((letter) => letter.codePointAt(0) - 65 + 0x1f1e6));
}

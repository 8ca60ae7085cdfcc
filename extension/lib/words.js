// Texts in the person's language, and numbers, countries and rules written as it writes them.

import { api } from "./compat.js";

/** @param {string} key @param {string | string[]} [parts]  for $1, $2 … */
export const text = (key, parts) => api.i18n.getMessage(key, parts);

export const LOCALE = text("lang");

const numbers = new Intl.NumberFormat(LOCALE || "en");
export const number = (value) => numbers.format(value);

const plurals = new Intl.PluralRules(LOCALE || "en");

/**
 * A text with a number in it, in the form that the language has for that number: <key>_one, <key>_other …
 * @param {string} key
 * @param {number} count
 */
export const counted = (key, count) => text(`${key}_${plurals.select(count)}`, number(count));

/** Language, direction and every element that names its text. */
export function translatePage() {
  document.documentElement.lang = LOCALE;
  document.documentElement.dir = text("dir");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.ariaLabel = element.placeholder = text(element.dataset.label);
  }
}

/**
 * What to do about an error, where we have words for it.
 * @param {{code?: string}} error
 */
export const fixText = ({ code = "" }) => text(`fix_${code.replaceAll("-", "_")}`);

/** What a person is told of an error: in our words where we have some, else in its own. */
export function errorText({ code = "", message = "" }) {
  return text(`error_${code.replaceAll("-", "_")}`) || message || text("error_other");
}

/**
 * Why it is so, from a verdict.
 * @param {import("./messages.js").VerdictInfo} verdict
 */
export function whyText({ host, rule, index, section }) {
  if (host === "qnet" || host.endsWith(".qnet")) return text("site_mesh");
  if (rule && section) return text("site_list", [`\u2066${new URL(section).hostname}\u2069`, ruleText(rule)]);
  return rule ? text("site_rule", [number(index + 1), ruleText(rule)]) : text("site_default");
}

/** @param {import("./messages.js").VerdictInfo} verdict  empty where there is nothing to warn of */
export function warningText({ action, unmet }) {
  return unmet ? text("site_unmet") : action === "direct" ? text("site_direct") : "";
}

/**
 * Such as "domain example.org"; the pattern keeps its direction among other scripts.
 * @param {import("./messages.js").Rule} rule
 */
export function ruleText({ kind, pattern, port }) {
  return `${text(`kind_${kind}`)} \u2066${pattern}${port ? `:${port}` : ""}\u2069`;
}

// What of this page did not load, each with the one rule that may repair it.

import { failingRow } from "../lib/failing-row.js";
import { counted } from "../lib/words.js";

export { NEEDED } from "../lib/observer.js";

const SHOWN = 6;
const element = (id) => document.getElementById(id);

/**
 * @param {{failing: (import("../lib/observer.js").Failing & {verdict: object | null})[], allowed: boolean}} found
 * @param {(action: string, url: string) => void} decide
 */
export function showFailing({ failing, allowed }, decide) {
  element("failing").hidden = failing.length === 0;
  element("unseen").hidden = allowed;
  element("failing-title").textContent = counted("fails", failing.length);
  element("failing-list").replaceChildren(...failing.slice(0, SHOWN).map((each) => failingRow(each, decide)));
}

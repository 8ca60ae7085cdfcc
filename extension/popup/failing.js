// What of this page did not load, each with the one rule that may repair it.

import { editsFor } from "../lib/site.js";
import { counted, text } from "../lib/words.js";

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
  element("failing-list").replaceChildren(...failing.slice(0, SHOWN).map((each) => row(each, decide)));
}

function row({ host, url, failure, verdict }, decide) {
  const item = document.createElement("li");
  const name = Object.assign(document.createElement("bdi"), { textContent: host, dir: "ltr" });
  const why = document.createElement("span");
  why.className = "small";
  why.textContent = text(verdict?.action === "block" ? "fail_rule" : `fail_${failure}`);
  item.append(name, why);
  const action = repairOf(verdict);
  if (action && editsFor(verdict, action).length) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet" });
    button.textContent = text(`repair_${action}`);
    button.addEventListener("click", () => {
      button.disabled = true;
      decide(action, url);
    });
    item.append(button);
  }
  return item;
}

/** The other way than that which failed. @param {import("../lib/messages.js").VerdictInfo | null} verdict */
function repairOf(verdict) {
  return verdict && (verdict.action === "tunnel" && !verdict.unmet ? "direct" : "tunnel");
}

// One host that did not load, with the one rule that may repair it.

import { editsFor } from "./site.js";
import { text } from "./words.js";

/**
 * @param {import("./observer.js").Failing & {verdict: import("./messages.js").VerdictInfo | null}} failing
 * @param {(action: string, url: string) => void} decide
 */
export function failingRow({ host, url, failure, verdict }, decide) {
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

/** The other way than that which failed. @param {import("./messages.js").VerdictInfo | null} verdict */
function repairOf(verdict) {
  return verdict && (verdict.action === "tunnel" && !verdict.unmet ? "direct" : "tunnel");
}

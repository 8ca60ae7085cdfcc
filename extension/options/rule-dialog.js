// The form for one rule. The helper judges it: what it refuses is said in the form, which stays open.

import { errorText, number, text } from "../lib/words.js";

const KINDS = ["domain", "host", "wildcard", "regex", "cidr", "keyword"];
const MAX_HOPS = 3;

const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("dialog"));
const form = /** @type {HTMLFormElement} */ (document.getElementById("dialog-form"));
const error = document.getElementById("dialog-error");
const fields = form.elements;

let save = async (_rule) => () => {};

for (const kind of KINDS) fields.kind.append(new Option(text(`kind_${kind}`), kind));
fields.hops.append(new Option(text("any"), "0"));
for (let hops = 1; hops <= MAX_HOPS; hops++) fields.hops.append(new Option(number(hops), String(hops)));

/**
 * @param {string} title
 * @param {import("../lib/messages.js").Rule | null} rule  what to begin with
 * @param {(rule: import("../lib/messages.js").Rule) => Promise<() => void>} then  saves and gives what puts the
 *   focus where it belongs afterwards; may reject with a `HostError`
 */
export function openDialog(title, rule, then) {
  const { kind = "domain", pattern = "", action = "tunnel", port, country, hops, note, enabled = true } = rule ?? {};
  save = then;
  document.getElementById("dialog-title").textContent = title;
  fields.kind.value = kind;
  fields.pattern.value = pattern;
  fields.action.value = action;
  fields.port.value = port || "";
  fields.country.value = country || "";
  fields.hops.value = String(hops || 0);
  fields.note.value = note || "";
  fields.enabled.checked = enabled;
  document.getElementById("dialog-more").open = Boolean(port || country || hops || note);
  error.hidden = true;
  follow();
  dialog.showModal();
  fields.pattern.focus();
}

/** Only what can be said of this kind and action. */
function follow() {
  const action = fields.action.value;
  document.getElementById("dialog-hint").textContent = text(`hint_${fields.kind.value}`);
  document.getElementById("dialog-direct").hidden = action !== "direct";
  for (const label of form.querySelectorAll(".of-tunnel")) label.hidden = action !== "tunnel";
}

function read() {
  const action = fields.action.value;
  const rule = { kind: fields.kind.value, pattern: fields.pattern.value, action };
  if (fields.port.value) rule.port = Number(fields.port.value);
  if (action === "tunnel" && fields.country.value) rule.country = fields.country.value.toUpperCase();
  if (action === "tunnel" && fields.hops.value !== "0") rule.hops = Number(fields.hops.value);
  if (fields.note.value) rule.note = fields.note.value;
  if (!fields.enabled.checked) rule.enabled = false;
  return rule;
}

form.addEventListener("change", follow);
document.getElementById("dialog-cancel").addEventListener("click", () => dialog.close());
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const focus = await save(read());
    dialog.close();
    focus();
  } catch (refused) {
    const { failure } = refused;
    error.textContent = failure ? [errorText(failure.error ?? {}), failure.error?.hint].filter(Boolean).join(" ") : String(refused);
    error.hidden = false;
  }
});

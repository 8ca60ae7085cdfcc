// Lists that others keep: which ones, how they are, and one more.

import { counted, errorText, LOCALE, text } from "../lib/words.js";

/** Milliseconds that a list may take to arrive; the helper itself gives up after 60 s. */
const ARRIVES_WITHIN = 90_000;

const element = (id) => document.getElementById(id);
const time = new Intl.DateTimeFormat(LOCALE || "en", { dateStyle: "medium", timeStyle: "short" });

/** @type {(cmd: string, fields?: object, within?: number) => Promise<import("../lib/messages.js").Answer>} */
let ask;

/** @param {typeof ask} asking */
export async function load(asking) {
  ask = asking;
  await attempt("subscriptions");
}

for (const action of ["tunnel", "direct", "block"]) element("lists-action").append(new Option(text(`verdict_${action}`), action));

/** Ask, show what there is then, and say what went wrong. */
async function attempt(cmd, fields = {}) {
  const error = element("lists-error");
  error.hidden = true;
  document.body.classList.add("fetching");
  try {
    show((await ask(cmd, fields, ARRIVES_WITHIN)).subscriptions ?? []);
    return true;
  } catch (refused) {
    const { code = "", message = "", hint = "" } = refused.failure?.error ?? {};
    error.textContent = [errorText({ code, message }), message, hint].filter(Boolean).join(" · ");
    error.hidden = false;
    return false;
  } finally {
    document.body.classList.remove("fetching");
  }
}

/** @param {import("../lib/messages.js").Subscription[]} lists */
function show(lists) {
  element("lists").replaceChildren(...lists.map(row));
  element("lists-none").hidden = lists.length > 0;
}

/** @param {import("../lib/messages.js").Subscription} list */
function row({ url, action, rules, trouble, fetched, next, error }) {
  const item = make("li", "list");
  const name = Object.assign(make("bdi", "list-url", url), { dir: "ltr" });
  const chip = make("span", "chip", text(`choice_${action}`));
  chip.dataset.action = action;
  const facts = [counted("list_rules", rules), trouble ? counted("list_remarks", trouble) : ""];
  facts.push(fetched ? text("list_fetched", time.format(fetched * 1000)) : text("list_never"));
  if (next) facts.push(text("list_next", time.format(next * 1000)));
  const buttons = make("div", "line");
  for (const [label, cmd] of [["list_refresh", "refresh"], ["rule_remove", "unsubscribe"]]) {
    const button = Object.assign(make("button", "quiet", text(label)), { type: "button", ariaLabel: `${text(label)}: ${url}` });
    button.dataset.do = cmd;
    button.addEventListener("click", () => attempt(cmd, { url }));
    buttons.append(button);
  }
  const head = make("div", "line");
  head.append(name, make("span", "grow"), chip);
  item.append(head, make("p", "small", facts.filter(Boolean).join(" · ")));
  if (error) item.append(make("p", "small warning", [errorText(error), error.message].filter(Boolean).join(" · ")));
  item.append(buttons);
  return item;
}

function make(tag, name, words = "") {
  return Object.assign(document.createElement(tag), { className: name, textContent: words });
}

element("lists-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const url = element("lists-url").value.trim();
  if (await attempt("subscribe", { url, action: element("lists-action").value })) element("lists-url").value = "";
});

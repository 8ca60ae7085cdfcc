// The options page. It speaks to the helper by a conversation of its own, which takes no lease on the tunnel.

import { api, client, portError } from "../lib/compat.js";
import { failed, Host, HostError, NATIVE_HOST } from "../lib/native.js";
import { PROTOCOL_VERSION } from "../lib/reconcile.js";
import { KINDS } from "../lib/state.js";
import { errorText, LOCALE, number, ruleText, text, translatePage, warningText, whyText } from "../lib/words.js";
import { joinForm } from "../lib/join.js";
import { load as loadChoices, take as takeChoices } from "./choices.js";
import { heard, lost } from "./own.js";
import "./failures.js";
import { inviteForm } from "./invite.js";
import { load as loadLists } from "./lists.js";
import { leadToNetwork } from "./parts.js";
import { openDialog } from "./rule-dialog.js";
import { makeRow } from "./row.js";
import { LOCAL_NETWORK, Rules, search } from "./rules.js";
import { VirtualList } from "./virtual-list.js";

const FILE_LIMIT = 16 * 1024 * 1024;
const ACTIONS = ["tunnel", "direct", "block"];

const element = (id) => document.getElementById(id);
translatePage();
document.title = `QNet: ${text("options")}`;
for (const id of ["otherwise", "import-action"]) {
  for (const action of ACTIONS) element(id).append(new Option(text(`verdict_${action}`), action));
}

/** @type {Host | null} */
let host = null;
const ask = (cmd, fields, within) => (host ? host.request(cmd, fields, within) : Promise.reject(failed("host-lost")));
const rules = new Rules(ask);
/** The places of the rules shown, in order. @type {number[]} */
let places = [];
/** What is being done; the next waits, so that each sees the rules as the one before left them. */
let queue = Promise.resolve();

const list = new VirtualList(element("rules-list"), (index) => {
  const place = places[index];
  return makeRow(rules.list[place], { place, first: place === 0, last: place === rules.list.length - 1 });
});

// --- the conversation

async function open() {
  document.body.dataset.state = "loading";
  element("help").hidden = true;
  const opened = new Host(() => api.runtime.connectNative(NATIVE_HOST), portError, {
    status: (status) => {
      heard(status, version);
      inTurn(() => status.rules_generation > rules.generation && reload());
    },
    closed: (failure) => opened === host && showFailure(failure),
  });
  host = opened;
  let version = "";
  try {
    const { hello, status } = await opened.request("hello", { version: PROTOCOL_VERSION, client });
    if (hello?.version !== PROTOCOL_VERSION) throw failed("version");
    version = hello.helper;
    if (status) heard(status, version);
    const { network, peers } = await loadChoices(ask, toast);
    if (!network && !peers) leadToNetwork();
    await loadLists(ask);
    await rules.load();
    document.body.dataset.state = "ready";
    show();
  } catch (error) {
    if (opened === host) showFailure(error.failure ?? failed("other", error).failure);
  }
}

function showFailure({ kind, error }) {
  lost({ kind, error });
  host?.close();
  host = null;
  document.body.dataset.state = "failed";
  const known = `host_${kind}` in KINDS ? `host_${kind}` : null;
  element("help").hidden = false;
  element("help-title").textContent = text(known ? `title_${known}` : "title_failed_helper");
  element("help-text").textContent = known ? text(`text_${known}`) : errorText(error ?? { code: "host-lost" });
  element("help-advice").textContent = known ? text(`do_${known}`) : "";
  element("help-command").textContent = (known && KINDS[known].command) || "";
  element("help-message").textContent = [error?.message, error?.hint].filter(Boolean).join(". ");
}

const QUIETLY = { says: false };

/** One after the other; what goes wrong is said, unless the caller does, and the rules are loaded anew. */
function inTurn(work, { says = true } = {}) {
  const next = queue.then(work);
  queue = next.catch(async (error) => {
    if (!host) return;
    if (says) toast(errorText((error instanceof HostError && error.failure.error) || { message: String(error) }));
    await reload().catch(() => {});
  });
  return next;
}

async function reload() {
  await rules.load();
  show();
}

// --- the rules

function show() {
  const words = element("rules-search").value;
  places = words.trim() ? search(rules.list, words) : rules.list.map((_, place) => place);
  list.show(places.length);
  element("rules-list").hidden = places.length === 0;
  element("rules-empty").hidden = places.length > 0;
  element("rules-empty").textContent = text(rules.list.length ? "rules_no_match" : "rules_none");
  element("rules-search").hidden = rules.list.length === 0;
  const [shown, all] = [number(places.length), number(rules.list.length)];
  element("rules-count").textContent = words.trim() ? `${shown} / ${all}` : rules.list.length ? all : "";
  element("otherwise").value = rules.otherwise;
  element("otherwise-warning").hidden = rules.otherwise !== "direct";
  element("problem").hidden = !rules.problem;
  element("problem-text").textContent = rules.problem ? errorText(rules.problem) : "";
  element("problem-message").textContent = rules.problem ? `${rules.problem.message}. ${rules.problem.hint ?? ""}` : "";
  showEarlier();
}

function change(place) {
  const before = rules.list[place];
  openDialog(text("rule_change"), before, (rule) =>
    inTurn(async () => {
      if (rules.list[place] !== before) throw failed("rules-changed");
      await rules.edit([{ at: place, remove: 1, insert: [rule] }]);
      show();
      return () => list.focus(places.indexOf(place));
    }, QUIETLY),
  );
}

const ROW_ACTIONS = {
  change,
  up: (place) => move(place, -1),
  down: (place) => move(place, 1),
  remove(place) {
    inTurn(async () => {
      const rule = rules.list[place];
      const before = rules.generation;
      await rules.edit([{ at: place, remove: 1 }]);
      show();
      toast(text("rule_removed", ruleText(rule)), before);
    });
  },
};

/** By one place among those shown: what a search hides is jumped over. */
function move(place, step) {
  const index = places.indexOf(place) + step;
  const to = places[index];
  if (to === undefined) return;
  inTurn(async () => {
    await rules.move(place, to);
    show();
    list.focus(index);
  });
}

element("rules-list").addEventListener("click", ({ target }) => {
  const button = target.closest("[data-do]");
  if (button) ROW_ACTIONS[button.dataset.do](Number(button.closest(".rule").dataset.place));
});
element("rules-list").addEventListener("keydown", (event) => {
  const row = event.target.closest(".rule");
  const action = event.altKey ? { ArrowUp: "up", ArrowDown: "down" }[event.key] : event.key === "Delete" ? "remove" : null;
  if (!row || !action) return;
  event.preventDefault();
  ROW_ACTIONS[action](Number(row.dataset.place));
});
element("rules-search").addEventListener("input", show);
element("rules-add").addEventListener("click", () => {
  openDialog(text("rule_new"), null, (rule) =>
    inTurn(async () => {
      await rules.edit([{ at: 0, remove: 0, insert: [rule] }]);
      element("rules-search").value = "";
      show();
      return () => list.focus(0);
    }, QUIETLY),
  );
});
element("rules-local").addEventListener("click", () => {
  inTurn(async () => {
    const before = rules.generation;
    await rules.edit([{ at: 0, remove: 0, insert: LOCAL_NETWORK }]);
    show();
    toast(text("rules_local_done"), before);
  });
});
element("otherwise").addEventListener("change", ({ target }) => {
  inTurn(async () => {
    await rules.edit([], { default: target.value });
    show();
  });
});

// --- the tester

element("tester").addEventListener("submit", async (event) => {
  event.preventDefault();
  const address = element("tester-address").value;
  element("tester-result").hidden = false;
  try {
    const { verdict } = await host.request("test", { address });
    showTest(verdict.host, text(`verdict_${verdict.action}`), verdict.action, whyText(verdict), warningText(verdict));
  } catch (error) {
    showTest("", "", "", errorText(error.failure?.error ?? {}), "");
  }
});

function showTest(name, verdict, action, why, warning) {
  element("tester-host").textContent = name;
  element("tester-verdict").textContent = verdict;
  element("tester-verdict").dataset.action = action;
  element("tester-why").textContent = why;
  element("tester-warning").textContent = warning;
  element("tester-warning").hidden = !warning;
}

// --- import and export

element("import-choose").addEventListener("click", () => element("import-file").click());
element("import-file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = "";
  if (file) inTurn(() => tryImport(file));
});
element("import-action").addEventListener("change", () => {
  if (!element("import-report").hidden) inTurn(report);
});

async function tryImport(file) {
  if (file.size > FILE_LIMIT) return toast(text("import_too_long"));
  await rules.upload(await file.text());
  await report();
}

async function report() {
  const found = await rules.import({ action: element("import-action").value, trial: true });
  element("import-report").hidden = false;
  element("import-found").textContent = text("import_found", [found.rules, found.direct, found.trouble].map(number));
  element("import-default").hidden = found.default !== "direct";
  const lines = found.warnings.map((warning) => Object.assign(document.createElement("li"), { textContent: warning }));
  element("import-warnings").replaceChildren(...lines);
  for (const id of ["import-append", "import-replace"]) element(id).disabled = found.rules === 0;
}

for (const [id, replace] of [["import-append", false], ["import-replace", true]]) {
  element(id).addEventListener("click", () =>
    inTurn(async () => {
      const before = rules.generation;
      const { rules: count } = await rules.import({ action: element("import-action").value, replace });
      element("import-report").hidden = true;
      show();
      toast(text("import_done", number(count)), before);
    }),
  );
}
element("import-cancel").addEventListener("click", () => (element("import-report").hidden = true));
element("export").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([rules.export()], { type: "application/json" }));
  Object.assign(document.createElement("a"), { href: url, download: "qnet-rules.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
});

// --- earlier states

function showEarlier() {
  const format = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "medium" });
  const rows = rules.generations.map(({ number: generation, saved }) => {
    const row = document.createElement("li");
    const now = generation === rules.generation;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet" });
    button.textContent = text(now ? "earlier_now" : "earlier_restore");
    button.disabled = now;
    button.addEventListener("click", () => restore(generation));
    row.append(format.format(saved * 1000), button);
    return row;
  });
  element("earlier").replaceChildren(...rows);
}

function restore(generation) {
  return inTurn(async () => {
    await rules.restore(generation);
    show();
  });
}

// --- short notes

let toastTimer;

/** @param {string} words @param {number | null} undo  the state to go back to */
function toast(words, undo = null) {
  clearTimeout(toastTimer);
  element("toast").hidden = false;
  element("toast-text").textContent = words;
  element("toast-undo").hidden = undo === null || undo === 0;
  element("toast-undo").onclick = () => {
    element("toast").hidden = true;
    restore(undo);
  };
  toastTimer = setTimeout(() => (element("toast").hidden = true), 10_000);
}

element("help-retry").addEventListener("click", open);
inviteForm(ask);
joinForm(element("join"), ask, (settings) => {
  takeChoices(settings);
  toast(text("join_done"));
});
open();

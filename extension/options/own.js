// What the extension keeps itself: settings of this browser, the log; and what it says of itself.

import { api, client } from "../lib/compat.js";
import { FROM_LIST } from "../lib/log.js";
import { NEEDED } from "../lib/observer.js";
import { LOCALE, number, text } from "../lib/words.js";

const element = (id) => document.getElementById(id);
const { local, session } = api.storage;

// --- settings of this browser

async function bind(id, key, permissions) {
  element(id).checked = (await local.get(key))[key] === true;
  element(id).addEventListener("change", async ({ target }) => {
    // The browser asks the person, and only inside a press.
    if (target.checked && permissions && !(await api.permissions.request(permissions))) target.checked = false;
    await local.set({ [key]: target.checked });
    if (key === "log" && !target.checked) await session.remove("entries");
  });
}
bind("auto", "auto");
bind("notify", "notify", { permissions: ["notifications"] });
bind("log-on", "log", NEEDED);

// --- the log

const time = new Intl.DateTimeFormat(LOCALE, { timeStyle: "medium" });

const ruleName = (rule) =>
  rule === FROM_LIST ? text("log_list") : rule < 0 ? text("log_default") : number(rule + 1);

async function showLog() {
  const { entries = [] } = await session.get("entries");
  const rows = entries.toReversed().map(({ at, host, action, rule, unmet }) => {
    const row = document.createElement("tr");
    const name = Object.assign(document.createElement("bdi"), { textContent: host, dir: "ltr" });
    const verdict = Object.assign(document.createElement("span"), { className: "chip" });
    verdict.textContent = text(`choice_${unmet ? "block" : action}`);
    verdict.dataset.action = unmet ? "block" : action;
    for (const each of [time.format(at), name, verdict, ruleName(rule)]) {
      row.insertCell().append(each);
    }
    return row;
  });
  element("log-rows").replaceChildren(...rows);
  element("log-count").textContent = entries.length ? number(entries.length) : text("log_empty");
}
element("log-clear").addEventListener("click", () => session.remove("entries"));
api.storage.onChanged.addListener((changes, area) => area === "session" && changes.entries && showLog());
showLog();

// --- modes other than a client's are a server's: said, not pretended

const SERVER = ' --listen 0.0.0.0:443 --address NAME:443 --decoy SITE:443';
const COMMANDS = {
  relay: `qnet run --helper-mode relay${SERVER}`,
  bootstrap: `qnet run --helper-mode bootstrap${SERVER}`,
  exit: `EXIT_ABUSE_EMAIL=you@example.org qnet run --helper-mode exit${SERVER}`,
  super: `EXIT_ABUSE_EMAIL=you@example.org qnet run --helper-mode super${SERVER}`,
};
for (const mode of ["client", ...Object.keys(COMMANDS)]) element("mode-choice").append(new Option(text(`mode_${mode}`), mode));

function showMode() {
  const mode = element("mode-choice").value;
  const exits = mode === "exit" || mode === "super";
  element("mode-what").textContent = text(`about_${mode}`);
  element("mode-legal").hidden = element("mode-consent").hidden = !exits;
  element("mode-how").hidden = mode === "client" || (exits && !element("mode-agree").checked);
  element("mode-command").textContent = COMMANDS[mode] ?? "";
}
element("mode-choice").addEventListener("change", () => {
  element("mode-agree").checked = false;
  showMode();
});
element("mode-agree").addEventListener("change", showMode);
showMode();

// --- the report: versions and states, never addresses, hosts, names or keys

/** @type {string[]} */
let helper = [];

/**
 * @param {import("../lib/messages.js").Status} status
 * @param {string} version
 */
export function heard(status, version) {
  const code = (error) => (error ? error.code : "none");
  helper = [
    `helper: ${version}`,
    `mode: ${status.mode}`,
    `state: ${status.state}, for ${Math.round(Date.now() / 1000 - status.since)} s`,
    `peers known: ${status.peers ?? 0}, hops: ${status.hops?.length ?? 0}, streams: ${status.streams ?? 0}`,
    `reconnections: ${status.reconnection_attempts ?? 0}, last error: ${code(status.last_error)}`,
    `rules: state ${status.rules_generation ?? 0}`,
  ];
  element("mode-now").textContent = text(`mode_${status.mode}`);
  element("about-helper").textContent = version;
  report();
}

/** @param {import("../lib/native.js").Failure} failure */
export function lost({ kind, error }) {
  helper = [`helper: ${kind}${error ? `, ${error.code}` : ""}`];
  report();
}

async function report() {
  const { intent = "off" } = await local.get("intent");
  const { failure = null } = await session.get("failure");
  const { levelOfControl } = await api.proxy.settings.get({});
  const lines = [
    `extension: ${api.runtime.getManifest().version}, ${client}, ${LOCALE}`,
    `wanted: ${intent}, last failure: ${failure ? `${failure.kind} ${failure.error?.code ?? ""}`.trim() : "none"}`,
    `proxy: ${levelOfControl}`,
    `private windows: ${await api.extension.isAllowedIncognitoAccess()}, sees requests: ${await api.permissions.contains(NEEDED)}`,
    ...helper,
  ];
  element("report").textContent = lines.join("\n");
}
report();
element("about-extension").textContent = api.runtime.getManifest().version;

for (const button of document.querySelectorAll("[data-copies]")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(element(button.dataset.copies).value ?? element(button.dataset.copies).textContent);
    button.textContent = text("copied");
    setTimeout(() => (button.textContent = text("copy")), 2000);
  });
}

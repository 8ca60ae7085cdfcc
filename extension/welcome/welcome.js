// Three steps from nothing to connected: the helper, a network, Connect. What is done already is not asked for, and
// the helper is looked for again by itself.

import { api, client, portError } from "../lib/compat.js";
import { joinForm } from "../lib/join.js";
import { failed, Host, NATIVE_HOST } from "../lib/native.js";
import { PROTOCOL_VERSION } from "../lib/reconcile.js";
import { KINDS } from "../lib/state.js";
import { counted, errorText, fixText, text, translatePage } from "../lib/words.js";

const AGAIN = 3_000;
const element = (id) => document.getElementById(id);
translatePage();

const STEPS = ["install", "join-step", "connect"];
let peers = 0;
/** @type {Host | null} */
let host = null;
let view = { kind: "" };

/** @param {number} at  the step that is to be done now; past the last, all are */
function go(at) {
  document.body.dataset.step = STEPS[at] ?? "done";
  STEPS.forEach((id, index) => {
    element(id).classList.toggle("done", index < at);
    element(id).classList.toggle("now", index === at);
    element(id).classList.toggle("later", index > at);
  });
}

function put(id, words) {
  if (element(id).textContent !== words) element(id).textContent = words;
}

const ask = (cmd, fields) => (host ? host.request(cmd, fields) : Promise.reject(failed("host-lost")));

async function look() {
  const opened = new Host(() => api.runtime.connectNative(NATIVE_HOST), portError, {
    status: () => {},
    closed: (failure) => opened === host && missing(failure),
  });
  host = opened;
  try {
    const { hello } = await opened.request("hello", { version: PROTOCOL_VERSION, client });
    if (hello?.version !== PROTOCOL_VERSION) throw failed("version");
    take((await opened.request("settings")).settings);
  } catch (error) {
    if (opened === host) missing(error.failure ?? failed("other", error).failure);
  }
}

/** All is done: this page needs the helper no more, and does not start it again. */
function leave() {
  const done = host;
  host = null;
  done.close();
}

/** @param {import("../lib/native.js").Failure} failure */
function missing({ kind, error }) {
  host?.close();
  host = null;
  const known = `host_${kind}` in KINDS ? `host_${kind}` : null;
  put("install-text", known ? `${text(`title_${known}`)}. ${text(`text_${known}`)}` : errorText(error ?? { code: "host-lost" }));
  put("install-advice", known ? text(`do_${known}`) : [error?.message, error?.hint].filter(Boolean).join(". "));
  put("command", known ? KINDS[known].command : "qnet run");
  go(0);
  setTimeout(look, AGAIN);
}

/** @param {import("../lib/messages.js").SettingsInfo} settings */
function take(settings) {
  peers = settings.peers;
  put("install-text", text("welcome_installed"));
  put("join-state", settings.network ? text("welcome_joined", settings.network.name) : peers ? counted("peers", peers) : "");
  joined = peers > 0 || Boolean(settings.network);
  step();
}

let joined = false;

function step() {
  if (!host) return;
  if (!joined) return go(1);
  const connected = view.kind === "connected";
  go(connected ? 3 : 2);
  if (connected) leave();
  const trouble = view.error ? ` ${errorText(view.error)} ${fixText(view.error)}` : "";
  put("connect-text", connected ? text("welcome_done") : view.kind === "off" || !view.kind ? text("welcome_ready") : text(`title_${view.kind}`) + trouble);
  element("press").hidden = !["off", "", "failed", "blocked"].includes(view.kind);
}

let background;
function open() {
  background = api.runtime.connect({ name: "popup" });
  background.onMessage.addListener((message) => {
    if (!message.kind) return;
    view = message;
    step();
  });
  background.onDisconnect.addListener(open);
}

element("press").addEventListener("click", () => background.postMessage({ press: "connect" }));
element("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(element("command").textContent);
  put("copy", text("copied"));
  setTimeout(() => put("copy", text("copy")), 2000);
});
joinForm(element("join"), ask, take);
open();
look();

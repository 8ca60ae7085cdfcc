// The popup only shows views and passes presses on; the background decides.

import { api } from "../lib/compat.js";
import { isOwnRule, webAddress } from "../lib/site.js";
import { errorText, LOCALE, text, translatePage, warningText, whyText } from "../lib/words.js";
import { bytes, country } from "./format.js";

const element = (id) => document.getElementById(id);

translatePage();

const LABELS = {
  "label-exit": "label_exit",
  "one-hop": "one_hop",
  "label-down": "label_down",
  "label-up": "label_up",
  "error-title": "error_title",
  "notice-text": "notice_private",
  "notice-do": "notice_private_do",
  escape: "press_off",
  copy: "copy",
  "label-site": "site_title",
  "site-forget": "site_forget",
  "site-reload": "site_reload",
};
for (const [id, key] of Object.entries(LABELS)) element(id).textContent = text(key);

element("options").title = text("options");
element("options").setAttribute("aria-label", text("options"));
element("site-choices").setAttribute("aria-label", text("site_always"));
const choices = [...element("site-choices").children];
for (const choice of choices) choice.textContent = text(`choice_${choice.dataset.action}`);

/** Change only what differs: a live region repeats whatever is written to it. */
function put(id, words) {
  const target = element(id);
  if (target.textContent !== words) target.textContent = words;
}

function reveal(id, shown) {
  element(id).hidden = !shown;
}

/** @param {import("../lib/state.js").View} view */
function show(view) {
  document.body.dataset.look = view.look;
  document.body.dataset.kind = view.kind;
  put("title", text(`title_${view.kind}`));
  put("text", text(view.direct ? "text_connected_rules" : `text_${view.kind}`));
  reveal("held", view.held !== null);
  put("held", view.held === null ? "" : text(`held_${view.held}`));

  reveal("help", view.advice);
  put("advice", view.advice ? text(`do_${view.kind}`) : "");
  reveal("command-row", view.command);
  put("command", view.command ?? "");
  reveal("extension", view.kind === "host_forbidden");
  put("extension", `${text("label_extension")}: ${api.runtime.id}`);

  showError(view.error);
  reveal("facts", view.kind === "connected");
  reveal("exit-row", view.exit);
  reveal("one-hop", view.oneHop);
  put("exit-country", country(view.exit?.country ?? "", LOCALE));
  put("exit-name", view.exit?.nickname ?? "");
  put("down", bytes(view.traffic?.down ?? 0, LOCALE));
  put("up", bytes(view.traffic?.up ?? 0, LOCALE));

  reveal("press", view.press);
  element("press").dataset.press = view.press ?? "";
  put("press", view.press ? text(`press_${view.press}`) : "");
  reveal("escape", view.escape);
  reveal("notice", view.noticePrivate);

  if (view.rules === null) revealSite(false);
  else if (view.rules !== asked) askAboutSite();
  asked = view.rules;
}

/** The tab of this window, and the state of the rules for which its verdict was asked. */
let tab = null;
let asked = null;

async function askAboutSite() {
  const named = new URLSearchParams(location.search).get("tab");
  const [active] = named
    ? [await api.tabs.get(Number(named)).catch(() => null)]
    : await api.tabs.query({ active: true, currentWindow: true });
  tab = active ?? null;
  const url = webAddress(tab?.url);
  if (url) background.postMessage({ site: "test", url });
  else revealSite(false);
}

function revealSite(shown) {
  reveal("site", shown);
  document.body.classList.toggle("with-site", shown);
}

/** @param {{url: string, verdict: import("../lib/messages.js").VerdictInfo | null, error: object | null}} found */
function showSite({ url, verdict, error }) {
  if (url !== tab?.url) return;
  reveal("site-error", error);
  put("site-error", error ? errorText(error) : "");
  if (!verdict) return;
  revealSite(true);
  put("site-host", verdict.host);
  element("site-verdict").dataset.action = verdict.action;
  put("site-verdict", text(`verdict_${verdict.action}`));
  const own = isOwnRule(verdict);
  put("site-why", whyText(verdict));
  for (const choice of choices) {
    choice.ariaPressed = String(own && choice.dataset.action === verdict.action);
  }
  reveal("site-warning", warningText(verdict));
  put("site-warning", warningText(verdict));
  reveal("site-forget", own);
}

function decide(action) {
  background.postMessage({ site: "decide", url: tab.url, action });
  reveal("site-reload", true);
}

/** @param {import("../lib/messages.js").ErrorInfo | null} error  its code may have words of ours in this language */
function showError(error) {
  reveal("error", error);
  if (!error) return;
  const own = text(`error_${String(error.code).replaceAll("-", "_")}`);
  put("error-text", own || (error.message ? "" : text("error_other")));
  put("error-message", error.message ?? "");
  put("error-hint", error.hint ?? "");
}

let background;

/** The background may end at any time; its end is no reason to show what was. */
function open() {
  background = api.runtime.connect({ name: "popup" });
  background.onMessage.addListener((message) => (message.site ? showSite(message.site) : show(message)));
  background.onDisconnect.addListener(open);
}

const press = (name) => background.postMessage({ press: name });

element("press").addEventListener("click", () => {
  // The browser asks the person, and only inside a press.
  if (element("press").dataset.press === "allow") api.permissions.request({ origins: ["<all_urls>"] });
  else press(element("press").dataset.press);
});
element("escape").addEventListener("click", () => press("off"));
element("notice-do").addEventListener("click", () => press("settings"));
element("options").addEventListener("click", () => api.runtime.openOptionsPage());
for (const choice of choices) choice.addEventListener("click", () => decide(choice.dataset.action));
element("site-forget").addEventListener("click", () => decide(null));
element("site-reload").addEventListener("click", () => {
  api.tabs.reload(tab.id);
  reveal("site-reload", false);
});
element("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(element("command").textContent);
  put("copy", text("copied"));
  setTimeout(() => put("copy", text("copy")), 2000);
});

open();

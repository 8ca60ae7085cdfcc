// The popup only shows views and passes presses on; the background decides.

import { api } from "../lib/compat.js";
import { bytes, country, flag, rate } from "../lib/format.js";
import { isOwnRule, webAddress } from "../lib/site.js";
import { counted, errorText, fixText, LOCALE, text, translatePage, warningText, whyText } from "../lib/words.js";
import { chooseExit, showExits } from "./exit.js";
import { NEEDED, showFailing } from "./failing.js";
import { draw } from "./graph.js";
import { showRivals } from "./rivals.js";
import { showOthers, showRoute } from "./route.js";

const element = (id) => document.getElementById(id);

translatePage();
element("options").title = text("options");
const choices = [...element("site-choices").children];

/** The part of the settings page where an error is dealt with. */
const PLACES = { "no-peers": "network", "too-few-peers": "connection", "no-exit-there": "connection" };

/** Change only what differs: a live region repeats whatever is written to it. */
function put(id, words) {
  const target = element(id);
  if (target.textContent !== words) target.textContent = words;
}

function reveal(id, shown) {
  element(id).hidden = !shown;
}

/** @param {import("../lib/state.js").View & {samples: import("../lib/history.js").Sample[]}} view */
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
  showFacts(view);
  reveal("press", view.press);
  element("press").dataset.press = view.press ?? "";
  put("press", view.press ? text(`press_${view.press}`) : "");
  reveal("escape", view.escape);
  reveal("notice", view.noticePrivate);
  reveal("sign-in", view.signIn);
  showRivals(view.kind === "conflict_other");

  // While the helper is attached anew, what is known of the site stays, to be looked at only.
  const waiting = view.rules === null && view.kind === "connecting" && !element("site").hidden;
  for (const button of element("site").querySelectorAll("button")) button.disabled = waiting;
  if (view.rules === null && !waiting) revealSite(false);
  else if (view.rules !== null && view.rules !== asked) askAboutSite();
  asked = view.rules;
}

function showFacts(view) {
  reveal("facts", view.kind === "connected");
  reveal("exit-row", view.exit);
  reveal("one-hop", view.oneHop);
  put("exit-flag", flag(view.exit?.country ?? ""));
  put("exit-country", country(view.exit?.country ?? "", LOCALE));
  put("exit-name", view.exit?.nickname ?? "");
  put("down", bytes(view.traffic?.down ?? 0, LOCALE));
  put("up", bytes(view.traffic?.up ?? 0, LOCALE));
  put("down-rate", rate(view.rates?.down ?? 0, LOCALE));
  put("up-rate", rate(view.rates?.up ?? 0, LOCALE));
  put("peers", counted("peers", view.peers));
  put("mode", view.mode ? text(`mode_${view.mode}`) : "");
  showRoute(element("route"), view.hops);
  showOthers(view.others);
  reveal("warning", view.warning);
  put("warning", view.warning ? [errorText(view.warning), fixText(view.warning)].filter(Boolean).join(" ") : "");
  if (view.kind !== "connected") chooseExit(false);
  draw(view.samples ?? []);
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
  if (!url) return revealSite(false);
  background.postMessage({ site: "test", url });
  background.postMessage({ watch: tab.id });
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

function decide(action, url = tab.url) {
  background.postMessage({ site: "decide", url, action });
  reveal("site-reload", true);
}

/** @param {import("../lib/messages.js").ErrorInfo | null} error  its code may have words of ours in this language */
function showError(error) {
  reveal("error", error);
  if (!error) return;
  const fix = fixText(error);
  put("error-text", errorText({ code: error.code, message: fix ? "" : error.message }));
  put("error-fix", fix);
  const known = element("error-text").textContent === error.message;
  put("error-message", fix || known ? "" : (error.message ?? ""));
  put("error-hint", fix ? "" : (error.hint ?? ""));
  const place = PLACES[error.code];
  reveal("error-do", place);
  element("error-do").dataset.place = place ?? "";
  put("error-do", place ? text(`nav_${place}`) : "");
}

let background;

function take(message) {
  if (message.site) showSite(message.site);
  else if (message.exits) showExits(message.exits);
  else if (message.failing) showFailing(message, decide);
  else show(message);
}

/** The background may end at any time; its end is no reason to show what was. */
function open() {
  background = api.runtime.connect({ name: "popup" });
  background.onMessage.addListener(take);
  background.onDisconnect.addListener(open);
}

const press = (name) => background.postMessage({ press: name });
const settings = (part) => api.tabs.create({ url: api.runtime.getURL(`options/options.html#${part}`) });

element("press").addEventListener("click", () => {
  // The browser asks the person, and only inside a press.
  if (element("press").dataset.press === "allow") api.permissions.request({ origins: ["<all_urls>"] });
  else press(element("press").dataset.press);
});
element("escape").addEventListener("click", () => press("off"));
element("notice-do").addEventListener("click", () => press("settings"));
element("options").addEventListener("click", () => api.runtime.openOptionsPage());
element("exit-change").addEventListener("click", () => {
  if (chooseExit(element("chooser").hidden)) background.postMessage({ choose: null });
});
element("chooser-list").addEventListener("change", ({ target }) => {
  background.postMessage({ choose: target.value });
});
element("sign-in-do").addEventListener("click", () => {
  api.tabs.create({ url: api.runtime.getURL("portal/portal.html") });
});
element("error-do").addEventListener("click", ({ target }) => settings(target.dataset.place));
element("failing-allow").addEventListener("click", async () => {
  if (await api.permissions.request(NEEDED)) background.postMessage({ watch: tab.id });
});
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

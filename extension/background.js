// Entry of the background: wires the browser's events to the reconciler, and its views to icon and popups.

import { api, asksPerRequest, client, portError, settingsUrl } from "./lib/compat.js";
import * as intent from "./lib/intent.js";
import { Host, HostError, NATIVE_HOST } from "./lib/native.js";
import { add } from "./lib/history.js";
import { ConnectionLog } from "./lib/log.js";
import { Menu } from "./lib/menu.js";
import { Notices } from "./lib/notices.js";
import { Observer } from "./lib/observer.js";
import { Portal } from "./lib/portal.js";
import * as privacy from "./lib/privacy.js";
import * as proxyScript from "./lib/proxy.js";
import * as proxyRequests from "./lib/proxy-requests.js";
import { Reconciler } from "./lib/reconcile.js";
import { showIcon } from "./lib/icon.js";
import { editsFor, webAddress } from "./lib/site.js";

const ALARM = "reconcile";

/** @type {Set<chrome.runtime.Port>} */
const popups = new Set();

/** The tab that a popup is about. @type {Map<chrome.runtime.Port, number>} */
const watched = new Map();

/** Pages that show what fails in every tab. @type {Set<chrome.runtime.Port>} */
const overseers = new Set();
const MAX_FAILURES = 100;
let failuresTimer;
let failuresTold = 0;

/** @type {import("./lib/history.js").Sample[]} */
let samples = [];

const notices = new Notices(api);
const menu = new Menu(api, (key) => api.i18n.getMessage(key));
const proxy = asksPerRequest ? proxyRequests : proxyScript;
if (asksPerRequest) proxyRequests.listen();

const reconciler = new Reconciler({
  client,
  intent,
  proxy,
  privacy,
  openHost: (listener) => new Host(() => api.runtime.connectNative(NATIVE_HOST), portError, listener),
  memory: {
    async read() {
      /** @type {{failure?: import("./lib/native.js").Failure | null}} */
      const { failure = null } = await api.storage.session.get("failure");
      return failure;
    },
    write: (failure) => api.storage.session.set({ failure }),
  },
  async setAlarm(on) {
    if (!on) await api.alarms.clear(ALARM);
    else if (!(await api.alarms.get(ALARM))) await api.alarms.create(ALARM, { periodInMinutes: 0.5 });
  },
  portal: () => portal.read(),
  privateWindows: () => api.extension.isAllowedIncognitoAccess(),
  show(view) {
    showIcon(view);
    notices.show(view);
    menu.show(view);
    if (view.kind === "connected" || view.kind === "off") portal.close();
    if (view.rates) samples = add(samples, [Date.now(), view.rates.down ?? 0, view.rates.up ?? 0]);
    else samples = [];
    for (const popup of popups) popup.postMessage({ ...view, samples });
  },
});

const portal = new Portal(api, () => reconciler.wake());
portal.start();

const log = new ConnectionLog(api.storage, (url) => SITE.test(url));
const observer = new Observer(api, showFailing, (tab, url, now) => log.note(url, now));
/** Begin whatever a person's leave to see requests is needed for, once there is it. */
function startSeeing() {
  observer.start();
  proxyRequests.watch(() => reconciler.wake());
}
startSeeing();

/** Tell the popups about `tab` what of its page failed, each with the verdict that a rule would have to change. */
async function showFailing(tab) {
  const about = [...watched].filter(([, shown]) => shown === tab).map(([popup]) => popup);
  if (about.length > 0) {
    const [failing, allowed] = await Promise.all([judged(observer.of(tab)), observer.allowed()]);
    for (const popup of about) if (popups.has(popup)) popup.postMessage({ failing, allowed });
  }
  if (overseers.size > 0) await showFailures();
}

/** At most once a second: a broken page fails in many places at once, and each is judged by the helper. */
async function showFailures() {
  clearTimeout(failuresTimer);
  const wait = failuresTold + 1_000 - Date.now();
  if (wait > 0) {
    failuresTimer = setTimeout(showFailures, wait);
    return;
  }
  failuresTold = Date.now();
  const newest = observer.all().slice(-MAX_FAILURES);
  const [failures, allowed] = await Promise.all([judged(newest), observer.allowed()]);
  for (const page of overseers) page.postMessage({ failures, allowed });
}

/** @param {import("./lib/observer.js").Failing[]} failing */
function judged(failing) {
  return Promise.all(failing.map(async (each) => ({ ...each, verdict: await SITE.test(each.url).catch(() => null) })));
}

const PRESSES = {
  connect: () => reconciler.connect(),
  reconnect: () => reconciler.connect(),
  retry: () => reconciler.connect(),
  disconnect: () => reconciler.disconnect(),
  cancel: () => reconciler.disconnect(),
  off: () => reconciler.disconnect(),
  settings: () => api.tabs.create({ url: settingsUrl() }),
  "portal-open": () => portal.open(),
  "portal-close": () => portal.close(),
};

/** What the popup asks about the site of its tab; the answer is a verdict, or what went wrong. */
const SITE = {
  test: async (url) => (await reconciler.ask("test", { address: url })).verdict,
  async decide(url, action) {
    // The rule's place is that of a state of the rules: asked after it, and refused if another came between.
    const { rules } = await reconciler.ask("rules", { offset: Number.MAX_SAFE_INTEGER });
    const edits = editsFor(await SITE.test(url), action);
    if (edits.length) await reconciler.ask("edit-rules", { base: rules.generation, edits });
    return SITE.test(url);
  },
};

/** Where pages leave, as the popup shows and changes it: with `to`, two letters or empty for any, it is changed. */
async function choose(popup, to) {
  const found = { settings: null, error: null };
  try {
    const change = typeof to === "string" ? ["change-settings", { exit_country: to }] : ["settings", {}];
    found.settings = (await reconciler.ask(...change)).settings;
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    found.error = error.failure.error ?? { code: "host-lost", message: "" };
  }
  if (popups.has(popup)) popup.postMessage({ exits: found });
}

async function answer(popup, { site, url, action = null }) {
  if (!Object.hasOwn(SITE, site) || !webAddress(url)) return;
  const found = { url, verdict: null, error: null };
  try {
    found.verdict = await SITE[site](url, action);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    found.error = error.failure.error ?? { code: "host-lost", message: "" };
  }
  if (popups.has(popup)) popup.postMessage({ site: found });
}

api.runtime.onConnect.addListener((popup) => {
  popups.add(popup);
  popup.onDisconnect.addListener(() => {
    popups.delete(popup);
    overseers.delete(popup);
    watched.delete(popup);
  });
  popup.onMessage.addListener((message) => {
    if (Object.hasOwn(PRESSES, message.press)) PRESSES[message.press]();
    else if (message.site) answer(popup, message);
    else if ("choose" in message) choose(popup, message.choose);
    else if (message.failures) {
      overseers.add(popup);
      showFailures();
    }
    else if (Number.isInteger(message.watch)) {
      watched.set(popup, message.watch);
      showFailing(message.watch);
    }
  });
  reconciler.wake();
});

api.runtime.onStartup.addListener(async () => {
  menu.make();
  const { auto } = await api.storage.local.get("auto");
  return auto === true ? reconciler.connect() : reconciler.wake();
});
api.runtime.onInstalled.addListener(({ reason }) => {
  menu.make();
  if (reason === "install") api.tabs.create({ url: api.runtime.getURL("welcome/welcome.html") });
  reconciler.wake();
});
api.alarms.onAlarm.addListener(({ name }) => name === ALARM && reconciler.wake({ retry: true }));
api.proxy.settings.onChange.addListener(() => reconciler.wake());
api.permissions.onAdded.addListener(() => {
  startSeeing();
  portal.start();
  reconciler.wake({ retry: true });
});
api.permissions.onRemoved.addListener(() => reconciler.wake());

menu.listen((action, url) => {
  if (webAddress(url)) SITE.decide(url, action).catch(() => {});
});

/** Keys end nothing by an oversight: connecting has one, disconnecting has one only if the person gives it one. */
api.commands.onCommand.addListener((name) => {
  if (name === "connect" || name === "disconnect") PRESSES[name]();
});

// The network is another, or the computer slept: what the alarm would find within half a minute is looked at now.
addEventListener("online", () => reconciler.wake({ retry: true }));
api.idle.onStateChanged.addListener((state) => state === "active" && reconciler.wake({ retry: true }));

// Only so that there is a listener: an update then waits for the browser's next start. Measured: while an extension is
// being reloaded, either browser lets pages go directly.
api.runtime.onUpdateAvailable.addListener(() => {});

// Whatever woke us, even an extension switched on again, which has no event.
reconciler.wake();

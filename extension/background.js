// Entry of the background: wires the browser's events to the reconciler, and its views to icon and popups.

import { api, client, portError, settingsUrl, supported } from "./lib/compat.js";
import * as intent from "./lib/intent.js";
import { Host } from "./lib/native.js";
import * as privacy from "./lib/privacy.js";
import * as proxy from "./lib/proxy.js";
import { Reconciler } from "./lib/reconcile.js";
import { showIcon } from "./lib/icon.js";

const NATIVE_HOST = "org.qnet.host";
const ALARM = "reconcile";

/** @type {Set<chrome.runtime.Port>} */
const popups = new Set();

const reconciler = new Reconciler({
  supported,
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
  privateWindows: () => api.extension.isAllowedIncognitoAccess(),
  show(view) {
    showIcon(view);
    for (const popup of popups) popup.postMessage(view);
  },
});

const PRESSES = {
  connect: () => reconciler.connect(),
  reconnect: () => reconciler.connect(),
  retry: () => reconciler.connect(),
  disconnect: () => reconciler.disconnect(),
  cancel: () => reconciler.disconnect(),
  off: () => reconciler.disconnect(),
  settings: () => api.tabs.create({ url: settingsUrl() }),
};

api.runtime.onConnect.addListener((popup) => {
  popups.add(popup);
  popup.onDisconnect.addListener(() => popups.delete(popup));
  popup.onMessage.addListener(({ press }) => Object.hasOwn(PRESSES, press) && PRESSES[press]());
  reconciler.wake();
});

api.runtime.onStartup.addListener(() => reconciler.wake());
api.runtime.onInstalled.addListener(() => reconciler.wake());
api.alarms.onAlarm.addListener(() => reconciler.wake({ retry: true }));
api.proxy.settings.onChange.addListener(() => reconciler.wake());

// Whatever woke us, even an extension switched on again, which has no event.
reconciler.wake();

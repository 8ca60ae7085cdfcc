// The browser, as far as the extension touches it. Everything inside the extension is real.

export function event() {
  const listeners = new Set();
  return {
    addListener: (listener) => listeners.add(listener),
    emit: (...args) => [...listeners].forEach((listener) => listener(...args)),
    clear: () => listeners.clear(),
  };
}

export function port() {
  const made = {
    onMessage: event(),
    onDisconnect: event(),
    sent: [],
    closed: false,
    postMessage: (message) => made.sent.push(message),
    disconnect: () => (made.closed = true),
  };
  return made;
}

function area() {
  let kept = {};
  return {
    get: async (key) => (key in kept ? { [key]: structuredClone(kept[key]) } : {}),
    set: async (values) => void Object.assign(kept, structuredClone(values)),
    remove: async (key) => void delete kept[key],
    clear: () => (kept = {}),
  };
}

function setting(log, name) {
  const made = {
    onChange: event(),
    ours: undefined,
    level: "controllable_by_this_extension",
    async get() {
      const free = made.level === "controllable_by_this_extension";
      if (made.ours !== undefined && free) {
        return { levelOfControl: "controlled_by_this_extension", value: made.ours };
      }
      return { levelOfControl: made.level, value: { mode: "system" } };
    },
    async set({ value }) {
      log.push(`${name} set`);
      made.ours = value;
    },
    async clear() {
      log.push(`${name} clear`);
      made.ours = undefined;
    },
  };
  return made;
}

/** What happened at the boundary, in order. */
export const log = [];
export const ports = [];
export const icon = {};

/** @type {any} */
export const chrome = {
  runtime: {
    id: "a".repeat(32),
    lastError: undefined,
    onConnect: event(),
    onStartup: event(),
    onInstalled: event(),
    onUpdateAvailable: event(),
    getURL: (path) => `chrome-extension://x/${path}`,
    connectNative(name) {
      log.push(`native ${name}`);
      const made = port();
      ports.push(made);
      chrome.onNative?.(made);
      return made;
    },
  },
  storage: { local: area(), session: area(), onChanged: event() },
  proxy: { settings: setting(log, "proxy") },
  privacy: {
    network: {
      webRTCIPHandlingPolicy: setting(log, "webrtc"),
      networkPredictionEnabled: setting(log, "prediction"),
    },
  },
  alarms: {
    kept: new Map(),
    onAlarm: event(),
    get: async (name) => chrome.alarms.kept.get(name),
    create: async (name, info) => void chrome.alarms.kept.set(name, info),
    clear: async (name) => chrome.alarms.kept.delete(name),
  },
  permissions: { onAdded: event(), onRemoved: event(), contains: async () => chrome.webRequest !== undefined },
  extension: { allowed: true, isAllowedIncognitoAccess: async () => chrome.extension.allowed },
  action: {
    setIcon: ({ path }) => (icon.path = path[16]),
    setBadgeText: ({ text }) => (icon.badge = text),
    setBadgeTextColor: () => {},
    setBadgeBackgroundColor: () => {},
    setTitle: ({ title }) => (icon.title = title),
  },
  commands: { onCommand: event() },
  idle: { onStateChanged: event() },
  contextMenus: {
    items: new Map(),
    onClicked: event(),
    removeAll: async () => chrome.contextMenus.items.clear(),
    create: (item) => void chrome.contextMenus.items.set(item.id, item),
    update: async (id, changes) => void Object.assign(chrome.contextMenus.items.get(id) ?? {}, changes),
  },
  i18n: { getMessage: (key) => key },
  tabs: { onRemoved: event(), get: async (id) => ({ id, incognito: id >= 1000 }), create: async ({ url }) => (log.push(`tab ${url}`), { id: 7 }), update: async (id, { url }) => log.push(`tab ${id} ${url}`) },
};

globalThis.chrome = chrome;

/** The worker's own events. */
const online = event();
globalThis.addEventListener = (name, listener) => name === "online" && online.addListener(listener);
export const goOnline = () => online.emit();

const timers = new Set();

/** A worker that is killed takes its timers along; nor do they keep the test's process. */
export function makeTimersMortal() {
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (...args) => {
    const timer = setTimeout(...args).unref();
    timers.add(timer);
    return timer;
  };
}

let generation = 0;

/** The worker dies: its listeners and native ports go, what the browser keeps stays. */
export function kill() {
  const { runtime, alarms, proxy } = chrome;
  const events = [runtime.onConnect, runtime.onStartup, runtime.onInstalled, alarms.onAlarm, proxy.settings.onChange];
  for (const one of events) one.clear();
  for (const one of [online, runtime.onUpdateAvailable, chrome.commands.onCommand, chrome.idle.onStateChanged]) one.clear();
  chrome.contextMenus.onClicked.clear();
  timers.forEach(clearTimeout);
  timers.clear();
  ports.length = 0;
}

/** The worker starts. */
export async function start() {
  await import(`../../extension/background.js?${++generation}`);
}

/** A new profile with the extension just installed. */
export function reset() {
  kill();
  chrome.storage.local.clear();
  chrome.storage.session.clear();
  for (const made of [chrome.proxy.settings, ...Object.values(chrome.privacy.network)]) {
    made.ours = undefined;
    made.level = "controllable_by_this_extension";
  }
  chrome.alarms.kept.clear();
  chrome.extension.allowed = true;
  chrome.runtime.lastError = undefined;
  chrome.onNative = undefined;
  log.length = 0;
}

// The sign-in page of a network (a captive portal): when a person asks, for a few minutes, the hosts that it is made of
// go directly. Everything else stays held back.
//
// 1. The browser's own question for such a page goes directly, in a tab of its own.
// 2. Who answers in its place leads that tab on; each host it is led to, and what those pages are made of, joins in.
// 3. It ends when the tunnel is there, the tab is closed, the person says so, or the time is over.
//
// What a network's own page can do with that is bounded: so many hosts, so long, and no tab but that one leads to them.

import { client } from "./compat.js";

export const MINUTES = 5;
const MAX_HOSTS = 24;
const MAX_RELOADS = 3;
const RELOAD_AFTER = 800;
const KEY = "portal";
const ALARM = "portal";

/** What this browser itself asks to find such a page: it tells an observer nothing new. */
const PROBES = { chromium: "http://www.gstatic.com/generate_204", firefox: "http://detectportal.firefox.com/canonical.html" };
export const PROBE = PROBES[client];

/** @typedef {{until: number, hosts: string[], tab: number | null}} Open  `until` in milliseconds */

/**
 * A script that lets only these hosts go directly, and holds back all else.
 * @param {string[]} hosts
 */
export function portalScript(hosts) {
  return `var PORTAL = ${JSON.stringify(hosts)};
function FindProxyForURL(url, host) {
  if (PORTAL.indexOf(String(host).toLowerCase()) >= 0) return "DIRECT";
  throw new Error("QNet holds pages back");
}
`;
}

/** @param {string} script @returns {string[] | null} null where it is none of these */
export function portalHosts(script) {
  const line = /^var PORTAL = (\[.*\]);$/m.exec(script);
  return line ? JSON.parse(line[1]) : null;
}

export class Portal {
  #api;
  #changed;
  #listening = false;
  #reloads = 0;
  /** Its tab; null: none, undefined: not yet read. Requests are many, and nearly none is about this. */
  #tab;
  #timer;
  /** Tried again already: a page that fails although its host goes directly has failed. @type {Set<string>} */
  #again = new Set();
  /** One change after the other. @type {Promise<unknown>} */
  #queue = Promise.resolve();

  /** @param {typeof chrome} api @param {() => Promise<unknown>} changed  puts what is open now in force */
  constructor(api, changed) {
    this.#api = api;
    this.#changed = changed;
    this.read().then((open) => (this.#tab ??= open?.tab ?? null));
    api.alarms.onAlarm.addListener(({ name }) => name === ALARM && this.close());
  }

  /** @returns {Promise<Open | null>} */
  async read() {
    const { [KEY]: open = null } = await this.#api.storage.session.get(KEY);
    return open && open.until > Date.now() ? open : null;
  }

  async open() {
    this.#again.clear();
    this.#reloads = 0;
    // Its number is known before it asks for anything.
    const { id } = await this.#api.tabs.create({ url: "about:blank" });
    this.#tab = id;
    await this.#write({ until: Date.now() + MINUTES * 60_000, hosts: [new URL(PROBE).hostname], tab: id ?? null });
    await this.#api.alarms.create(ALARM, { delayInMinutes: MINUTES });
    await this.#changed();
    await this.#api.tabs.update(id, { url: PROBE });
  }

  async close() {
    clearTimeout(this.#timer);
    this.#tab = null;
    if (!(await this.#api.storage.session.get(KEY))[KEY]) return;
    await this.#api.storage.session.remove(KEY);
    await this.#api.alarms.clear(ALARM);
    await this.#changed();
  }

  /** Listen where that is allowed; to be called whenever a permission may have come. */
  start() {
    const { webRequest, tabs } = this.#api;
    if (this.#listening || !webRequest) return;
    this.#listening = true;
    const all = { urls: ["<all_urls>"] };
    webRequest.onBeforeRedirect.addListener((details) => this.#led(details, details.url, details.redirectUrl), all);
    webRequest.onBeforeRequest.addListener((details) => this.#led(details, initiatorOf(details), details.url), all);
    webRequest.onErrorOccurred.addListener((details) => this.#failed(details), all);
    tabs.onRemoved.addListener(async (tab) => (await this.read())?.tab === tab && this.close());
  }

  /** A page of an open host leads to another host. */
  #led({ tabId }, from, to) {
    if (!from || !this.#mayBeOurs(tabId) || !/^https?:/.test(to)) return;
    this.#queue = this.#queue.then(async () => {
      const open = await this.read();
      const { hostname } = new URL(to);
      if (!open || open.tab !== tabId || open.hosts.includes(hostname) || open.hosts.length >= MAX_HOSTS) return;
      if (!open.hosts.includes(hostOf(from))) return;
      await this.#write({ ...open, hosts: [...open.hosts, hostname] });
      await this.#changed();
    });
  }

  /** What was asked for before its host was known is asked for again. */
  #failed({ tabId, type, url }) {
    if (!this.#mayBeOurs(tabId)) return;
    this.#queue = this.#queue.then(async () => {
      const open = await this.read();
      if (!open || open.tab !== tabId || !open.hosts.includes(hostOf(url)) || this.#again.has(url)) return;
      this.#again.add(url);
      if (type === "main_frame") await this.#api.tabs.update(tabId, { url }).catch(() => {});
      else if (this.#reloads < MAX_RELOADS) {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => (this.#reloads++, this.#api.tabs.reload(tabId).catch(() => {})), RELOAD_AFTER);
      }
    });
  }

  #mayBeOurs(tabId) {
    return this.#tab === undefined || this.#tab === tabId;
  }

  #write(open) {
    return this.#api.storage.session.set({ [KEY]: open });
  }
}

/** The address of the page that asks; the browsers have two names for it. */
function initiatorOf({ initiator, originUrl }) {
  return initiator ?? originUrl ?? "";
}

function hostOf(url) {
  return URL.canParse(url) ? new URL(url).hostname : "";
}

// What of a page did not load, tab by tab, for whoever lets QNet see requests: nothing is seen before. In memory only,
// and nothing of private windows: not even for the popup's own list, which another window could show.

const ALL = { urls: ["<all_urls>"] };
const MAX_TABS = 50;
const MAX_HOSTS = 30;

/** The permissions that seeing requests takes. */
export const NEEDED = { permissions: ["webRequest"], origins: ALL.urls };

/** Cancelled by the page, the person or another extension: nothing that a rule could repair. */
const NO_FAILURE = /ABORTED|BLOCKED_BY_(CLIENT|ORB|RESPONSE|CSP)|CACHE_MISS|NS_BINDING_ABORTED|NS_ERROR_ABORT|NS_IMAGELIB|_CONTENT_/;

/** @type {[RegExp, string][]} The browsers' names for it, to ours: fail_<kind>. */
const KINDS = [
  [/TIMED_OUT|NET_TIMEOUT/, "timeout"],
  [/NAME_NOT_RESOLVED|UNKNOWN_HOST/, "name"],
  [/CERT|SSL|SEC_ERROR|MOZILLA_PKIX/, "secure"],
  [/SOCKS|PROXY|TUNNEL|EMPTY_RESPONSE|CONNECTION|NET_RESET|NET_INTERRUPT/, "refused"],
];

/** @param {string} words  the browser's @returns {string | null} none where it is no failure to a person */
export function failureKind(words) {
  if (NO_FAILURE.test(words)) return null;
  return KINDS.find(([pattern]) => pattern.test(words))?.[1] ?? "other";
}

/**
 * @typedef {{host: string, url: string, failure: string, count: number}} Failing
 */
export class Observer {
  #api;
  #changed;
  #seen;
  /** @type {Map<number, Map<string, Failing>>} */
  #tabs = new Map();
  #listening = false;

  /**
   * @param {typeof chrome} api
   * @param {(tab: number) => void} changed
   * @param {(tab: number, url: string, now: number) => void} seen  every request of a tab that is not private
   */
  constructor(api, changed, seen) {
    this.#api = api;
    this.#changed = changed;
    this.#seen = seen;
  }

  /** Listen where that is allowed; to be called whenever a permission may have come. */
  start() {
    const { webRequest, tabs } = this.#api;
    if (this.#listening || !webRequest) return;
    this.#listening = true;
    webRequest.onErrorOccurred.addListener((details) => this.#failed(details), ALL);
    webRequest.onBeforeRequest.addListener((details) => this.#began(details), ALL);
    tabs.onRemoved.addListener((tab) => this.#tabs.delete(tab));
  }

  /** Whether requests are seen at all. */
  allowed() {
    return this.#api.permissions.contains(NEEDED);
  }

  /** @param {number} tab @returns {Failing[]} */
  of(tab) {
    return [...(this.#tabs.get(tab)?.values() ?? [])];
  }

  /** What failed in every tab, each host once for its tab. @returns {Failing[]} */
  all() {
    return [...this.#tabs.values()].flatMap((hosts) => [...hosts.values()]);
  }

  async #began({ tabId, type, url, timeStamp, incognito }) {
    if (type === "main_frame" && this.#tabs.delete(tabId)) this.#changed(tabId);
    if (await this.#isOrdinary(tabId, incognito)) this.#seen(tabId, url, timeStamp);
  }

  async #failed({ tabId, url, error, incognito }) {
    const failure = failureKind(error);
    if (!failure || !/^(https?|wss?):/.test(url)) return;
    if (!(await this.#isOrdinary(tabId, incognito))) return;
    if (!this.#tabs.has(tabId)) {
      if (this.#tabs.size >= MAX_TABS) this.#tabs.delete(this.#tabs.keys().next().value);
      this.#tabs.set(tabId, new Map());
    }
    const hosts = this.#tabs.get(tabId);
    const { hostname } = new URL(url);
    const known = hosts.get(hostname);
    if (known) known.count++;
    else if (hosts.size < MAX_HOSTS) hosts.set(hostname, { host: hostname, url, failure, count: 1 });
    this.#changed(tabId);
  }

  /** What no tab asked for cannot be told from a private window's. */
  async #isOrdinary(tabId, incognito) {
    if (tabId < 0 || incognito) return false;
    if (incognito === false) return true;
    const tab = await this.#api.tabs.get(tabId).catch(() => null);
    return tab !== null && !tab.incognito;
  }
}

// The connection log: which hosts were asked for, what became of them and by which rule. Kept only while a person has
// it on, in the browser's memory for this session; never of private windows; the oldest entries go first.

export const MAX_ENTRIES = 500;
/** The same host again within so many milliseconds is not another entry. */
export const AGAIN = 10_000;
/** In a rule's place. */
export const FROM_LIST = -2;

/**
 * @typedef {{at: number, host: string, action: string, rule: number, unmet: boolean}} Entry
 *   `rule` is its place, -1 where the default decided, -2 where a list did. While QNet is off nobody can be asked, and nothing is written
 */
export class ConnectionLog {
  #storage;
  #test;
  /** @type {Map<string, number>} */
  #recent = new Map();
  #queue = Promise.resolve();
  /** Known to be off: requests are many, and storage is not asked for each. */
  #off = false;

  /**
   * @param {typeof chrome.storage} storage
   * @param {(url: string) => Promise<import("./messages.js").VerdictInfo>} test
   */
  constructor(storage, test) {
    this.#storage = storage;
    this.#test = test;
    storage.onChanged.addListener((changes, area) => {
      if (area === "local" && "log" in changes) this.#off = false;
    });
  }

  async isOn() {
    return (await this.#storage.local.get("log")).log === true;
  }

  /** @param {string} url @param {number} now  milliseconds */
  note(url, now) {
    if (this.#off || !/^(https?|wss?):/.test(url)) return this.#queue;
    const { host } = new URL(url);
    if (now - (this.#recent.get(host) ?? -Infinity) < AGAIN) return this.#queue;
    this.#recent.delete(host);
    this.#recent.set(host, now);
    if (this.#recent.size > MAX_ENTRIES) this.#recent.delete(this.#recent.keys().next().value);
    this.#queue = this.#queue.then(() => this.#write(url, host, now)).catch(() => {});
    return this.#queue;
  }

  async #write(url, host, at) {
    if (!(await this.isOn())) {
      this.#off = true;
      this.#recent.delete(host); // or what is asked for just after it is switched on would be missing
      return;
    }
    const { action, index = -1, unmet = false, section } = await this.#test(url);
    const rule = section ? FROM_LIST : index;
    const entry = { at, host, action, rule, unmet };
    const { entries = [] } = await this.#storage.session.get("entries");
    // Switched off meanwhile: the person wants nothing of it.
    if (await this.isOn()) await this.#storage.session.set({ entries: [...entries, entry].slice(-MAX_ENTRIES) });
  }
}

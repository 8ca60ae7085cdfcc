// The helper's rules as this page knows them: a copy that is loaded in pieces and changed only with its consent.

/** @typedef {import("../lib/messages.js").Rule} Rule */
/** @typedef {import("../lib/messages.js").Edit} Edit */

const UPLOAD_CHUNK = 128 * 1024;
const RESTARTS = 5;

export class Rules {
  /** @type {Rule[]} */
  list = [];
  generation = 0;
  /** @type {import("../lib/messages.js").RuleAction} */
  otherwise = "tunnel";
  /** @type {import("../lib/messages.js").Generation[]} */
  generations = [];
  /** @type {import("../lib/messages.js").ErrorInfo | null} */
  problem = null;
  #ask;

  /** @param {(cmd: string, fields: object) => Promise<import("../lib/messages.js").Answer>} ask */
  constructor(ask) {
    this.#ask = ask;
  }

  /** All of them; begins again where they change meanwhile. */
  async load() {
    for (let restarts = 0; restarts < RESTARTS; restarts++) {
      const list = [];
      let page;
      let first;
      do {
        ({ rules: page } = await this.#ask("rules", { offset: list.length }));
        first ??= page;
        list.push(...page.rules);
      } while (page.generation === first.generation && page.rules.length && list.length < page.total);
      if (page.generation === first.generation && list.length === page.total) {
        this.list = list;
        this.#take(page);
        return;
      }
    }
    throw new Error("the rules do not stay still");
  }

  /**
   * @param {Edit[]} edits  each with at most a few rules to insert
   * @param {{default?: import("../lib/messages.js").RuleAction}} more
   */
  async edit(edits, more = {}) {
    const { rules } = await this.#ask("edit-rules", { base: this.generation, edits, ...more });
    for (const { at, remove = 0, insert = [] } of edits) this.list.splice(at, remove, ...insert);
    this.#take(rules);
    for (const { at, insert = [] } of edits) if (insert.length) await this.#refresh(at, insert.length);
  }

  /** A rule comes back as the helper writes it, which need not be how it was typed. */
  async #refresh(at, count) {
    const { rules } = await this.#ask("rules", { offset: at });
    if (rules.generation === this.generation) this.list.splice(at, count, ...rules.rules.slice(0, count));
  }

  /** @param {number} from @param {number} to  its place afterwards */
  move(from, to) {
    const rule = this.list[from];
    return this.edit([
      { at: from, remove: 1 },
      { at: to, remove: 0, insert: [rule] },
    ]);
  }

  /** @param {number} generation */
  async restore(generation) {
    await this.#ask("restore-rules", { base: this.generation, generation });
    await this.load();
  }

  /** @param {string} text  the file */
  async upload(text) {
    const whole = text.toWellFormed();
    let at = 0;
    let offset = 0;
    do {
      // Not between the halves of one character.
      let end = at + UPLOAD_CHUNK;
      if (/[\ud800-\udbff]/.test(whole[end - 1] ?? "")) end++;
      const piece = whole.slice(at, end);
      await this.#ask("upload", { offset, text: piece });
      at += piece.length;
      offset += lengthOf(piece);
    } while (at < whole.length);
  }

  /**
   * @param {{action: string, replace?: boolean, trial?: boolean}} how
   * @returns {Promise<import("../lib/messages.js").ImportReport>}
   */
  async import(how) {
    const { imported } = await this.#ask("import-rules", { base: this.generation, ...how });
    if (!how.trial) await this.load();
    return imported;
  }

  /** What a person keeps or passes on. */
  export() {
    const document = { format: "qnet-rules", version: 1, default: this.otherwise, rules: this.list };
    return JSON.stringify(document, null, 1) + "\n";
  }

  #take(page) {
    this.generation = page.generation;
    this.otherwise = page.default;
    this.generations = page.generations;
    this.problem = page.problem ?? null;
  }
}

/** Characters as the helper counts them. */
function lengthOf(text) {
  let pairs = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code >= 0xd800 && code < 0xdc00) pairs++;
  }
  return text.length - pairs;
}

/**
 * The places of the rules that contain `words` in pattern or note.
 * @param {Rule[]} list
 * @param {string} words
 */
export function search(list, words) {
  const wanted = words.trim().toLowerCase();
  const found = [];
  list.forEach(({ pattern, note = "" }, place) => {
    if (pattern.toLowerCase().includes(wanted) || note.toLowerCase().includes(wanted)) found.push(place);
  });
  return found;
}

/** What reaches this computer's own network, which no exit does. */
export const LOCAL_NETWORK = [
  ["cidr", "10.0.0.0/8"],
  ["cidr", "172.16.0.0/12"],
  ["cidr", "192.168.0.0/16"],
  ["cidr", "169.254.0.0/16"],
  ["cidr", "fc00::/7"],
  ["cidr", "fe80::/10"],
  ["domain", "local"],
  ["regex", "^[a-z0-9_-]+$"],
].map(([kind, pattern]) => ({ kind, pattern, action: "direct" }));

// One conversation with the native host over a native-messaging port: requests answered by id, and pushed events.

import { checkedError, checkedStatus } from "./checked.js";

export const NATIVE_HOST = "org.qnet.host";

/**
 * Why the conversation is over, or never began.
 * - missing, forbidden, broken, crashed: what is wrong with the native host's installation
 * - lost: it served, then went away
 * - failed: it, or the helper behind it, said why in `error`
 * @typedef {"missing" | "forbidden" | "broken" | "crashed" | "lost" | "failed"} FailureKind
 * @typedef {{kind: FailureKind, error?: import("./messages.js").ErrorInfo}} Failure
 */

/** @type {[RegExp, FailureKind][]} Chromium's and Firefox's own words when a native port closes. */
const WORDS = [
  [/host not found|no such native application/i, "missing"],
  [/is forbidden/i, "forbidden"],
  [/error when communicating|tried to send a message/i, "broken"],
  [/failed to start/i, "crashed"],
];

/**
 * @param {string} words  the browser's
 * @param {boolean} answered  whether the host had answered anything before
 * @returns {FailureKind}
 */
export function classify(words, answered) {
  const known = WORDS.find(([pattern]) => pattern.test(words));
  return known ? known[1] : answered ? "lost" : "crashed";
}

/** Carries a `Failure` through a rejected promise. */
export class HostError extends Error {
  /** @param {Failure} failure */
  constructor(failure) {
    super(failure.error?.message ?? failure.kind);
    this.failure = failure;
  }
}

/**
 * @param {string} code  one of ours, with its text under error_<code>
 * @param {unknown} [cause]
 */
export function failed(code, cause) {
  const message = cause === undefined ? "" : String(cause);
  return new HostError({ kind: "failed", error: { code, message } });
}

/** @type {import("./messages.js").ErrorInfo} */
const BAD = { code: "bad-message", message: "" };
const ANSWER_WITHIN = 30_000;
const EXAMINE_WITHIN = 2_000;

export class Host {
  #open;
  #port;
  #listener;
  #portError;
  #answered = false;
  #next = 1;
  /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: HostError) => void}>} */
  #pending = new Map();
  /** @type {Failure | null} */
  #ended = null;

  /**
   * @param {() => chrome.runtime.Port} open
   * @param {(port: chrome.runtime.Port) => string} portError
   * @param {{status: (status: import("./messages.js").Status) => void, closed: (failure: Failure) => void}} listener
   *   `closed` is called once, unless we close first
   */
  constructor(open, portError, listener) {
    this.#open = open;
    this.#portError = portError;
    this.#listener = listener;
    this.#port = open();
    this.#port.onMessage.addListener((message) => this.#receive(message));
    this.#port.onDisconnect.addListener((port) => {
      const kind = classify(portError(port), this.#answered);
      if (kind === "broken" && !this.#answered) this.#examine();
      else this.#end({ kind });
    });
  }

  /**
   * @param {string} cmd
   * @param {object} fields
   * @param {number} within  milliseconds
   * @returns {Promise<import("./messages.js").Answer>} an answer that is ok; otherwise rejects with a `HostError`
   */
  async request(cmd, fields = {}, within = ANSWER_WITHIN) {
    if (this.#ended) throw new HostError(this.#ended);
    const id = this.#next++;
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        this.#pending.set(id, { resolve, reject });
        timer = setTimeout(() => reject(this.#silence()), within);
        this.#port.postMessage({ cmd, id, ...fields });
      });
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  /** End the conversation from our side. */
  close() {
    if (this.#ended) return;
    this.#ended = { kind: "lost" };
    this.#port.disconnect();
    this.#rejectAll();
  }

  #receive(message) {
    if (this.#ended || message === null || typeof message !== "object") return;
    if (message.event === "failed") {
      this.#end({ kind: "failed", error: checkedError(message.error) ?? BAD });
    } else if (message.event === "status") {
      const status = checkedStatus(message.status);
      if (status) return this.#listener.status(status);
      // What it last said may be true no more, and what it says now is unknown.
      this.#port.disconnect();
      this.#end({ kind: "failed", error: BAD });
    } else if (this.#pending.has(message.id)) {
      this.#answered = true;
      const { resolve, reject } = this.#pending.get(message.id);
      if (message.ok !== true) reject(new HostError({ kind: "failed", error: checkedError(message.error) ?? BAD }));
      else resolve(message.status ? { ...message, status: checkedStatus(message.status) } : message);
    }
  }

  /** Nothing was ever understood: something else answers. Later silence is the helper's. */
  #silence() {
    return this.#answered ? failed("silent") : new HostError({ kind: "broken" });
  }

  /**
   * Chromium has the same words for a host that says nonsense and for one that was gone before we wrote to it.
   * Start it once more and write nothing: then only the former is broken.
   */
  #examine() {
    const port = this.#open();
    const timer = setTimeout(() => {
      port.disconnect();
      this.#end({ kind: "broken" });
    }, EXAMINE_WITHIN);
    port.onDisconnect.addListener(() => {
      clearTimeout(timer);
      this.#end({ kind: classify(this.#portError(port), false) });
    });
  }

  /** @param {Failure} failure */
  #end(failure) {
    if (this.#ended) return;
    this.#ended = failure;
    this.#rejectAll();
    this.#listener.closed(failure);
  }

  #rejectAll() {
    for (const { reject } of this.#pending.values()) reject(new HostError(this.#ended));
  }
}

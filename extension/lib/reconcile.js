// Compares what the person wants with what is real, and mends the difference. Runs on every wake.
//
// Connecting: hello → show how this browser begins, where unknown → connect → all of the script → set the proxy and the
// guards → wait for status events.
// Disconnecting: remember "off" → give the lease back → clear the proxy and the guards.
// The helper's rules change: fetch the script anew → set it; until then the one before stays in force.
// A conversation that breaks leaves nothing that leads anywhere in force, and is begun again by itself, ever later.
// A network's sign-in page is open: only that goes directly, until the tunnel is there.

import * as capture from "./capture.js";
import { failed, HostError } from "./native.js";
import { fetchPac, hashOf } from "./pac.js";
import { portalScript } from "./portal.js";
import { viewOf } from "./state.js";

export const PROTOCOL_VERSION = 1;
const GOODBYE_WITHIN = 2_000;
/** Milliseconds before each further try after a helper that had served is gone; then the alarm's interval. */
const AGAIN_AFTER = [400, 1_500, 4_000, 10_000];

/**
 * The boundary to the browser; background.js binds it.
 * @typedef {object} Browser
 * @property {string} client
 * @property {typeof import("./intent.js")} intent
 * @property {typeof import("./proxy.js")} proxy
 * @property {typeof import("./privacy.js")} privacy
 * @property {(listener: object) => import("./native.js").Host} openHost
 * @property {{read: () => Promise<import("./native.js").Failure | null>,
 *   write: (failure: import("./native.js").Failure | null) => Promise<void>}} memory  outlives the worker only
 * @property {(on: boolean) => Promise<void>} setAlarm
 * @property {() => Promise<import("./portal.js").Open | null>} portal
 * @property {() => Promise<boolean>} privateWindows
 * @property {(view: import("./state.js").View) => void} show
 */

export class Reconciler {
  /** @type {Browser} */
  #browser;
  /** @type {import("./native.js").Host | null} */
  #host = null;
  /** @type {import("./native.js").Failure | null} */
  #failure = null;
  /** @type {import("./messages.js").Status | null} */
  #status = null;
  /** @type {{text: string, hash: string} | null} */
  #pac = null;
  #remembered = false;
  #turn = 0;
  #tries = 0;
  #queue = Promise.resolve();

  /** @param {Browser} browser */
  constructor(browser) {
    this.#browser = browser;
  }

  /**
   * Mend whatever differs. `retry` also tries again after a failure; without it the failure stays to be read.
   * @param {{retry?: boolean}} options
   */
  wake({ retry = false } = {}) {
    const next = this.#queue.then(() => this.#mend(retry));
    this.#queue = next.catch(() => {});
    return next;
  }

  async connect() {
    await this.#browser.intent.write("connected");
    await this.wake({ retry: true });
  }

  async disconnect() {
    await this.#browser.intent.write("off");
    const host = this.#host;
    if (host) {
      // Before the script is here the lease may not be taken; closing gives it back all the same.
      if (this.#pac) await host.request("disconnect", {}, GOODBYE_WITHIN).catch(() => {});
      host.close();
      if (this.#host === host) this.#host = null;
    }
    await this.wake();
  }

  /**
   * Ask the helper that carries the pages; rejects with a `HostError` where there is none.
   * @param {string} cmd
   * @param {object} fields
   */
  async ask(cmd, fields) {
    if (!this.#host || !this.#pac) throw failed("host-lost");
    return this.#host.request(cmd, fields);
  }

  /** @param {boolean} retry */
  async #mend(retry) {
    const { memory, setAlarm, privacy } = this.#browser;
    if (!this.#remembered) {
      this.#failure ??= await memory.read();
      this.#remembered = true;
    }
    const wanted = (await this.#intent()) === "connected";
    await setAlarm(wanted);
    if (!wanted) {
      await this.#release();
      return this.#show();
    }
    await this.#close();
    if (!this.#host && (retry || !this.#failure)) await this.#attach();
    else if (this.#pac) await this.#hold({ contested: false });
    if (!this.#pac) await this.#block();
    if ((await this.#browser.proxy.read()).hash !== null) await privacy.guard();
    return this.#show();
  }

  /** Nothing legible stored while our script is in force: somebody was connected; stay closed. */
  async #intent() {
    const stored = await this.#browser.intent.read();
    if (stored) return stored;
    return (await this.#browser.proxy.read()).control === "ours" ? "connected" : "off";
  }

  /** A browser may drop a script that it had (an unpacked extension's, at each start): hold back all until ours is. */
  async #close() {
    const { intent, proxy } = this.#browser;
    const { control } = await proxy.read();
    if (control === "free" && !this.#pac && (await intent.armed())) await proxy.apply(await this.#shut());
  }

  /** The helper is gone: its port may be anybody's by now, so the script that leads there goes too. */
  async #block() {
    const { proxy } = this.#browser;
    const { control, hash } = await proxy.read();
    const script = await this.#shut();
    if (control === "ours" && hash !== (await hashOf(script))) await proxy.apply(script);
  }

  /** What is in force without a tunnel: nothing goes, but for a sign-in page that a person asked for. */
  async #shut() {
    const open = await this.#browser.portal();
    return open ? portalScript(open.hosts) : this.#browser.proxy.NOTHING;
  }

  async #release() {
    const { proxy, privacy } = this.#browser;
    this.#host?.close();
    this.#host = this.#pac = this.#status = null;
    await this.#remember(null);
    if ((await proxy.read()).control !== "free") await proxy.clear();
    await privacy.restore();
  }

  async #attach() {
    const { openHost, client } = this.#browser;
    this.#status = this.#pac = null;
    await this.#remember(null);
    await this.#show();
    // Read last: whoever turns off from here on finds a conversation to end.
    if ((await this.#intent()) !== "connected") return;
    const host = openHost({
      status: (status) => this.#heard(host, status),
      closed: (failure) => this.#closed(host, failure),
    });
    this.#host = host;
    try {
      const { hello } = await host.request("hello", { version: PROTOCOL_VERSION, client });
      if (hello?.version !== PROTOCOL_VERSION) {
        throw failed("version");
      }
      await capture.show(host, hello);
      const answer = await host.request("connect");
      this.#status = answer.status ?? this.#status;
      const pac = await fetchPac(host);
      if (this.#host !== host) return;
      this.#pac = pac;
      await this.#hold({ contested: true });
    } catch (error) {
      await this.#giveUp(host, error);
    }
  }

  async #giveUp(host, error) {
    if (this.#host !== host) return;
    this.#host = this.#pac = null;
    host.close();
    await this.#remember(error instanceof HostError ? error.failure : failed("other", error).failure);
  }

  /** A script that does not arrive whole ends the conversation: nobody may believe that the new rules hold. */
  async #renew(host) {
    if (host !== this.#host || !this.#isStale()) return;
    try {
      const pac = await fetchPac(host);
      if (host !== this.#host) return;
      this.#pac = pac;
      await this.#hold({ contested: false });
      await this.#show();
    } catch (error) {
      await this.#giveUp(host, error);
      this.wake();
    }
  }

  #isStale() {
    return this.#pac !== null && Boolean(this.#status?.pac_hash) && this.#status.pac_hash !== this.#pac.hash;
  }

  /**
   * Put our script in force where it is not. One who outranks us is told once, at the start: then ours takes
   * over the moment the other goes, and we do not answer each of its changes with one of ours.
   */
  async #hold({ contested }) {
    const { intent, proxy } = this.#browser;
    const { control, hash } = await proxy.read();
    const open = this.#status?.state !== "connected" && (await this.#browser.portal());
    const text = open ? portalScript(open.hosts) : this.#pac.text;
    if (hash === (open ? await hashOf(text) : this.#pac.hash)) return;
    if (contested || control === "ours" || control === "free") await proxy.apply(text);
    await intent.arm();
  }

  #heard(host, status) {
    if (host !== this.#host) return;
    const came = status.state === "connected" && this.#status?.state !== "connected";
    this.#status = status;
    if (came) {
      this.#tries = 0;
      this.wake(); // what was let through without a tunnel ends
    }
    if (this.#isStale()) this.#queue = this.#queue.then(() => this.#renew(host));
    this.#show();
  }

  #closed(host, failure) {
    if (host !== this.#host) return;
    this.#host = this.#status = this.#pac = null;
    this.#failure = failure;
    this.wake();
    this.#remember(failure);
    if (failure.kind === "lost" || failure.error?.code === "helper-lost") this.#tryAgain();
  }

  #tryAgain() {
    const after = AGAIN_AFTER[this.#tries++];
    if (after !== undefined) setTimeout(() => this.#failure && this.wake({ retry: true }), after);
  }

  async #remember(failure) {
    this.#failure = failure;
    await this.#browser.memory.write(failure);
  }

  async #show() {
    const turn = ++this.#turn;
    const { proxy, privateWindows, show } = this.#browser;
    const facts = {
      permitted: await proxy.permitted(),
      intent: await this.#intent(),
      proxy: await proxy.read(),
      privateWindows: await privateWindows(),
    };
    if (turn !== this.#turn) return;
    // What may change at any moment is read last, after the last await.
    show(
      viewOf({ ...facts, expected: this.#pac?.hash ?? null, failure: this.#failure, status: this.#status }),
    );
  }
}


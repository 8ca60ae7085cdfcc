// From facts to what the person sees. Pure.

/**
 * @typedef {object} Facts
 * @property {boolean} permitted  the extension may see this browser's requests at all
 * @property {import("./intent.js").Intent} intent
 * @property {import("./proxy.js").Proxy} proxy
 * @property {string | null} expected  the hash of the script that this conversation's helper gave
 * @property {import("./native.js").Failure | null} failure
 * @property {import("./messages.js").Status | null} status  null while no helper is heard
 * @property {boolean} privateWindows  whether the extension is let into them
 *
 * @typedef {object} View
 * @property {string} kind  also names the texts: title_<kind>, text_<kind>, do_<kind>
 * @property {"off" | "connecting" | "connected" | "blocked"} look  colour and icon
 * @property {string} badge
 * @property {string | null} press  the big button: press_<press>
 * @property {boolean} escape  whether turning off is offered beside it
 * @property {string | null} command  what to run in a terminal
 * @property {boolean} advice  whether do_<kind> exists
 * @property {boolean} direct  connected, but some pages may go directly by the person's own rules
 * @property {"all" | "ordinary" | "rules" | "portal" | "none" | null} held  whose pages cannot go around the tunnel: held_<held>.
 *   Chromium lets windows go direct that the extension is not let into, so "ordinary" windows only is the default
 * @property {import("./messages.js").ErrorInfo | null} error
 * @property {import("./messages.js").Hop | null} exit
 * @property {import("./messages.js").Hop[]} hops  of the route, nearest first
 * @property {import("./messages.js").Hop[][]} others  the routes that stand ready beside it
 * @property {import("./messages.js").ErrorInfo | null} warning  it works, but not as it should
 * @property {boolean} signIn  a page of this network may be in the way, and could be let through
 * @property {number} peers  known
 * @property {string} mode  the helper's, empty while none is heard
 * @property {boolean} oneHop  the exit sees both ends
 * @property {import("./messages.js").Traffic | null} traffic
 * @property {import("./messages.js").Rates | null} rates
 * @property {boolean} noticePrivate
 * @property {number | null} rules  the state of the rules by which pages are carried now
 */

/** @type {Record<string, Pick<View, "look" | "press" | "escape"> & {command?: string, advice?: boolean}>} */
export const KINDS = {
  off: { look: "off", press: "connect", escape: false },
  connecting: { look: "connecting", press: "cancel", escape: false },
  connected: { look: "connected", press: "disconnect", escape: false },
  blocked: { look: "blocked", press: "reconnect", escape: true },
  failed: { look: "blocked", press: "retry", escape: true },
  host_missing: { look: "blocked", press: "retry", escape: true, command: "qnet install", advice: true },
  host_forbidden: { look: "blocked", press: "retry", escape: true, command: "qnet install", advice: true },
  host_broken: { look: "blocked", press: "retry", escape: true, command: "qnet install", advice: true },
  host_crashed: { look: "blocked", press: "retry", escape: true, command: "qnet install", advice: true },
  conflict_other: { look: "blocked", press: "retry", escape: true, advice: true },
  conflict_policy: { look: "blocked", press: "retry", escape: true, advice: true },
  no_permission: { look: "blocked", press: "allow", escape: true, advice: true },
};

const BADGES = { off: "", connecting: "…", connected: "✓", blocked: "!" };

const HOST_FAILURES = ["missing", "forbidden", "broken", "crashed"];

/**
 * @param {Facts} facts
 * @returns {View}
 */
export function viewOf(facts) {
  const kind = kindOf(facts);
  const { look, press, escape, command = null, advice = false } = KINDS[kind];
  return {
    kind,
    look,
    press,
    escape,
    command,
    advice,
    badge: BADGES[look],
    direct: kind === "connected" && facts.proxy.direct === true,
    held: look === "off" || (kind === "connected" && facts.privateWindows) ? null : heldOf(facts),
    error: errorOf(kind, facts),
    exit: (kind === "connected" && facts.status?.hops?.find((hop) => hop.exit)) || null,
    hops: (kind === "connected" && facts.status?.hops) || [],
    others: (kind === "connected" && facts.status?.routes?.slice(1)) || [],
    warning: (kind === "connected" && facts.status?.warning) || null,
    signIn: mayHaveSignIn(kind, facts),
    peers: facts.status?.peers ?? 0,
    mode: facts.status?.mode ?? "",
    oneHop: kind === "connected" && facts.status?.hops?.length === 1,
    traffic: (kind === "connected" && facts.status?.traffic) || null,
    rules: kind === "connected" ? (facts.status?.rules_generation ?? 0) : null,
    rates: (kind === "connected" && (facts.status?.rates ?? {})) || null,
    noticePrivate: kind !== "off" && facts.proxy.hash !== null && !facts.privateWindows,
  };
}

/** @param {Facts} facts */
function heldOf({ proxy, privateWindows }) {
  if (proxy.hash === null) return "none";
  if (proxy.portal) return "portal";
  if (proxy.direct) return "rules";
  return privateWindows ? "all" : "ordinary";
}

/** @param {Facts} facts */
function kindOf({ permitted, intent, proxy, expected, failure, status }) {
  if (intent === "off") return "off";
  if (!permitted) return "no_permission";
  if (proxy.control === "other" || proxy.control === "policy") return `conflict_${proxy.control}`;
  if (proxy.usurped) return "conflict_other";
  if (failure && HOST_FAILURES.includes(failure.kind)) return `host_${failure.kind}`;
  const held = proxy.hash !== null;
  if (failure) return held ? "blocked" : "failed";
  const carried = held && proxy.hash === expected;
  return carried && status?.state === "connected" ? "connected" : "connecting";
}

/** What it looks like from inside when a network answers in everybody's place. */
const INTERCEPTED = ["peer-unreachable", "peer-failed", "certificate"];

/** @param {string} kind @param {Facts} facts */
function mayHaveSignIn(kind, { proxy, status }) {
  return kind === "connecting" && proxy.hash !== null && INTERCEPTED.includes(status?.last_error?.code ?? "");
}

/** @param {string} kind @param {Facts} facts */
function errorOf(kind, { failure, status }) {
  if (kind === "blocked" || kind === "failed") {
    return failure?.error ?? { code: failure?.kind === "lost" ? "host-lost" : "other", message: "" };
  }
  return (kind === "connecting" && status?.last_error) || null;
}

// One site and the rule that decides about it. Pure.

/** @typedef {import("./messages.js").VerdictInfo} Verdict */

/**
 * @param {string | undefined} url
 * @returns {string | null} the address where a tab shows a web page, else null
 */
export function webAddress(url) {
  return url && /^(https?|wss?):/i.test(url) ? url : null;
}

/**
 * What a person means by "this site": the host with all below it, and not only its www.
 * @param {string} host  canonical
 */
export function siteOf(host) {
  const isAddress = host.includes(":") || /^[0-9.]+$/.test(host);
  const name = host.replace(/^www\.(?=.*\.)/, "");
  return isAddress ? { kind: "host", pattern: host } : { kind: "domain", pattern: name };
}

/** @param {Verdict} verdict */
export function isOwnRule({ host, rule, section = "" }) {
  const site = siteOf(host);
  return section === "" && rule?.kind === site.kind && rule.pattern === site.pattern && !rule.port;
}

/**
 * The edits that make `action` hold for the whole site. Its own rule is changed where it stands, if it is the one that
 * decides; otherwise a new one goes first, where nothing outranks it. Without an action its own rule goes.
 * @param {Verdict} verdict
 * @param {"tunnel" | "direct" | "block" | null} action
 */
export function editsFor(verdict, action) {
  const { host, rule, index } = verdict;
  if (!isOwnRule(verdict)) return action ? [{ at: 0, remove: 0, insert: [{ ...siteOf(host), action }] }] : [];
  if (rule.action === action) return [];
  const note = rule.note ? { note: rule.note } : {};
  return [{ at: index, remove: 1, insert: action ? [{ ...siteOf(host), action, ...note }] : [] }];
}

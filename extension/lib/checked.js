// What a native host says, before anything believes it: of the right kinds, and short enough to be shown. Pure.

const WORDS = 500;
const ROUTES = 64;
const HOPS = 8;
const STATES = ["offline", "calibrating", "connecting", "connected"];

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const words = (value, most = WORDS) => (typeof value === "string" ? value.slice(0, most) : "");
const count = (value) => (Number.isFinite(value) && value >= 0 ? value : 0);
const counts = (value, names) => Object.fromEntries(names.map((name) => [name, count(value?.[name])]));

/**
 * @param {unknown} value
 * @returns {import("./messages.js").ErrorInfo | null}
 */
export function checkedError(value) {
  if (!isObject(value)) return null;
  const { code, message, hint } = /** @type {any} */ (value);
  return { code: words(code, 64), message: words(message), hint: words(hint) };
}

function checkedHops(value) {
  if (!Array.isArray(value)) return [];
  return value.slice(0, HOPS).filter(isObject).map(({ nickname, country, exit }) => ({
    nickname: words(nickname, 64),
    country: words(country, 2),
    exit: exit === true,
  }));
}

/**
 * @param {unknown} value
 * @returns {import("./messages.js").Status | null} null where it is no status at all
 */
export function checkedStatus(value) {
  if (!isObject(value) || !STATES.includes(/** @type {any} */ (value).state)) return null;
  const status = /** @type {any} */ (value);
  return {
    state: status.state,
    mode: words(status.mode, 32),
    version: words(status.version, 64),
    since: count(status.since),
    started: count(status.started),
    ...counts(status, ["peers", "online", "circuits", "streams", "leases", "reconnection_attempts", "rules_generation"]),
    hops: checkedHops(status.hops),
    routes: Array.isArray(status.routes) ? status.routes.slice(0, ROUTES).map(checkedHops) : [],
    traffic: counts(status.traffic, ["up", "down"]),
    rates: counts(status.rates, ["up", "down", "up_60", "down_60"]),
    last_error: checkedError(status.last_error),
    warning: checkedError(status.warning),
    pac_hash: words(status.pac_hash, 64),
  };
}

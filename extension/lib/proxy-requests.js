// Firefox's proxy: a listener that is asked about each request. The script in force is kept in storage, so that a
// browser that starts, or an event page that wakes, asks nobody before it knows: until storage is read, requests wait.
//
// Measured in Firefox: a listener that answers at once and loads later lets the first pages go direct; one that
// promises its answer does not; a proxy on which nobody listens blocks. Another extension's settings come after our
// listener and change nothing; another's listener that came later has the last word, and only requests show it.

import { isOwn } from "./capture.js";
import { api } from "./compat.js";
import { decisionOf } from "./listener.js";
import { hashOf } from "./pac.js";
import { portalHosts } from "./portal.js";
import { NOTHING } from "./proxy.js";

export { NOTHING };

const KEY = "script";
const ALL = { urls: ["<all_urls>"] };

/** Nobody listens on port 1. */
const NOWHERE = Object.freeze({ type: "socks", host: "127.0.0.1", port: 1, proxyDNS: true });

/** What Firefox takes for "no word from us": the browser's own setting holds. */
const OWN_SETTING = Object.freeze({ type: "direct" });

/** @type {{script: string, hash: string, decide: (request: {url: string}) => object | null} | null} */
let force = null;

/** Resolves when `force` is what storage says. */
let loaded = Promise.resolve();

async function load() {
  try {
    const { [KEY]: script = "" } = await api.storage.local.get(KEY);
    force = script === "" ? null : await enforced(script);
  } catch {
    force = { script: "", hash: "", decide: () => NOWHERE };
  }
}

async function enforced(script) {
  return { script, hash: await hashOf(script), decide: deciderOf(script) };
}

function deciderOf(script) {
  if (script === NOTHING) return () => NOWHERE;
  try {
    const hosts = portalHosts(script);
    if (hosts) return ({ url }) => (hosts.includes(new URL(url).hostname) ? null : NOWHERE);
    return decisionOf(script);
  } catch {
    return () => NOWHERE;
  }
}

const answer = (request) =>
  isOwn(request.url) || !force ? OWN_SETTING : force.decide(request);

/** Listen; to be called while the background's module is evaluated, or Firefox does not wake us for requests. */
export function listen() {
  let ready = false;
  loaded = load();
  loaded.then(() => (ready = true));
  api.proxy.onRequest.addListener(
    (request) => (ready ? answer(request) : loaded.then(() => answer(request))),
    ALL,
  );
}

/** Whether requests were last seen to go where another extension wants. */
let usurped = false;
let watching = false;

/** Look where requests really go, once the person lets us see them. @param {() => void} changed */
export function watch(changed) {
  if (watching || !api.webRequest?.onSendHeaders || !api.proxy.onRequest) return;
  watching = true;
  const look = ({ url, fromCache, proxyInfo }) => {
    const wanted = force && proxyInfo !== undefined && !fromCache && !isOwn(url) ? force.decide({ url }) : null;
    if (!wanted) return;
    const elsewhere = proxyInfo?.host !== wanted.host || Number(proxyInfo.port) !== wanted.port;
    if (elsewhere === usurped) return;
    usurped = elsewhere;
    changed();
  };
  api.webRequest.onSendHeaders.addListener(look, ALL);
  api.webRequest.onErrorOccurred.addListener(look, ALL);
}

/** Whether the listener is asked at all: without this permission every page goes direct. */
export function permitted() {
  return api.permissions.contains({ origins: ALL.urls });
}

/** @returns {Promise<import("./proxy.js").Proxy>} */
export async function read() {
  await loaded;
  const { levelOfControl } = await api.proxy.settings.get({});
  // Its own proxy settings come after our listener, whoever made them.
  const control = force ? "ours" : levelOfControl === "not_controllable" ? "policy" : "free";
  const held = force !== null && (await permitted());
  return {
    control,
    hash: held ? force.hash : null,
    direct: held && /^var TABLE = /m.test(force.script),
    portal: held && portalHosts(force.script) !== null,
    usurped: force !== null && usurped,
  };
}

/** @param {string} text  the script; it holds from now on, and after a restart */
export async function apply(text) {
  await loaded;
  const made = await enforced(text);
  if (force === null) force = made; // what is on its way while storage writes is already ours
  await api.storage.local.set({ [KEY]: text });
  force = made;
}

export async function clear() {
  await loaded;
  await api.storage.local.remove(KEY);
  force = null;
}

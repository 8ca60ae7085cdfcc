import assert from "node:assert/strict";
import { test } from "node:test";

import { chrome } from "./fake-chrome.js";

const SCRIPT = 'var PROXY = "SOCKS5 127.0.0.1:4321";\n';
const TUNNEL = { type: "socks", host: "127.0.0.1", port: 4321, proxyDNS: true };
const NOWHERE = { type: "socks", host: "127.0.0.1", port: 1, proxyDNS: true };
const REQUEST = { url: "http://site.test/" };

let count = 0;

/** A background that starts with what storage has; gives the module and how Firefox would ask it. */
async function started(storage = chrome.storage.local) {
  let ask;
  chrome.proxy.onRequest = { addListener: (listener) => (ask = listener) };
  chrome.permissions.contains = async () => chrome.permissions.granted;
  chrome.permissions.granted = true;
  chrome.storage.local = storage;
  chrome.storage.local.remove ??= async (key) => chrome.storage.local.set({ [key]: "" });
  const requests = await import(`../../extension/lib/proxy-requests.js?${++count}`);
  requests.listen();
  return { requests, ask: (request) => ask(request) };
}

function slow(values) {
  let release;
  const gate = new Promise((resolve) => (release = resolve));
  const kept = { ...values };
  const area = {
    get: async (key) => (await gate, key in kept ? { [key]: kept[key] } : {}),
    set: async (more) => void Object.assign(kept, more),
    remove: async (key) => void delete kept[key],
  };
  return { area, release, kept };
}

test("requests wait until storage is read, and then take the stored way", async () => {
  const { area, release } = slow({ script: SCRIPT });
  const { ask } = await started(area);
  const answer = ask(REQUEST);
  assert.ok(answer instanceof Promise);
  release();
  assert.deepEqual(await answer, TUNNEL);
  assert.deepEqual(await ask(REQUEST), TUNNEL);
});

test("with nothing stored the browser's own setting holds", async () => {
  const { area, release } = slow({});
  const { ask, requests } = await started(area);
  release();
  assert.deepEqual(await ask(REQUEST), { type: "direct" });
  assert.equal((await requests.read()).control, "free");
});

test("storage that cannot be read holds every page back", async () => {
  const broken = { get: async () => Promise.reject(new Error("broken")), set: async () => {}, remove: async () => {} };
  const { ask } = await started(broken);
  assert.deepEqual(await ask(REQUEST), NOWHERE);
});

test("a script that is none of ours, or that holds back, leads nowhere", async () => {
  for (const script of ["nonsense", 'function FindProxyForURL() { throw new Error("QNet holds pages back"); }\n']) {
    const { area, release } = slow({ script });
    const { ask } = await started(area);
    release();
    assert.deepEqual(await ask(REQUEST), NOWHERE);
  }
});

test("a script is in force at once, survives the background, and is gone when cleared", async () => {
  const { area, release, kept } = slow({});
  const first = await started(area);
  release();
  await first.requests.apply(SCRIPT);
  assert.deepEqual(await first.ask(REQUEST), TUNNEL);
  assert.equal(kept.script, SCRIPT);
  const second = await started(area);
  assert.deepEqual(await second.ask(REQUEST), TUNNEL);
  const { control, hash } = await second.requests.read();
  assert.equal(control, "ours");
  assert.match(hash, /^[0-9a-f]{64}$/);
  await second.requests.clear();
  assert.deepEqual(await second.ask(REQUEST), { type: "direct" });
});

test("without the permission nothing is held, and nobody says so", async () => {
  const { area, release } = slow({ script: SCRIPT });
  const { requests } = await started(area);
  release();
  chrome.permissions.granted = false;
  const { control, hash, direct } = await requests.read();
  assert.deepEqual([control, hash, direct], ["ours", null, false]);
});

test("requests that another extension leads elsewhere are noticed, and so is its end", async () => {
  const { area, release } = slow({ script: SCRIPT });
  const { requests } = await started(area);
  release();
  let sees;
  const event = { addListener: (listener) => (sees = listener) };
  chrome.webRequest = { onSendHeaders: event, onErrorOccurred: event };
  let changes = 0;
  requests.watch(() => changes++);
  assert.equal((await requests.read()).usurped, false);
  const steps = [
    [{ ...REQUEST, proxyInfo: { host: "127.0.0.1", port: "4321", type: "socks" } }, false],
    [{ ...REQUEST, proxyInfo: { host: "127.0.0.1", port: "8080", type: "http" } }, true],
    [{ ...REQUEST, proxyInfo: null, fromCache: true }, true],
    [{ ...REQUEST, proxyInfo: { host: "127.0.0.1", port: 4321, type: "socks" } }, false],
    [{ ...REQUEST, proxyInfo: null }, true],
  ];
  for (const [request, usurped] of steps) {
    sees(request);
    assert.equal((await requests.read()).usurped, usurped);
  }
  assert.equal(changes, 3);
  await requests.clear();
  assert.equal((await requests.read()).usurped, false);
  delete chrome.webRequest;
});

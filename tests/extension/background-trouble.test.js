// The whole background against a fake browser: what stands in its way, and presses that come at the wrong time.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { chrome, log, ports, start } from "./fake-chrome.js";
import { connected, drop, open, OTHER, popup, serve, settings, status, until } from "./stage.js";

for (const [words, kind] of [
  ["Specified native messaging host not found.", "host_missing"],
  ["Access to the specified native messaging host is forbidden.", "host_forbidden"],
  ["Error when communicating with the native messaging host.", "host_broken"],
  ["Native host has exited.", "host_crashed"],
]) {
  test(`${kind}: says that pages are not held, and tries again when asked`, async () => {
    await start();
    open();
    await popup.view("off");
    popup.press("connect");
    await until(() => ports.length === 1);
    drop(words);
    if (kind === "host_broken") drop(words);
    await popup.view(kind);
    assert.equal(popup.sent.at(-1).held, "none");
    assert.equal(settings.ours, undefined);
    serve();
    popup.press("retry");
    await until(() => settings.ours);
    status("connected");
    await popup.view("connected");
  });
}

for (const [name, say, code] of [
  ["a refused connect", (r, a) => (r.cmd === "connect" ? { id: r.id, ok: false, error: { code: "x", message: "m" } } : a), "x"],
  ["another version", (r, a) => (r.cmd === "hello" ? { ...a, hello: { version: 2 } } : a), "version"],
  ["a damaged script", (r, a) => (r.cmd === "pac" ? { ...a, pac: { ...a.pac, hash: "0" } } : a), "pac"],
  ["a helper that does not start", (r) => ({ event: "failed", error: { code: "helper-start", message: "m" } }), "helper-start"],
]) {
  test(`${name} is said, and no proxy is set`, async () => {
    serve(say);
    await start();
    open();
    await popup.view("off");
    popup.press("connect");
    await popup.view("failed");
    assert.equal(popup.sent.at(-1).error.code, code);
    assert.equal(settings.ours, undefined);
  });
}

test("another extension in charge: never green; ours takes over when it goes", async () => {
  serve();
  settings.level = OTHER;
  await start();
  open();
  await popup.view("off");
  popup.press("connect");
  await until(() => settings.ours);
  status("connected");
  await popup.view("conflict_other");
  log.length = 0;
  settings.onChange.emit({});
  settings.onChange.emit({});
  settings.level = "controllable_by_this_extension";
  settings.onChange.emit({});
  await popup.view("connected");
  assert.ok(!log.includes("proxy set"), "each change answered with a change");
});

test("another extension comes while connected", async () => {
  await connected();
  settings.level = OTHER;
  settings.onChange.emit({});
  await popup.view("conflict_other");
});

test("turning off while another is in charge takes ours back too", async () => {
  await connected();
  settings.level = OTHER;
  settings.onChange.emit({});
  await popup.view("conflict_other");
  popup.press("off");
  await popup.view("off");
  assert.equal(settings.ours, undefined);
});

test("off while something is being mended: nobody is called anew", async () => {
  await connected();
  const { get } = chrome.alarms;
  chrome.alarms.get = async (name) => (await sleep(60), get(name));
  settings.onChange.emit({}); // reads that the person is connected, and is slow about the rest
  await sleep(5);
  popup.press("disconnect");
  await until(() => popup.sent.at(-1).kind === "off" && settings.ours === undefined && ports[0].closed);
  await sleep(200);
  chrome.alarms.get = get;
  assert.equal(log.filter((line) => line === "native org.qnet.host").length, 1);
  assert.equal(popup.sent.at(-1).kind, "off");
  assert.equal(settings.ours, undefined);
});

test("cancelling while the host is silent", async () => {
  serve(() => null);
  await start();
  open();
  await popup.view("off");
  popup.press("connect");
  await until(() => ports.length === 1);
  popup.press("cancel");
  await popup.view("off");
  assert.ok(ports[0].closed);
  assert.equal(settings.ours, undefined);
});

test("off, on, off at once ends off", async () => {
  serve();
  await start();
  open();
  await popup.view("off");
  popup.press("connect");
  popup.press("disconnect");
  popup.press("connect");
  popup.press("disconnect");
  await sleep(200);
  assert.equal(popup.sent.at(-1).kind, "off");
  assert.equal(settings.ours, undefined);
});

test("private windows that are not covered are named", async () => {
  chrome.extension.allowed = false;
  await connected();
  assert.equal(popup.sent.at(-1).noticePrivate, true);
  popup.press("settings");
  assert.ok(log.includes(`tab chrome://extensions/?id=${chrome.runtime.id}`));
});

test("the interval of the alarm is not started anew by each wake", async () => {
  await connected();
  const kept = chrome.alarms.kept.get("reconcile");
  chrome.alarms.onAlarm.emit({ name: "reconcile" });
  await sleep(20);
  assert.equal(chrome.alarms.kept.get("reconcile"), kept);
});

test("a press that does not exist is ignored", async () => {
  await start();
  open();
  await popup.view("off");
  popup.press("toString");
  popup.press("__proto__");
  popup.press(undefined);
  assert.equal(popup.sent.at(-1).kind, "off");
});

test("a browser that the helper does not know shows its hello before it connects", async () => {
  const fetched = [];
  const real = globalThis.fetch;
  globalThis.fetch = async (url, options) => {
    fetched.push([url, options.mode]);
    log.push("fetch");
    throw new TypeError("Failed to fetch");
  };
  const fullVersionList = [
    { brand: "Not?A_Brand", version: "8.0.0.0" },
    { brand: "Chromium", version: "156.0.1.2" },
    { brand: "Microsoft Edge", version: "156.0.9.9" },
  ];
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  const value = { userAgentData: { getHighEntropyValues: async () => ({ fullVersionList }) } };
  Object.defineProperty(globalThis, "navigator", { configurable: true, value });
  try {
    serve((request, answer) => {
      if (request.cmd === "hello") answer.hello.features = ["capture"];
      if (request.cmd === "capture") answer.capture = { url: "https://abc.localhost:1/", known: false, problem: "" };
      return answer;
    });
    await start();
    open();
    await popup.view("off");
    popup.press("connect");
    await until(() => settings.ours);
    assert.deepEqual(fetched, [["https://abc.localhost:1/", "no-cors"]]);
    const { browser, version } = ports.at(-1).sent.find(({ cmd }) => cmd === "capture");
    assert.deepEqual([browser, version], ["Microsoft Edge", "156.0.9.9"]);
    const order = log.filter((line) => /^→|fetch/.test(line));
    assert.deepEqual(order.slice(0, 4), ["→ hello", "→ capture", "fetch", "→ connect"]);
  } finally {
    globalThis.fetch = real;
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else delete globalThis.navigator;
  }
});

test("a helper that refuses to capture keeps nobody from connecting", async () => {
  serve((request, answer) => {
    if (request.cmd === "hello") answer.hello.features = ["capture"];
    return request.cmd === "capture" ? { id: request.id, ok: false, error: { code: "capture", message: "" } } : answer;
  });
  await start();
  open();
  await popup.view("off");
  popup.press("connect");
  await until(() => settings.ours);
});

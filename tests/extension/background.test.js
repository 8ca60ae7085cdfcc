// The whole background against a fake browser: what it does on each wake, in which order.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { hashOf } from "../../extension/lib/pac.js";
import { chrome, goOnline, icon, kill, log, makeTimersMortal, port, ports, reset, start } from "./fake-chrome.js";

globalThis.crypto ??= webcrypto;
makeTimersMortal();

const PAC = 'function FindProxyForURL() { return "SOCKS5 127.0.0.1:1"; }';
const OTHER = "controlled_by_other_extensions";
const settings = chrome.proxy.settings;

/** A native host that answers as a helper does; `say` alters or withholds an answer. */
function serve(say = (request, answer) => answer, pac = PAC) {
  chrome.onNative = (native) => {
    native.postMessage = async (request) => {
      native.sent.push(request);
      log.push(`→ ${request.cmd}`);
      const hash = await hashOf(pac);
      const parts = {
        hello: { hello: { version: 1, helper: "0", features: [] } },
        connect: { proxy: { host: "127.0.0.1", port: 1, pac_hash: hash }, status: { state: "connecting" } },
        pac: { pac: { hash, size: pac.length, offset: request.offset, text: pac.slice(request.offset, request.offset + 20) } },
      };
      const answer = say(request, { id: request.id, ok: true, ...parts[request.cmd] }, native);
      if (answer) native.onMessage.emit(answer);
    };
  };
}

const status = (state) => ports.at(-1).onMessage.emit({ event: "status", status: { state } });
const drop = (words = "Native host has exited.") => {
  chrome.runtime.lastError = { message: words };
  ports.at(-1).onDisconnect.emit(ports.at(-1));
  chrome.runtime.lastError = undefined;
};

let popup;

function open() {
  popup = port();
  popup.view = (kind) => until(() => popup.sent.at(-1)?.kind === kind, () => `${popup.sent.at(-1)?.kind} is no ${kind}`);
  popup.press = (press) => popup.onMessage.emit({ press });
  chrome.runtime.onConnect.emit(popup);
}

async function until(condition, words = () => "in time") {
  for (let i = 0; i < 400; i++) {
    if (condition()) return;
    await sleep(5);
  }
  assert.fail(words());
}

async function connected() {
  serve();
  await start();
  open();
  await popup.view("off");
  popup.press("connect");
  await popup.view("connecting");
  await until(() => settings.ours);
  status("connected");
  await popup.view("connected");
  await sleep(20); // what still runs would outlive a killed worker
}

beforeEach(async () => {
  await sleep(30); // here a killed worker finishes what it was about: no test of ours can stop it
  reset();
});

test("at first start nothing is touched and nobody is called", async () => {
  await start();
  open();
  await popup.view("off");
  assert.deepEqual(log.filter((line) => !/clear$/.test(line)), []);
  assert.equal(settings.ours, undefined);
  assert.equal(chrome.alarms.kept.size, 0);
});

test("connecting keeps its order and shows green last", async () => {
  await connected();
  const steps = log.filter((line) => !/clear$/.test(line));
  const chunks = Math.ceil(PAC.length / 20);
  assert.deepEqual(steps.slice(0, 4 + chunks), [
    "native org.qnet.host",
    "→ hello",
    "→ connect",
    ...Array(chunks).fill("→ pac"),
    "proxy set",
  ]);
  assert.ok(steps.indexOf("webrtc set") > steps.indexOf("proxy set"));
  assert.deepEqual(settings.ours, { mode: "pac_script", pacScript: { data: PAC, mandatory: true } });
  assert.equal(chrome.privacy.network.webRTCIPHandlingPolicy.ours, "disable_non_proxied_udp");
  assert.equal(chrome.privacy.network.networkPredictionEnabled.ours, false);
  assert.deepEqual(chrome.alarms.kept.get("reconcile"), { periodInMinutes: 0.5 });
  assert.match(icon.path, /connected-16/);
  assert.equal(icon.badge, "✓");
  assert.equal(steps.filter((line) => line === "proxy set").length, 1);
});

test("disconnecting gives the lease back, then clears", async () => {
  await connected();
  log.length = 0;
  popup.press("disconnect");
  await popup.view("off");
  assert.deepEqual(log, ["→ disconnect", "proxy clear", "webrtc clear", "prediction clear"]);
  assert.ok(ports[0].closed);
  assert.deepEqual(await chrome.storage.local.get("intent"), { intent: "off" });
  assert.deepEqual(await chrome.storage.local.get("armed"), { armed: false });
  assert.equal(chrome.alarms.kept.size, 0);
});

test("the host goes while connected: nothing leaves, the view says so, Reconnect mends", async () => {
  await connected();
  log.length = 0;
  drop();
  await popup.view("blocked");
  assert.equal(popup.sent.at(-1).held, "all");
  assert.ok(!log.some((line) => /clear$|native/.test(line)), log.join());
  // Not even to the port that was the helper's: anybody may listen there by now.
  assert.match((await chrome.proxy.settings.get({})).value.pacScript.data, /throw/);
  assert.equal(icon.badge, "!");
  popup.press("reconnect");
  await until(() => log.includes("→ pac"));
  status("connected");
  await popup.view("connected");
});

test("the alarm tries again by itself", async () => {
  await connected();
  drop();
  await popup.view("blocked");
  chrome.alarms.onAlarm.emit({ name: "reconcile" });
  await until(() => ports.length === 2 && ports[1].sent.some(({ cmd }) => cmd === "pac"));
  status("connected");
  await popup.view("connected");
});

test("a helper that had served and is gone is begun again by itself, within a second", async () => {
  await connected();
  drop();
  await popup.view("blocked");
  const began = Date.now();
  await until(() => ports.length === 2 && ports[1].sent.some(({ cmd }) => cmd === "pac"));
  assert.ok(Date.now() - began < 1000);
  status("connected");
  await popup.view("connected");
});

test("a helper that does not come back is tried ever later, and pages stay held", async () => {
  await connected();
  chrome.onNative = (native) => queueMicrotask(() => native.onMessage.emit({ event: "failed", error: { code: "helper-lost", message: "" } }));
  drop();
  await until(() => ports.length === 3);
  await popup.view("blocked");
  assert.equal(popup.sent.at(-1).held, "all");
  assert.match(settings.ours.pacScript.data, /throw/);
});

for (const [name, what] of [
  ["the network is back", () => goOnline()],
  ["the computer is in use again", () => chrome.idle.onStateChanged.emit("active")],
]) {
  test(`${name}: what had failed is tried again at once`, async () => {
    await start();
    open();
    await popup.view("off");
    popup.press("connect");
    await until(() => ports.length === 1);
    drop();
    await popup.view("host_crashed");
    serve();
    what();
    await until(() => settings.ours);
    status("connected");
    await popup.view("connected");
  });
}

test("keys connect and disconnect; no other word does anything", async () => {
  serve();
  await start();
  open();
  await popup.view("off");
  chrome.commands.onCommand.emit("settings");
  chrome.commands.onCommand.emit("connect");
  await until(() => settings.ours);
  status("connected");
  await popup.view("connected");
  chrome.commands.onCommand.emit("disconnect");
  await popup.view("off");
});

test("the context menu is there while connected, and makes a rule of a page's or a link's site", async () => {
  chrome.runtime.onInstalled.clear();
  await start();
  chrome.runtime.onInstalled.emit({ reason: "update" });
  await until(() => chrome.contextMenus.items.size === 4);
  const menu = chrome.contextMenus.items.get("site");
  assert.equal(menu.visible, false);
  serve((request, answer) => {
    if (request.cmd === "rules") return { ...answer, rules: { generation: 7 } };
    return request.cmd === "test" ? { ...answer, verdict: { host: new URL(request.address).hostname, port: 80, action: "tunnel", index: -1 } } : answer;
  });
  open();
  await popup.view("off");
  popup.press("connect");
  await until(() => settings.ours);
  status("connected");
  await popup.view("connected");
  await until(() => menu.visible === true);
  chrome.contextMenus.onClicked.emit({ menuItemId: "direct", pageUrl: "http://page.test/", linkUrl: "https://link.test/x" });
  const edits = () => ports[0].sent.filter(({ cmd }) => cmd === "edit-rules");
  await until(() => edits().length === 1);
  assert.deepEqual(edits()[0].edits[0].insert, [{ kind: "domain", pattern: "link.test", action: "direct" }]);
  chrome.contextMenus.onClicked.emit({ menuItemId: "block", pageUrl: "about:config" });
  chrome.contextMenus.onClicked.emit({ menuItemId: "toString", pageUrl: "http://page.test/" });
  await sleep(20);
  assert.equal(edits().length, 1);
  popup.press("disconnect");
  await until(() => menu.visible === false);
});

test("the popup shows and changes where pages leave", async () => {
  await connected();
  let country = "NL";
  serve((request, answer) => {
    if (request.cmd === "change-settings") country = request.exit_country;
    return { ...answer, settings: { hops: 3, exit_country: country, peers: 1, countries: [] } };
  });
  chrome.onNative(ports[0]);
  popup.onMessage.emit({ choose: null });
  await until(() => popup.sent.at(-1).exits);
  assert.equal(popup.sent.at(-1).exits.settings.exit_country, "NL");
  popup.onMessage.emit({ choose: "DE" });
  await until(() => popup.sent.at(-1).exits?.settings.exit_country === "DE");
});

test("opening the popup does not hide what happened", async () => {
  await connected();
  drop();
  await popup.view("blocked");
  kill();
  await start();
  open();
  await popup.view("blocked");
  assert.equal(ports.length, 0);
});

test("a worker killed while connected finds its way back", async () => {
  await connected();
  kill();
  await start();
  open();
  await popup.view("connecting");
  await until(() => ports.length === 1 && ports[0].sent.some(({ cmd }) => cmd === "pac"));
  status("connected");
  await popup.view("connected");
});

test("a restarted browser holds pages back and never clears the proxy", async () => {
  await connected();
  kill();
  chrome.storage.session.clear();
  log.length = 0;
  const native = [];
  chrome.onNative = (made) => native.push(made);
  await start();
  chrome.runtime.onStartup.emit();
  await until(() => native.length);
  native[0].onDisconnect.emit(native[0]);
  open();
  await popup.view("host_crashed");
  assert.equal(popup.sent.at(-1).held, "all");
  assert.ok(!log.some((line) => /^proxy clear/.test(line)), log.join());
  assert.match((await chrome.proxy.settings.get({})).value.pacScript.data, /throw/);
});

test("a script that the browser dropped is made good before anybody is asked", async () => {
  await connected();
  kill();
  chrome.storage.session.clear();
  settings.ours = undefined;
  chrome.onNative = undefined;
  log.length = 0;
  await start();
  await until(() => ports.length === 1);
  assert.deepEqual(log.slice(0, 2), ["proxy set", "native org.qnet.host"]);
  const script = settings.ours.pacScript.data;
  assert.throws(() => new Function(`${script}; return FindProxyForURL("http://a.test/", "a.test")`)(), /holds/);
  drop();
  open();
  await popup.view("host_crashed");
  assert.equal(popup.sent.at(-1).held, "all");
});

test("before our script was ever in force nothing is held back", async () => {
  await start();
  open();
  await popup.view("off");
  popup.press("connect");
  await until(() => ports.length === 1);
  drop();
  await popup.view("host_crashed");
  chrome.alarms.onAlarm.emit({ name: "reconcile" });
  await until(() => ports.length === 2);
  drop();
  await popup.view("host_crashed");
  assert.equal(settings.ours, undefined);
});

test("a helper with another script replaces the old one", async () => {
  await connected();
  const next = PAC.replace(":1", ":2");
  drop();
  serve(undefined, next);
  await popup.view("blocked");
  popup.press("reconnect");
  await until(() => settings.ours.pacScript.data === next);
  status("connected");
  await popup.view("connected");
});

test("the rules change: the new script is fetched and set, and nothing is cleared meanwhile", async () => {
  await connected();
  const next = PAC.replace(":1", ":2");
  serve(undefined, next);
  chrome.onNative(ports[0]);
  log.length = 0;
  ports[0].onMessage.emit({ event: "status", status: { state: "connected", pac_hash: await hashOf(next) } });
  await until(() => settings.ours.pacScript.data === next);
  assert.deepEqual(new Set(log.filter((line) => !/^(webrtc|prediction)/.test(line))), new Set(["→ pac", "proxy set"]));
  await popup.view("connected");
  log.length = 0;
  ports[0].onMessage.emit({ event: "status", status: { state: "connected", pac_hash: await hashOf(next) } });
  await sleep(30);
  assert.deepEqual(log, []);
});

test("a new script that arrives damaged holds pages back: nobody may believe that the new rules hold", async () => {
  await connected();
  serve((request, answer) => (request.cmd === "pac" ? { ...answer, pac: { ...answer.pac, hash: "0" } } : answer));
  chrome.onNative(ports[0]);
  ports[0].onMessage.emit({ event: "status", status: { state: "connected", pac_hash: "new" } });
  await popup.view("blocked");
  assert.equal(popup.sent.at(-1).error.code, "pac");
  await until(() => /throw/.test(settings.ours.pacScript.data));
});

test("the popup asks about its site and changes the rule by one press", async () => {
  await connected();
  let rule;
  serve((request, answer) => {
    if (request.cmd === "rules") return { ...answer, rules: { generation: 7 } };
    if (request.cmd === "edit-rules") rule = request.edits[0].insert[0];
    const verdict = { host: "www.a.test", port: 80, action: rule?.action ?? "tunnel", rule, index: rule ? 0 : -1 };
    return request.cmd === "test" ? { ...answer, verdict } : answer;
  });
  chrome.onNative(ports[0]);
  const url = "http://www.a.test/x";
  const found = async () => {
    await until(() => popup.sent.at(-1).site);
    return popup.sent.pop().site;
  };
  popup.onMessage.emit({ site: "test", url });
  assert.deepEqual((await found()).verdict.action, "tunnel");
  popup.onMessage.emit({ site: "decide", url, action: "block" });
  assert.deepEqual((await found()).verdict.action, "block");
  const edit = ports[0].sent.find(({ cmd }) => cmd === "edit-rules");
  assert.deepEqual([edit.base, edit.edits], [
    7,
    [{ at: 0, remove: 0, insert: [{ kind: "domain", pattern: "a.test", action: "block" }] }],
  ]);
});

test("pages that are none of the web, and odd questions, are not passed on", async () => {
  await connected();
  log.length = 0;
  for (const site of ["test", "decide"]) for (const url of ["chrome://settings", "file:///etc", undefined]) {
    popup.onMessage.emit({ site, url, action: "block" });
  }
  popup.onMessage.emit({ site: "toString", url: "http://a.test/" });
  await sleep(20);
  assert.deepEqual(log, []);
});

test("a site without a helper is answered with what is wrong", async () => {
  await start();
  open();
  await popup.view("off");
  popup.onMessage.emit({ site: "test", url: "http://a.test/" });
  await until(() => popup.sent.at(-1).site);
  assert.equal(popup.sent.at(-1).site.error.code, "host-lost");
});

test("a lost intent with our script in force stays closed", async () => {
  await connected();
  kill();
  chrome.storage.local.clear();
  chrome.onNative = undefined;
  log.length = 0;
  await start();
  await until(() => ports.length === 1);
  drop();
  open();
  await popup.view("host_crashed");
  assert.ok(!log.includes("proxy clear"));
});

test("off, but our script left in force by a worker that died: mended", async () => {
  await connected();
  kill();
  await chrome.storage.local.set({ intent: "off" });
  await start();
  open();
  await popup.view("off");
  assert.equal(settings.ours, undefined);
});

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

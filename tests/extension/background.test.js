// The whole background against a fake browser: what it does on each wake, in which order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { hashOf } from "../../extension/lib/pac.js";
import { chrome, goOnline, icon, kill, log, port, ports, start } from "./fake-chrome.js";
import { connected, drop, open, PAC, popup, serve, settings, status, until } from "./stage.js";

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

// A network's sign-in page: what goes directly meanwhile, how long, and what never does.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { chrome, event, reset } from "./fake-chrome.js";
import { Portal, portalHosts, portalScript, PROBE } from "../../extension/lib/portal.js";

globalThis.crypto ??= webcrypto;

const TAB = 7;
const FIRST = new URL(PROBE).hostname;
const find = (script) => new Function(`${script}; return FindProxyForURL`)();

let portal;
let applied;

beforeEach(async () => {
  reset();
  chrome.webRequest = { onBeforeRedirect: event(), onBeforeRequest: event(), onErrorOccurred: event() };
  chrome.tabs.reload = async (id) => void applied.push(`reload ${id}`);
  chrome.tabs.update = async (id, { url }) => void applied.push(`go ${id} ${url}`);
  applied = [];
  portal = new Portal(chrome, async () => void applied.push((await portal.read())?.hosts.join(" ") ?? "closed"));
  portal.start();
  await portal.open();
});

const redirect = (url, redirectUrl, tabId = TAB) => chrome.webRequest.onBeforeRedirect.emit({ tabId, url, redirectUrl });
const asks = (initiator, url, tabId = TAB) => chrome.webRequest.onBeforeRequest.emit({ tabId, initiator, url });
const fails = (url, type = "main_frame", tabId = TAB) => chrome.webRequest.onErrorOccurred.emit({ tabId, url, type });
const hosts = async () => (await sleep(5), (await portal.read())?.hosts ?? []);

test("the script lets the portal's hosts out and holds back all else", () => {
  const decide = find(portalScript(["login.test", "192.168.1.1"]));
  assert.equal(decide("http://login.test/", "login.test"), "DIRECT");
  assert.equal(decide("http://LOGIN.test/", "LOGIN.test"), "DIRECT");
  assert.equal(decide("http://192.168.1.1/", "192.168.1.1"), "DIRECT");
  for (const other of ["a.test", "sub.login.test", "login.test.evil", ""]) assert.throws(() => decide("", other), /holds/);
  assert.deepEqual(portalHosts(portalScript(["a.test"])), ["a.test"]);
  assert.equal(portalHosts("function FindProxyForURL() {}"), null);
});

test("it begins with the browser's own question, whose host alone goes directly", async () => {
  assert.deepEqual(applied, [FIRST, `go ${TAB} ${PROBE}`]);
  assert.deepEqual(await hosts(), [FIRST]);
});

test("hosts that an open one leads to join in, and what failed before is asked for again, once", async () => {
  redirect(PROBE, "http://login.test/");
  fails("http://login.test/");
  asks("http://login.test", "http://cdn.test/logo.png");
  fails("http://login.test/");
  assert.deepEqual(await hosts(), [FIRST, "login.test", "cdn.test"]);
  assert.equal(applied.filter((line) => line === `go ${TAB} http://login.test/`).length, 1);
  assert.ok(applied.indexOf(`${FIRST} login.test`) < applied.indexOf(`go ${TAB} http://login.test/`));
  fails("http://cdn.test/logo.png", "image");
  await sleep(1000);
  assert.equal(applied.filter((line) => line === `reload ${TAB}`).length, 1);
});

test("other tabs, hosts that nobody open led to, and typed addresses stay held", async () => {
  redirect(PROBE, "http://login.test/", TAB + 1);
  redirect("http://stranger.test/", "http://bank.test/");
  asks("http://stranger.test", "http://bank.test/");
  asks(undefined, "http://typed.test/");
  asks(`http://${FIRST}`, "ftp://files.test/");
  asks(`http://${FIRST}`, "data:,x");
  fails("http://bank.test/");
  assert.deepEqual(await hosts(), [FIRST]);
  assert.ok(!applied.some((line) => line.includes("bank.test")));
});

test("a page that leads to ever more hosts is stopped", async () => {
  for (let n = 0; n < 200; n++) asks(`http://${FIRST}`, `http://h${n}.test/`);
  await sleep(50);
  assert.equal((await hosts()).length, 24);
});

test("it ends with its tab, by a press, and when its time is over", async () => {
  chrome.tabs.onRemoved.emit(TAB + 1);
  assert.equal((await hosts()).length, 1);
  chrome.tabs.onRemoved.emit(TAB);
  assert.deepEqual(await hosts(), []);
  assert.equal(applied.at(-1), "closed");
  await portal.open();
  assert.deepEqual(chrome.alarms.kept.get("portal"), { delayInMinutes: 5 });
  await portal.close();
  assert.deepEqual(await hosts(), []);
  await portal.open();
  const { portal: open } = await chrome.storage.session.get("portal");
  await chrome.storage.session.set({ portal: { ...open, until: Date.now() - 1 } });
  assert.equal(await portal.read(), null, "without any alarm");
  chrome.alarms.onAlarm.emit({ name: "portal" });
  await sleep(5);
  assert.equal(applied.at(-1), "closed");
});

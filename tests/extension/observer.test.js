import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { ConnectionLog, MAX_ENTRIES } from "../../extension/lib/log.js";
import { failureKind, Observer } from "../../extension/lib/observer.js";
import { chrome, event } from "./fake-chrome.js";

function observe() {
  chrome.webRequest = { onErrorOccurred: event(), onBeforeRequest: event() };
  const seen = [];
  const observer = new Observer(chrome, () => {}, (tab, url) => seen.push(url));
  observer.start();
  observer.start(); // a second time changes nothing
  return { observer, seen };
}

const fail = (details) => chrome.webRequest.onErrorOccurred.emit({ tabId: 1, error: "net::ERR_TIMED_OUT", url: "https://a.test/", ...details });
const begin = (details) => chrome.webRequest.onBeforeRequest.emit({ tabId: 1, type: "image", url: "https://a.test/", timeStamp: 1, ...details });

test("without the permission nothing is listened to", async () => {
  delete chrome.webRequest;
  const observer = new Observer(chrome, () => {}, () => assert.fail("saw a request"));
  observer.start();
  assert.equal(await observer.allowed(), false);
  assert.deepEqual(observer.of(1), []);
});

test("failures are kept by host until the page is another", async () => {
  const { observer } = observe();
  fail({});
  fail({ url: "https://a.test/more" });
  fail({ url: "https://b.test/", error: "NS_ERROR_UNKNOWN_HOST" });
  fail({ url: "chrome-extension://x/y" });
  fail({ error: "net::ERR_ABORTED", url: "https://c.test/" });
  await sleep(5);
  assert.deepEqual(observer.of(1).map(({ host, failure, count }) => [host, failure, count]), [
    ["a.test", "timeout", 2],
    ["b.test", "name", 1],
  ]);
  begin({ type: "main_frame" });
  await sleep(5);
  assert.deepEqual(observer.of(1), []);
});

test("private windows, and what cannot be told from them, are not seen", async () => {
  const { observer, seen } = observe();
  for (const details of [{ tabId: 1000 }, { tabId: -1 }, { tabId: 1, incognito: true }]) {
    fail(details);
    begin(details);
  }
  await sleep(5);
  assert.deepEqual([observer.of(1), observer.of(1000), observer.of(-1), seen], [[], [], [], []]);
  begin({ tabId: 2, incognito: false });
  begin({ tabId: 3 });
  await sleep(5);
  assert.equal(seen.length, 2);
});

test("the browsers' names for a failure have ours", () => {
  const known = { ERR_SOCKS_CONNECTION_FAILED: "refused", ERR_CERT_DATE_INVALID: "secure", NS_ERROR_NET_TIMEOUT: "timeout", ERR_ODD: "other" };
  for (const [words, kind] of Object.entries(known)) assert.equal(failureKind(words), kind);
  assert.equal(failureKind("net::ERR_BLOCKED_BY_CLIENT"), null);
});

function area() {
  const kept = {};
  return { get: async (key) => ({ [key]: kept[key] }), set: async (values) => void Object.assign(kept, values), kept };
}

const VERDICT = { action: "tunnel", index: 3, unmet: false };

test("the log is written only while it is on, bounded, each host once in a while", async () => {
  const storage = { local: area(), session: area(), onChanged: event() };
  const log = new ConnectionLog(storage, async () => VERDICT);
  await log.note("https://b.test/secret?x=1", 0);
  assert.deepEqual(storage.session.kept, {});
  storage.local.kept.log = true;
  storage.onChanged.emit({ log: { newValue: true } }, "local"); // what was asked for just before is noted the next time
  for (let at = 0; at < 3; at++) await log.note("https://b.test/", at);
  await log.note("https://b.test/", 20_000);
  await log.note("data:text/plain,x", 20_000);
  const entry = { host: "b.test", action: "tunnel", rule: 3, unmet: false };
  assert.deepEqual(storage.session.kept.entries, [{ at: 0, ...entry }, { at: 20_000, ...entry }]);
  for (let number = 0; number < MAX_ENTRIES + 20; number++) await log.note(`https://${number}.test/`, 0);
  assert.equal(storage.session.kept.entries.length, MAX_ENTRIES);
});

test("nothing is written that the helper was not asked about, or after the log is switched off", async () => {
  const storage = { local: area(), session: area(), onChanged: event() };
  storage.local.kept.log = true;
  await new ConnectionLog(storage, async () => Promise.reject(new Error("no helper"))).note("https://a.test/", 0);
  assert.deepEqual(storage.session.kept, {});
  const slow = new ConnectionLog(storage, async () => {
    storage.local.kept.log = false;
    return VERDICT;
  });
  await slow.note("https://a.test/", 0);
  assert.deepEqual(storage.session.kept, {});
});

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { classify, Host } from "../../extension/lib/native.js";
import { port } from "./fake-chrome.js";

const WORDS = [
  // Chromium
  ["Specified native messaging host not found.", "missing"],
  ["Access to the specified native messaging host is forbidden.", "forbidden"],
  ["Error when communicating with the native messaging host.", "broken"],
  ["Failed to start native messaging host.", "crashed"],
  ["Native host has exited.", "crashed"],
  // Firefox
  ["No such native application org.qnet.host", "missing"],
  ["Native application tried to send a message of 1752461103 bytes, which exceeds the limit of 1048576 bytes.", "broken"],
  ["An unexpected error occurred", "crashed"],
  ["", "crashed"],
];

for (const [words, kind] of WORDS) {
  test(`${kind}: ${words}`, () => assert.equal(classify(words, false), kind));
}

test("a host that had answered did not crash at its start", () => {
  assert.equal(classify("Native host has exited.", true), "lost");
  assert.equal(classify("", true), "lost");
  assert.equal(classify("Error when communicating with the native messaging host.", true), "broken");
});

let made, again, opened, words, statuses, closed, host;

beforeEach(() => {
  made = port();
  again = port();
  words = "Native host has exited.";
  statuses = [];
  closed = [];
  const listener = { status: (status) => statuses.push(status), closed: (failure) => closed.push(failure) };
  opened = 0;
  host = new Host(() => (opened++ ? again : made), () => words, listener);
});

const answer = (message) => made.onMessage.emit(message);
const failure = (kind, error) => (thrown) => {
  assert.deepEqual(thrown.failure, error ? { kind, error } : { kind });
  return true;
};

test("answers find their requests by id, in any order", async () => {
  const [one, two] = [host.request("hello", { version: 1 }), host.request("connect")];
  assert.deepEqual(made.sent, [
    { cmd: "hello", id: 1, version: 1 },
    { cmd: "connect", id: 2 },
  ]);
  answer({ id: 2, ok: true, proxy: "p" });
  answer({ id: 1, ok: true, hello: "h" });
  assert.equal((await one).hello, "h");
  assert.equal((await two).proxy, "p");
});

test("an error rejects with the host's own words", async () => {
  const asked = host.request("connect");
  const error = { code: "no-network", message: "m", hint: "h" };
  answer({ id: 1, ok: false, error });
  await assert.rejects(asked, failure("failed", error));
  assert.deepEqual(closed, []);
});

test("events reach the listener", () => {
  answer({ event: "status", status: { state: "connecting" } });
  assert.deepEqual(statuses.map(({ state }) => state), ["connecting"]);
});

test("what is no message of ours is ignored", async () => {
  const asked = host.request("hello");
  for (const odd of [null, 7, "x", [], {}, { id: 99, ok: true }, { event: "news" }]) answer(odd);
  answer({ id: 1, ok: true });
  assert.equal((await asked).ok, true);
  assert.deepEqual([statuses, closed], [[], []]);
});

test("a status that is none ends the conversation: what was said before may be true no more", () => {
  for (const status of [undefined, null, "connected", { state: "fine" }]) answer({ event: "status", status });
  assert.deepEqual([statuses, closed], [[], [{ kind: "failed", error: { code: "bad-message", message: "" } }]]);
  assert.ok(made.closed);
});

test("the failed event outranks the exit that follows", async () => {
  const asked = host.request("hello");
  const error = { code: "helper-start", message: "m", hint: "h" };
  answer({ event: "failed", error });
  made.onDisconnect.emit(made);
  await assert.rejects(asked, failure("failed", error));
  assert.deepEqual(closed, [{ kind: "failed", error }]);
});

test("an exit ends what was asked, and what is asked later", async () => {
  const asked = host.request("hello");
  made.onDisconnect.emit(made);
  await assert.rejects(asked, failure("crashed"));
  await assert.rejects(host.request("connect"), failure("crashed"));
  assert.deepEqual(closed, [{ kind: "crashed" }]);
});

test("our own end is told to nobody but who waits", async () => {
  const asked = host.request("hello");
  host.close();
  host.close();
  assert.ok(made.closed);
  await assert.rejects(asked, failure("lost"));
  answer({ event: "status", status: { state: "connected" } });
  assert.deepEqual([statuses, closed], [[], []]);
});

test("silence from the start is no host of ours; later it is the helper's", async () => {
  await assert.rejects(host.request("hello", {}, 5), failure("broken"));
  const asked = host.request("hello");
  answer({ id: 2, ok: true });
  await asked;
  await assert.rejects(host.request("connect", {}, 5), failure("failed", { code: "silent", message: "" }));
});

const IO = "Error when communicating with the native messaging host.";

for (const [second, kind] of [
  ["Native host has exited.", "crashed"],
  [IO, "broken"],
]) {
  test(`an error of the pipe is looked into: ${kind}`, async () => {
    words = IO;
    const asked = host.request("hello");
    made.onDisconnect.emit(made);
    assert.deepEqual([opened, closed, again.sent], [2, [], []]);
    words = second;
    again.onDisconnect.emit(again);
    await assert.rejects(asked, failure(kind));
    assert.deepEqual(closed, [{ kind }]);
  });
}

test("one that then says and does nothing is broken", async () => {
  words = IO;
  const asked = host.request("hello");
  made.onDisconnect.emit(made);
  await assert.rejects(asked, failure("broken"));
  assert.ok(again.closed);
});

test("no second look at one that had answered", async () => {
  words = IO;
  const asked = host.request("hello");
  answer({ id: 1, ok: true });
  await asked;
  made.onDisconnect.emit(made);
  assert.deepEqual([opened, closed], [1, [{ kind: "broken" }]]);
});

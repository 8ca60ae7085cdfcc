import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { KINDS, viewOf } from "../../extension/lib/state.js";

const HOPS = [{ nickname: "first" }, { nickname: "last", country: "NL", exit: true }];
const CONNECTED = { state: "connected", hops: HOPS, traffic: { up: 1, down: 2 } };
const FACTS = {
  permitted: true,
  intent: "connected",
  proxy: { control: "ours", hash: "h" },
  expected: "h",
  failure: null,
  status: CONNECTED,
  privateWindows: true,
};
const view = (changes) => viewOf({ ...FACTS, ...changes });
const FREE = { control: "free", hash: null };

const CASES = [
  ["connected", {}],
  ["off", { intent: "off", proxy: FREE, status: null }],
  ["off", { intent: "off" }],
  ["connecting", { status: null }],
  ["connecting", { status: { state: "connecting" } }],
  ["connecting", { status: { state: "calibrating" } }],
  ["connecting", { status: { state: "offline" } }],
  ["connecting", { proxy: FREE }],
  ["connecting", { expected: null }],
  ["connecting", { expected: "another" }],
  ["blocked", { failure: { kind: "lost" }, status: null }],
  ["blocked", { failure: { kind: "failed", error: { code: "helper-lost", message: "m" } }, status: null }],
  ["failed", { failure: { kind: "failed", error: { code: "helper-start", message: "m" } }, proxy: FREE }],
  ["host_missing", { failure: { kind: "missing" }, proxy: FREE }],
  ["host_forbidden", { failure: { kind: "forbidden" }, proxy: FREE }],
  ["host_broken", { failure: { kind: "broken" }, proxy: FREE }],
  ["host_crashed", { failure: { kind: "crashed" } }],
  ["conflict_other", { proxy: { control: "other", hash: null } }],
  ["conflict_other", { proxy: { control: "ours", hash: "h", usurped: true } }],
  ["conflict_policy", { proxy: { control: "policy", hash: null } }],
  ["no_permission", { permitted: false, proxy: FREE }],
];

for (const [kind, changes] of CASES) {
  test(`${kind}: ${JSON.stringify(changes)}`, () => assert.equal(view(changes).kind, kind));
}

test("every kind is reached by the cases", () => {
  assert.deepEqual(new Set(CASES.map(([kind]) => kind)), new Set(Object.keys(KINDS)));
});

function* product(choices) {
  const [first, ...rest] = Object.entries(choices);
  if (!first) return yield {};
  for (const value of first[1]) for (const more of product(Object.fromEntries(rest))) yield { [first[0]]: value, ...more };
}

test("green only where every fact says so; held only where our script is in force", () => {
  let green = 0;
  for (const facts of product({
    permitted: [true, false],
    intent: ["off", "connected"],
    proxy: ["ours", "free", "other", "policy"].flatMap((control) =>
      [null, "h", "i"]
        .filter((hash) => control === "ours" || !hash)
        .flatMap((hash) => (hash ? [true, false] : [false]).map((direct) => ({ control, hash, direct }))),
    ),
    expected: ["h", null],
    failure: [null, { kind: "lost" }, { kind: "missing" }, { kind: "failed" }],
    status: [null, CONNECTED, { state: "connecting" }, { state: "offline" }],
    privateWindows: [true, false],
  })) {
    const shown = viewOf(facts);
    const all =
      facts.permitted &&
      facts.intent === "connected" &&
      facts.proxy.control === "ours" &&
      facts.proxy.hash === "h" &&
      facts.expected === "h" &&
      !facts.failure &&
      facts.status?.state === "connected";
    assert.equal(shown.look === "connected", all);
    assert.equal(shown.badge === "✓", all);
    if (shown.held === "all" || shown.held === "ordinary") assert.equal(facts.proxy.control, "ours");
    if (shown.held) {
      const ours = facts.proxy.hash !== null;
      assert.equal(shown.held === "rules", facts.proxy.direct, "says that nothing bypasses the tunnel, and rules let it");
      assert.equal(shown.held === "ordinary", ours && !facts.proxy.direct && !facts.privateWindows);
    }
    assert.equal(shown.direct, all && facts.proxy.direct);
    if (shown.held === null) assert.ok(shown.look === "off" || (all && facts.privateWindows));
    if (shown.exit || shown.traffic || shown.rates || shown.hops.length) assert.ok(all);
    assert.equal(shown.rules !== null, all);
    if (all) assert.equal(shown.noticePrivate, !facts.privateWindows);
    if (all) green++;
  }
  assert.equal(green, 4);
});

test("a sign-in page that is open is said, and is never green", () => {
  const shown = view({ proxy: { control: "ours", hash: "other", direct: false, portal: true } });
  assert.deepEqual([shown.kind, shown.held], ["connecting", "portal"]);
});

test("a sign-in page is offered where a network seems to answer for everybody, and pages are held", () => {
  const trouble = (code) => ({ state: "connecting", last_error: { code } });
  assert.ok(view({ status: trouble("certificate") }).signIn);
  assert.ok(!view({ status: trouble("no-peers") }).signIn);
  assert.ok(!view({ status: trouble("certificate"), proxy: FREE }).signIn);
  assert.ok(!view({}).signIn);
});

test("connected names the exit and the traffic", () => {
  assert.deepEqual(view({}).exit, HOPS[1]);
  assert.deepEqual(view({}).traffic, { up: 1, down: 2 });
  assert.equal(view({ status: { state: "connected" } }).exit, null);
});

test("what went wrong is passed on", () => {
  const error = { code: "helper-start", message: "m", hint: "h" };
  assert.equal(view({ failure: { kind: "failed", error } }).error, error);
  assert.equal(view({ failure: { kind: "lost" } }).error.code, "host-lost");
  assert.equal(view({ status: { state: "connecting", last_error: error } }).error, error);
  assert.equal(view({}).error, null);
});

test("a failure with our script in force says that pages are held, without it that they are not", () => {
  assert.equal(view({ failure: { kind: "missing" } }).held, "all");
  assert.equal(view({ failure: { kind: "missing" }, proxy: FREE }).held, "none");
  assert.equal(view({ intent: "off" }).held, null);
});

const en = JSON.parse(readFileSync(new URL("../../extension/_locales/en/messages.json", import.meta.url), "utf8"));

for (const [kind, { press, advice }] of Object.entries(KINDS)) {
  test(`${kind} has its texts`, () => {
    for (const key of [`title_${kind}`, `text_${kind}`]) assert.ok(en[key], key);
    assert.equal(`do_${kind}` in en, Boolean(advice));
    if (press) assert.ok(en[`press_${press}`]);
  });
}

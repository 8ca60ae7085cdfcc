// Whatever a native host says: what is believed of it has the right kinds, and no view of it breaks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { checkedError, checkedStatus } from "../../extension/lib/checked.js";
import { viewOf } from "../../extension/lib/state.js";

const JUNK = [null, undefined, true, 0, -1, NaN, 1e400, "", "x".repeat(1e6), "<script>", [], [[]], [null], {}, { length: -1 }];
const FIELDS = Object.keys(checkedStatus({ state: "connected" }));
const FACTS = { permitted: true, intent: "connected", proxy: { control: "ours", hash: "h" }, expected: "h", failure: null, privateWindows: true };

test("what is no status is none", () => {
  for (const junk of [...JUNK, { state: "on" }, { state: ["connected"] }, { state: {} }]) assert.equal(checkedStatus(junk), null);
});

test("what is good stays as it is", () => {
  const hops = [{ nickname: "birch", country: "NL", exit: true }];
  const error = { code: "peer-failed", message: "m", hint: "h" };
  const status = checkedStatus({ state: "connected", mode: "client", peers: 3, hops, routes: [hops, hops], last_error: error, rates: { up: 1, down: 2 } });
  assert.deepEqual([status.mode, status.peers, status.hops, status.routes, status.last_error], ["client", 3, hops, [hops, hops], error]);
  assert.deepEqual(status.rates, { up: 1, down: 2, up_60: 0, down_60: 0 });
});

test("junk in any field gives something to show, and short", () => {
  for (const field of FIELDS) {
    for (const junk of JUNK) {
      const status = checkedStatus({ state: "connected", [field]: junk });
      if (field === "state") continue;
      assert.ok(JSON.stringify(status).length < 5_000, field);
      viewOf({ ...FACTS, status });
    }
  }
});

test("endless lists end", () => {
  const hop = { nickname: "n".repeat(1e5), country: "NLNL" };
  const status = checkedStatus({ state: "connected", hops: Array(1e5).fill(hop), routes: Array(1e5).fill(Array(100).fill(hop)) });
  assert.deepEqual([status.hops.length, status.routes.length, status.routes[0].length], [8, 64, 8]);
  assert.deepEqual([status.hops[0].nickname.length, status.hops[0].country], [64, "NL"]);
});

test("errors are cut, or none", () => {
  for (const junk of JUNK.filter((each) => typeof each !== "object" || each === null || Array.isArray(each))) assert.equal(checkedError(junk), null);
  assert.equal(checkedError({ code: 7, message: "m".repeat(1e6) }).message.length, 500);
});

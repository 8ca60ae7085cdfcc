import assert from "node:assert/strict";
import { test } from "node:test";

import { add, minute, path, SECONDS } from "../../extension/lib/history.js";

test("a rate holds until the next is told, and before the first there was none", () => {
  const { down, up } = minute([[50_000, 5, 1], [53_000, 0, 0]], 60_000);
  assert.equal(down.length, SECONDS);
  assert.deepEqual(down.slice(-12), [0, 5, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(up.slice(-12, -8), [0, 1, 1, 1]);
});

test("what is older than the picture is let go", () => {
  let samples = [];
  for (let at = 0; at < 500_000; at += 1000) samples = add(samples, [at, 1, 1]);
  assert.ok(samples.length <= SECONDS + 3);
  assert.deepEqual(minute(samples, 499_000).down, Array(SECONDS).fill(1));
});

test("a clock that is set back leaves no sample from the future", () => {
  assert.deepEqual(add([[9_000, 1, 1]], [5_000, 2, 2]), [[5_000, 2, 2]]);
});

test("the path stays inside its box", () => {
  assert.equal(path([0, 5, 20], 10), "M0 1.000L1 0.500L2 0.000");
  assert.equal(path([0], 0, true), "M0 1.000L0 1L0 1Z");
});

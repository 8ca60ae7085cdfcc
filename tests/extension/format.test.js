import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, country, flag, rate } from "../../extension/lib/format.js";

for (const [count, words] of [
  [0, "0 byte"],
  [999, "999 byte"],
  [1000, "1 kB"],
  [1540, "1.5 kB"],
  [48_260_000, "48.3 MB"],
  [482_600_000, "483 MB"],
  [3e18, "3,000,000 TB"],
]) {
  test(`${count} is ${words}`, () => assert.equal(bytes(count, "en"), words));
}

test("numbers in Persian digits", () => assert.match(bytes(1_500_000, "fa"), /۱٫۵/));

test("countries", () => {
  assert.equal(country("nl", "en"), "Netherlands");
  assert.equal(country("NL", "fa"), "هلند");
  for (const odd of ["", "X", "NLD", "<b>"]) assert.equal(country(odd, "en"), odd);
  assert.equal(country("QQ", "en"), "QQ");
});

test("flags and rates", () => {
  assert.equal(flag("nl"), "\u{1f1f3}\u{1f1f1}");
  assert.equal(flag("N"), "");
  assert.equal(rate(2_410_000, "en"), "2.4 MB/s");
  assert.equal(rate(0.5, "en"), "1 byte/s");
});

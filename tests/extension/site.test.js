import assert from "node:assert/strict";
import { test } from "node:test";

import { editsFor, isOwnRule, siteOf, webAddress } from "../../extension/lib/site.js";

for (const [host, kind, pattern] of [
  ["example.org", "domain", "example.org"],
  ["www.example.org", "domain", "example.org"],
  ["www.org", "domain", "www.org"],
  ["news.example.org", "domain", "news.example.org"],
  ["printer", "domain", "printer"],
  ["10.0.0.1", "host", "10.0.0.1"],
  ["2001:db8::1", "host", "2001:db8::1"],
]) {
  test(`the site of ${host}`, () => assert.deepEqual(siteOf(host), { kind, pattern }));
}

test("web pages", () => {
  for (const url of ["http://a.test/", "HTTPS://a.test/"]) assert.equal(webAddress(url), url);
  for (const url of [undefined, "", "chrome://x", "file:///x", "javascript:alert(1)", "about:blank"]) {
    assert.equal(webAddress(url), null);
  }
});

const rule = (action, more = {}) => ({ kind: "domain", pattern: "a.test", action, ...more });
const verdict = (decided, index = 4) => ({ host: "www.a.test", port: 80, action: "tunnel", rule: decided, index });
const first = (action) => [{ at: 0, remove: 0, insert: [rule(action)] }];

test("a site without a rule of its own gets one before all others", () => {
  assert.deepEqual(editsFor(verdict(null, -1), "block"), first("block"));
  for (const other of [{ pattern: "test" }, { kind: "host" }, { port: 80 }]) {
    assert.equal(isOwnRule(verdict(rule("direct", other))), false);
    assert.deepEqual(editsFor(verdict(rule("direct", other)), "tunnel"), first("tunnel"));
  }
});

test("its own rule is changed where it stands, and keeps its note", () => {
  const insert = [rule("block", { note: "n" })];
  assert.deepEqual(editsFor(verdict(rule("direct", { note: "n" })), "block"), [{ at: 4, remove: 1, insert }]);
});

test("nothing to do", () => {
  assert.deepEqual(editsFor(verdict(rule("block")), "block"), []);
  assert.deepEqual(editsFor(verdict(null, -1), null), []);
  assert.deepEqual(editsFor(verdict(rule("block", { pattern: "test" })), null), []);
});

test("its own rule goes", () => assert.deepEqual(editsFor(verdict(rule("block")), null), [{ at: 4, remove: 1, insert: [] }]));

test("a rule from a list is never changed: the person's own goes before it", () => {
  const listed = { ...verdict(rule("direct"), -1), section: "https://lists.test/" };
  assert.equal(isOwnRule(listed), false);
  assert.deepEqual(editsFor(listed, "block"), first("block"));
  assert.deepEqual(editsFor(listed, null), []);
});

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { LOCAL_NETWORK, Rules, search } from "../../extension/options/rules.js";

const rule = (pattern, more = {}) => ({ kind: "domain", pattern, action: "block", ...more });
const PAGE = 3;

/** A helper with rules, as the real one answers. */
function helper(list) {
  const made = { list: [...list], generation: 1, asked: [], uploaded: "", before: () => {} };
  const page = (offset) => ({
    generation: made.generation,
    default: "tunnel",
    total: made.list.length,
    offset,
    rules: made.list.slice(offset, offset + PAGE),
    generations: [{ number: made.generation, saved: 1 }],
  });
  made.ask = async (cmd, fields) => {
    made.asked.push(cmd);
    made.before(cmd);
    if (cmd === "edit-rules") {
      if (fields.base !== made.generation) throw new Error("rules-changed");
      for (const { at, remove, insert = [] } of fields.edits) {
        made.list.splice(at, remove, ...insert.map((each) => ({ ...each, pattern: each.pattern.toLowerCase() })));
      }
      made.generation++;
    }
    if (cmd === "upload") {
      assert.equal(fields.offset, [...made.uploaded].length);
      assert.ok(fields.text.isWellFormed());
      made.uploaded += fields.text;
      return {};
    }
    return { rules: page(fields.offset ?? 0) };
  };
  return made;
}

const names = (list) => list.map(({ pattern }) => pattern);
let host;
let rules;

beforeEach(async () => {
  host = helper(["a", "b", "c", "d", "e", "f", "g"].map((name) => rule(name)));
  rules = new Rules(host.ask);
  await rules.load();
  host.asked.length = 0;
});

test("all pages are loaded", () => {
  assert.deepEqual(rules.list, host.list);
  assert.deepEqual([rules.generation, rules.otherwise, rules.problem], [1, "tunnel", null]);
});

test("rules that change while they are loaded are loaded anew", async () => {
  let once = true;
  host.before = () => {
    if (host.asked.length === 2 && once) {
      once = false;
      host.list = [rule("x"), ...host.list];
      host.generation = 2;
    }
  };
  await rules.load();
  assert.deepEqual([names(rules.list), rules.generation], [["x", "a", "b", "c", "d", "e", "f", "g"], 2]);
});

test("rules that never stay still are given up", async () => {
  host.before = () => host.generation++;
  await assert.rejects(rules.load(), /still/);
});

test("no rules", async () => {
  host.list = [];
  await rules.load();
  assert.deepEqual(rules.list, []);
});

test("an inserted rule comes back as the helper wrote it", async () => {
  await rules.edit([{ at: 5, remove: 1, insert: [rule("NEW")] }]);
  assert.deepEqual(rules.list, host.list);
  assert.equal(rules.list[5].pattern, "new");
  assert.deepEqual(host.asked, ["edit-rules", "rules"]);
});

for (const [from, to, order] of [
  [0, 1, "bacdefg"],
  [6, 0, "gabcdef"],
  [2, 5, "abdefcg"],
]) {
  test(`${from} moves to ${to}`, async () => {
    await rules.move(from, to);
    assert.equal(names(rules.list).join(""), order);
    assert.deepEqual(rules.list, host.list);
  });
}

test("a refused edit changes nothing here", async () => {
  host.generation = 9;
  const before = [...rules.list];
  await assert.rejects(rules.edit([{ at: 0, remove: 1 }]), /rules-changed/);
  assert.deepEqual(rules.list, before);
});

for (const text of ["", "short", "a".repeat(300_000), "😀".repeat(150_000), `a${"😀".repeat(100_000)}`, "bad \ud800 half"]) {
  test(`upload of ${text.length} characters`, async () => {
    await rules.upload(text);
    assert.equal(host.uploaded, text.toWellFormed());
    assert.ok(host.asked.length >= 1);
  });
}

test("what is exported is what the helper imports", () => {
  const exported = JSON.parse(rules.export());
  assert.deepEqual(exported, { format: "qnet-rules", version: 1, default: "tunnel", rules: host.list });
});

test("search looks in patterns and notes", () => {
  const list = [rule("ads.test"), rule("x.test", { note: "My Ads" }), rule("y.test")];
  assert.deepEqual(search(list, " ADS "), [0, 1]);
  assert.deepEqual(search(list, "test"), [0, 1, 2]);
  assert.deepEqual(search(list, "none"), []);
  assert.deepEqual(search(list, "("), []);
});

test("100,000 rules are searched at once", () => {
  const list = Array.from({ length: 100_000 }, (_, n) => rule(`site${n}.example`));
  const started = performance.now();
  assert.equal(search(list, "site99999.").length, 1);
  assert.ok(performance.now() - started < 200);
});

test("the local network is direct and nothing else is", () => {
  assert.ok(LOCAL_NETWORK.every(({ action }) => action === "direct"));
  const expression = new RegExp(LOCAL_NETWORK.find(({ kind }) => kind === "regex").pattern);
  assert.ok(expression.test("printer"));
  for (const host of ["a.test", "10.0.0.1", "::1"]) assert.ok(!expression.test(host));
});

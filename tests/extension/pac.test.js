import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { test } from "node:test";

import { fetchPac, hashOf } from "../../extension/lib/pac.js";

globalThis.crypto ??= webcrypto;

/** A helper that sends `text` in pieces; `change` may alter a chunk before it is sent. */
function helper(text, size, change = (chunk) => chunk) {
  const asked = [];
  const host = {
    asked,
    async request(cmd, { offset }) {
      asked.push(offset);
      const chunk = { hash: await hashOf(text), size: text.length, offset, text: text.slice(offset, offset + size) };
      return { pac: change(chunk, asked.length) };
    },
  };
  return host;
}

const damaged = ({ failure }) => failure.kind === "failed" && failure.error.code === "pac";

test("SHA-256", async () => {
  assert.equal(await hashOf("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});

for (const size of [1, 3, 9, 10, 11, 1000]) {
  test(`chunks of ${size}`, async () => {
    const host = helper("0123456789", size);
    assert.deepEqual(await fetchPac(host), { text: "0123456789", hash: await hashOf("0123456789") });
    assert.equal(host.asked.length, Math.ceil(10 / size));
  });
}

test("rules that change meanwhile begin anew", async () => {
  const [before, after] = [helper("old old old", 4), helper("new new", 4)];
  let calls = 0;
  const host = { request: (cmd, fields) => (++calls <= 2 ? before : after).request(cmd, fields) };
  assert.equal((await fetchPac(host)).text, "new new");
});

test("rules that never stay are given up", async () => {
  const host = helper("0123456789", 4, (chunk, n) => ({ ...chunk, hash: `h${n}` }));
  await assert.rejects(fetchPac(host), damaged);
});

for (const [name, change] of [
  ["a wrong hash", (chunk) => ({ ...chunk, hash: "0".repeat(64) })],
  ["altered text", (chunk) => ({ ...chunk, text: chunk.text.replace("5", "6") })],
  ["another offset", (chunk) => ({ ...chunk, offset: chunk.offset + 1 })],
  ["no text", (chunk) => ({ ...chunk, text: "" })],
  ["text of another type", (chunk) => ({ ...chunk, text: 7 })],
  ["an endless size", (chunk) => ({ ...chunk, size: 2 ** 40 })],
  ["no chunk", () => undefined],
]) {
  test(`${name} is refused`, () => assert.rejects(fetchPac(helper("0123456789", 4, change)), damaged));
}

test("an empty script is refused: it would let everything out", () => assert.rejects(fetchPac(helper("", 4)), damaged));

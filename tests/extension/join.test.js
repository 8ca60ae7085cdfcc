// A network file is a saved link, or what a link carries.

import assert from "node:assert/strict";
import { test } from "node:test";

import { chrome } from "./fake-chrome.js";

chrome.i18n.getMessage = () => "";
const { linkOf } = await import("../../extension/lib/join.js");
const bytes = (text) => new TextEncoder().encode(text);

test("a saved link is that link", () => {
  assert.equal(linkOf(bytes("qnet:AbC-_9\n")), "qnet:AbC-_9");
  assert.equal(linkOf(bytes("\n  qnet:AbC")), "qnet:AbC");
});

test("anything else is written as a link, which the helper judges", () => {
  assert.equal(linkOf(Uint8Array.of(0xff, 0xfe, 0xfd)), "qnet:__79");
  assert.equal(linkOf(Uint8Array.of(0xfb, 0xff)), "qnet:-_8");
  assert.equal(linkOf(new Uint8Array()), "qnet:");
  assert.equal(linkOf(new Uint8Array(90_000)).length, 5 + 120_000);
});

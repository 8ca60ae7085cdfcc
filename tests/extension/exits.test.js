import assert from "node:assert/strict";
import { test } from "node:test";

import { exitsOf } from "../../extension/lib/exits.js";

const INFO = { exit_country: "SE", countries: [{ country: "NL", exits: 1 }, { country: "DE", exits: 5 }] };
const codes = (words, locale = "en", info = INFO) => exitsOf(info, words, locale).map(({ code }) => code);

test("by name in the person's language, the chosen one even where no exit is left", () => {
  assert.deepEqual(codes(""), ["DE", "NL", "SE"]);
  assert.deepEqual(codes("", "es"), ["DE", "NL", "SE"]); // Alemania, Países Bajos, Suecia
  assert.deepEqual(codes("", "ru"), ["DE", "NL", "SE"]);
  assert.deepEqual(exitsOf(INFO, "swe", "en"), [{ code: "SE", exits: 0, name: "Sweden" }]);
  assert.deepEqual(codes("", "en", { ...INFO, exit_country: "" }), ["DE", "NL"]);
  assert.deepEqual(codes("", "en", { ...INFO, exit_country: "NL" }), ["DE", "NL"]);
});

test("searched in names and codes, without regard to case", () => {
  assert.deepEqual(codes(" GERM "), ["DE"]);
  assert.deepEqual(codes("nl"), ["NL"]);
  assert.deepEqual(codes("нидер", "ru"), ["NL"]);
  assert.deepEqual(codes("x"), []);
});

// Every language has every text, with the same places for parts, and the plural forms that it needs.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const folder = new URL("../../extension/_locales/", import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(`${name}/messages.json`, folder), "utf8"));
const locales = Object.fromEntries(readdirSync(folder).map((name) => [name, read(name)]));
const COUNTED = ["peers", "fails", "exits"];
const FORM = new RegExp(`^(${COUNTED.join("|")})_(zero|one|two|few|many|other)$`);
const plain = (messages) => Object.keys(messages).filter((key) => !FORM.test(key));

for (const [name, messages] of Object.entries(locales)) {
  test(`${name}: no text is missing, left over or empty`, () => {
    assert.deepEqual(plain(messages), plain(locales.en));
    for (const [key, { message }] of Object.entries(messages)) assert.ok(message.trim(), key);
  });

  test(`${name}: parts have their places, and nothing else is special`, () => {
    for (const key of plain(messages)) {
      const places = (from) => (from[key].message.match(/\$[0-9]/g) ?? []).sort();
      assert.deepEqual(places(messages), places(locales.en), key);
      assert.doesNotMatch(messages[key].message.replace(/\$[1-9]/g, ""), /[$<>]|&[a-z#]/, key);
    }
  });

  test(`${name}: a number has each form that the language knows`, () => {
    const forms = new Intl.PluralRules(name.replace("_", "-")).resolvedOptions().pluralCategories;
    for (const key of COUNTED) {
      const has = Object.keys(messages).filter((each) => each.replace(/_[a-z]+$/, "") === key && FORM.test(each));
      assert.deepEqual(has.sort(), forms.map((form) => `${key}_${form}`).sort());
      for (const each of has) if (!/_(zero|one|two)$/.test(each)) assert.match(messages[each].message, /\$1/, each);
    }
  });

  test(`${name}: names its language and direction`, () => {
    assert.equal(messages.lang.message, name.replace("_", "-"));
    assert.equal(messages.dir.message, ["ar", "fa"].includes(name) ? "rtl" : "ltr");
  });
}

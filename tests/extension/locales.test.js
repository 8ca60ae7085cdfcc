// Every language has every text, with the same places for parts, and the plural forms that it needs.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import { KINDS } from "../../extension/lib/state.js";

const folder = new URL("../../extension/_locales/", import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(`${name}/messages.json`, folder), "utf8"));
const locales = Object.fromEntries(readdirSync(folder).map((name) => [name, read(name)]));
const COUNTED = ["peers", "fails", "exits", "others", "portal_left", "list_rules", "list_remarks"];
const FORM = new RegExp(`^(${COUNTED.join("|")})_(zero|one|two|few|many|other)$`);
const plain = (messages) => Object.keys(messages).filter((key) => !FORM.test(key));

function sources(folder, ending) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile() && ending.test(each.name) && !/node_modules|_locales/.test(each.parentPath))
    .map((each) => readFileSync(`${each.parentPath}/${each.name}`, "utf8"))
    .join("\n");
}

const root = new URL("../../", import.meta.url);
const pages = sources(new URL("extension", root), /\.(js|html)$/) + sources(new URL("manifests", root), /\.json$/);
const ACTIONS = ["tunnel", "direct", "block"];
const RULE_KINDS = ["domain", "host", "wildcard", "regex", "cidr", "keyword"];
/** Texts whose names are put together. */
const FAMILIES = [
  ["choice", ACTIONS],
  ["verdict", ACTIONS],
  ["kind", RULE_KINDS],
  ["hint", RULE_KINDS],
  ["mode", ["client", "relay", "bootstrap", "exit", "super"]],
  ["nav", ["connection", "rules", "settings", "mode", "log", "network", "diagnostics", "about", "lists", "failures"]],
  ["fail", ["refused", "timeout", "name", "secure", "other"]],
  ["repair", ["tunnel", "direct"]],
  ["about", ["client", "relay", "bootstrap", "exit", "super"]],
  ["join", ["first", "same", "newer", "older", "other"]],
  ["held", ["all", "ordinary", "none", "rules", "portal"]],
];

test("every text that is put together is there", () => {
  for (const [part, ends] of FAMILIES) for (const end of ends) assert.ok(locales.en[`${part}_${end}`], `${part}_${end}`);
});

test("every text that a page names is there", () => {
  const named = [...pages.matchAll(/data-(?:text|label)="([a-z_]+)"|\b(?:text|counted)\("([a-z_]+)"|__MSG_([a-z_]+)__/g)];
  for (const [, one, two, three] of named) {
    const key = one ?? two ?? three;
    assert.ok(key in locales.en || (COUNTED.includes(key) && `${key}_other` in locales.en), key);
  }
  assert.ok(named.length > 150);
});

test("no text is left over", () => {
  const literal = new Set(pages.match(/[a-z]+(_[a-z]+)*/g));
  const codes = new Set(sources(new URL("host/qnet", root), /\.py$/).match(/(?<=")[a-z]+(-[a-z]+)*(?=")/g));
  const ours = new Set(pages.match(/(?<=failed\("|code: "|case "|\? "|: ")[a-z]+(-[a-z]+)*(?=")/g));
  const kinds = Object.keys(KINDS);
  const made = new Set([
    ...["title", "text", "do"].flatMap((part) => kinds.map((kind) => `${part}_${kind}`)),
    ...Object.values(KINDS).map(({ press }) => `press_${press}`),
    ...FAMILIES.flatMap(([part, ends]) => ends.map((end) => `${part}_${end}`)),
    ...[...codes, ...ours].flatMap((code) => ["error", "fix"].map((part) => `${part}_${code.replaceAll("-", "_")}`)),
  ]);
  assert.deepEqual(plain(locales.en).filter((key) => !literal.has(key) && !made.has(key)), []);
  for (const key of COUNTED) assert.ok(literal.has(key), key);
});

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

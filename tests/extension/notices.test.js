// When a person is told that the tunnel stopped, and when not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Notices } from "../../extension/lib/notices.js";

function desk(notify = true) {
  const told = [];
  const api = {
    storage: { local: { get: async () => ({ notify }) } },
    notifications: { create: async (_, { title }) => void told.push(title) },
    i18n: { getMessage: (key) => key },
    runtime: { getURL: (path) => path },
  };
  return { told, api, notices: new Notices(api) };
}

const view = (kind, look = kind) => ({ kind, look });
const show = async (notices, ...views) => {
  for (const each of views) await notices.show(each);
};

test("the tunnel stops and is back: two notices, however often it is told", async () => {
  const { told, notices } = desk();
  await show(notices, view("off"), view("connecting"), view("connected"), view("connected"));
  assert.deepEqual(told, []);
  await show(notices, view("blocked"), view("blocked"), view("connecting"), view("connected"), view("connected"));
  assert.deepEqual(told, ["title_blocked", "title_connected"]);
});

test("turning off is no news, nor is connecting anew after it", async () => {
  const { told, notices } = desk();
  await show(notices, view("blocked"), view("off"), view("connecting"), view("connected"));
  assert.deepEqual(told, ["title_blocked"]);
});

test("nothing without the person's wish, or the browser's leave", async () => {
  const { told, notices } = desk(false);
  await show(notices, view("blocked"), view("connected"));
  assert.deepEqual(told, []);
  const other = desk();
  other.api.notifications = undefined;
  await show(other.notices, view("host_missing", "blocked"));
  assert.deepEqual(other.told, []);
});

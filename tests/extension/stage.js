// A background on a stage: a fake browser, a native host that answers as a helper does, and a popup that looks on.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import { beforeEach } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { hashOf } from "../../extension/lib/pac.js";
import { chrome, log, makeTimersMortal, port, ports, reset, start } from "./fake-chrome.js";

globalThis.crypto ??= webcrypto;
makeTimersMortal();

export const PAC = 'function FindProxyForURL() { return "SOCKS5 127.0.0.1:1"; }';
export const OTHER = "controlled_by_other_extensions";
export const settings = chrome.proxy.settings;

/** A native host that answers as a helper does; `say` alters or withholds an answer. */
export function serve(say = (request, answer) => answer, pac = PAC) {
  chrome.onNative = (native) => {
    native.postMessage = async (request) => {
      native.sent.push(request);
      log.push(`→ ${request.cmd}`);
      const hash = await hashOf(pac);
      const parts = {
        hello: { hello: { version: 1, helper: "0", features: [] } },
        connect: { proxy: { host: "127.0.0.1", port: 1, pac_hash: hash }, status: { state: "connecting" } },
        pac: { pac: { hash, size: pac.length, offset: request.offset, text: pac.slice(request.offset, request.offset + 20) } },
      };
      const answer = say(request, { id: request.id, ok: true, ...parts[request.cmd] }, native);
      if (answer) native.onMessage.emit(answer);
    };
  };
}

export const status = (state) => ports.at(-1).onMessage.emit({ event: "status", status: { state } });
export const drop = (words = "Native host has exited.") => {
  chrome.runtime.lastError = { message: words };
  ports.at(-1).onDisconnect.emit(ports.at(-1));
  chrome.runtime.lastError = undefined;
};

export let popup;

export function open() {
  popup = port();
  popup.view = (kind) => until(() => popup.sent.at(-1)?.kind === kind, () => `${popup.sent.at(-1)?.kind} is no ${kind}`);
  popup.press = (press) => popup.onMessage.emit({ press });
  chrome.runtime.onConnect.emit(popup);
}

export async function until(condition, words = () => "in time") {
  for (let i = 0; i < 400; i++) {
    if (condition()) return;
    await sleep(5);
  }
  assert.fail(words());
}

export async function connected() {
  serve();
  await start();
  open();
  await popup.view("off");
  popup.press("connect");
  await popup.view("connecting");
  await until(() => settings.ours);
  status("connected");
  await popup.view("connected");
  await sleep(20); // what still runs would outlive a killed worker
}

beforeEach(async () => {
  await sleep(30); // here a killed worker finishes what it was about: no test of ours can stop it
  reset();
});

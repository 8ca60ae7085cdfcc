// What did not load, of every tab that is open: told by the background, mended by a rule.

import { api } from "../lib/compat.js";
import { failingRow } from "../lib/failing-row.js";
import { NEEDED } from "../lib/observer.js";

const element = (id) => document.getElementById(id);

/** @type {chrome.runtime.Port} */
let background;

function open() {
  background = api.runtime.connect({ name: "failures" });
  background.onMessage.addListener((message) => message.failures && show(message));
  background.onDisconnect.addListener(open);
  background.postMessage({ failures: true });
}

function show({ failures, allowed }) {
  const decide = (action, url) => background.postMessage({ site: "decide", url, action });
  element("failures").replaceChildren(...failures.map((each) => failingRow(each, decide)));
  element("failures-none").hidden = failures.length > 0 || !allowed;
  element("failures-allow").hidden = allowed;
}

element("failures-allow").addEventListener("click", async () => {
  // The browser asks the person, and only inside a press.
  if (await api.permissions.request(NEEDED)) background.postMessage({ failures: true });
});
open();

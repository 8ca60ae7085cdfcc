// Help with a network's sign-in page: what will happen, the one press that begins it, and what goes directly meanwhile.

import { api } from "../lib/compat.js";
import { NEEDED } from "../lib/observer.js";
import { counted, text, translatePage } from "../lib/words.js";

const element = (id) => document.getElementById(id);
translatePage();

/** Known before the press, as the browser's question may not wait for anything. */
let seeing = false;
api.permissions.contains(NEEDED).then((found) => {
  seeing = found;
  element("open").disabled = false;
});

let background;
function open() {
  background = api.runtime.connect({ name: "portal" });
  background.onMessage.addListener(({ kind }) => {
    if (kind) put("state", text(`title_${kind}`));
  });
  background.onDisconnect.addListener(open);
}

function put(id, words) {
  if (element(id).textContent !== words) element(id).textContent = words;
}

async function show() {
  const { portal } = await api.storage.session.get("portal");
  const minutes = portal ? Math.ceil((portal.until - Date.now()) / 60_000) : 0;
  element("now").hidden = minutes <= 0;
  if (minutes <= 0) return;
  put("left", counted("portal_left", minutes));
  const items = portal.hosts.map((host) => Object.assign(document.createElement("li"), { textContent: host }));
  element("hosts").replaceChildren(...items);
}

element("open").addEventListener("click", async () => {
  // The browser asks the person, and only inside a press: before anything else is waited for. Without it QNet cannot
  // see where the page leads.
  const allowed = seeing || (await api.permissions.request(NEEDED));
  seeing = allowed;
  element("refused").hidden = allowed;
  if (allowed) background.postMessage({ press: "portal-open" });
});
element("close").addEventListener("click", () => background.postMessage({ press: "portal-close" }));
api.storage.onChanged.addListener((changes, area) => area === "session" && changes.portal && show());
setInterval(show, 5_000);
open();
show();

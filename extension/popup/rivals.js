// Who else decides where pages go: the browser says that it is another extension, and which one only to whoever may see
// the list of extensions, which a person allows by a press.

import { api, asksPerRequest } from "../lib/compat.js";
import { text } from "../lib/words.js";

const NEEDED = { permissions: ["management"] };
const element = (id) => document.getElementById(id);

/** Extensions that are on and may set the proxy, ours aside. */
async function rivals() {
  const all = await api.management.getAll();
  return all.filter(({ id, enabled, permissions }) => enabled && id !== api.runtime.id && permissions?.includes("proxy"));
}

let shown = false;

/** @param {boolean} conflict */
export async function showRivals(conflict) {
  element("rivals").hidden = !conflict;
  if (!conflict || shown) return;
  shown = true;
  if (await api.permissions.contains(NEEDED)) await list();
}

async function list() {
  const found = await rivals();
  element("rivals-show").hidden = true;
  element("rivals-list").hidden = found.length === 0;
  element("rivals-none").hidden = found.length > 0;
  element("rivals-list").replaceChildren(...found.map(row));
}

function row({ id, name, mayDisable }) {
  const item = document.createElement("li");
  item.append(Object.assign(document.createElement("bdi"), { textContent: name }));
  // Firefox lets an extension turn off nothing but themes, whatever it says of the others.
  if (mayDisable && !asksPerRequest) {
    const off = Object.assign(document.createElement("button"), { type: "button", className: "quiet" });
    off.textContent = text("rivals_off");
    off.ariaLabel = `${text("rivals_off")}: ${name}`;
    off.addEventListener("click", async () => {
      await api.management.setEnabled(id, false);
      await list();
    });
    item.append(off);
  }
  return item;
}

element("rivals-show").addEventListener("click", async () => {
  // The browser asks the person, and only inside a press.
  if (await api.permissions.request(NEEDED)) await list();
});

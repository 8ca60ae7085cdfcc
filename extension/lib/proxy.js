// The browser's proxy preference. It lives in the profile and holds across restarts, so it is set once and
// never cleared at start: cleared only when the person turned QNet off.

import { api } from "./compat.js";
import { hashOf } from "./pac.js";

/**
 * Who decides about the proxy: we do, we could, another extension, or a policy.
 * `hash` is that of our script where it is the one in force, else null; `direct`: it lets some pages go directly;
 * `portal`: nothing but a network's sign-in page; `usurped`: requests were seen to go where another extension wants.
 * @typedef {{control: "ours" | "free" | "other" | "policy", hash: string | null, direct: boolean, portal: boolean, usurped?: boolean}} Proxy
 */

/** Holds every page back: Chromium blocks a request whose mandatory script throws (an empty answer would go direct). */
export const NOTHING = 'function FindProxyForURL() { throw new Error("QNet holds pages back"); }\n';

const CONTROL = {
  controlled_by_this_extension: "ours",
  controllable_by_this_extension: "free",
  controlled_by_other_extensions: "other",
};

/** The last script read, and its hash: with many rules it is megabytes, and it is read at every status. */
let known = { script: "", hash: "" };

async function hashOfKnown(script) {
  if (script !== known.script) known = { script, hash: await hashOf(script) };
  return known.hash;
}

/** Whether pages can be held at all: a proxy preference needs no further permission. */
export const permitted = async () => true;

/** @returns {Promise<Proxy>} */
export async function read() {
  const { levelOfControl, value } = await api.proxy.settings.get({ incognito: false });
  const control = CONTROL[levelOfControl] ?? "policy";
  const script = value?.mode === "pac_script" && value.pacScript?.mandatory ? value.pacScript.data : "";
  const hash = control === "ours" && script ? await hashOfKnown(script) : null;
  const has = (name) => hash !== null && script.search(new RegExp(`^var ${name} = `, "m")) >= 0;
  return { control, hash, direct: has("TABLE"), portal: has("PORTAL") };
}

/** @param {string} text  the script */
export async function apply(text) {
  await api.proxy.settings.set({
    scope: "regular",
    value: { mode: "pac_script", pacScript: { data: text, mandatory: true } },
  });
}

export async function clear() {
  await api.proxy.settings.clear({ scope: "regular" });
}

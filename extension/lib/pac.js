// Fetching the proxy auto-configuration from the helper, whole and unharmed.

import { failed } from "./native.js";

const LIMIT = 16 * 1024 * 1024;

/**
 * @param {string} text
 * @returns {Promise<string>} SHA-256 of the UTF-8 text, lower-case hex
 */
export async function hashOf(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Ask for chunk after chunk until all is there; begin again if the helper's rules change meanwhile.
 * @param {{request: (cmd: string, fields: object) => Promise<import("./messages.js").Answer>}} host
 * @returns {Promise<{text: string, hash: string}>}
 */
export async function fetchPac(host) {
  let text = "";
  let hash = "";
  let restarts = 0;
  for (;;) {
    const { pac } = await host.request("pac", { offset: text.length });
    if (!pac || typeof pac.text !== "string" || pac.size > LIMIT) throw failed("pac");
    if (text && pac.hash !== hash) {
      if (++restarts > 3) throw failed("pac");
      text = "";
      continue;
    }
    if (pac.offset !== text.length || (pac.text === "" && text.length < pac.size)) throw failed("pac");
    hash = pac.hash;
    text += pac.text;
    if (text.length >= pac.size) break;
  }
  if (text === "" || (await hashOf(text)) !== hash) throw failed("pac");
  return { text, hash };
}

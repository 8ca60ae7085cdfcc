// What the person wants. It outlives the worker and the browser; only a press of the button changes it.

import { api } from "./compat.js";

/** @typedef {"off" | "connected"} Intent */

/** @returns {Promise<Intent | undefined>} undefined where nothing legible is stored */
export async function read() {
  const { intent } = await api.storage.local.get("intent").catch(() => ({ intent: undefined }));
  return intent === "off" || intent === "connected" ? intent : undefined;
}

/** @param {Intent} intent */
export async function write(intent) {
  /** @type {{intent: Intent, armed?: boolean}} */
  const kept = { intent };
  if (intent === "off") kept.armed = false;
  await api.storage.local.set(kept);
}

/** Whether our script has been in force since the person pressed Connect: from then on nothing may go direct. */
export async function armed() {
  return (await api.storage.local.get("armed")).armed === true;
}

export async function arm() {
  await api.storage.local.set({ armed: true });
}

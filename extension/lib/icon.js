// The toolbar button: each state has its own shape and badge besides its colour, and says itself in words.

import { api } from "./compat.js";

const SIZES = [16, 32, 48, 128];
const COLOURS = { off: "#5f6877", connecting: "#9a6700", connected: "#0f7a56", blocked: "#b42c38" };

let shown = "";

/** @param {import("./state.js").View} view */
export function showIcon({ kind, look, badge }) {
  if (kind === shown) return;
  shown = kind;
  const path = Object.fromEntries(SIZES.map((size) => [size, api.runtime.getURL(`icons/${look}-${size}.png`)]));
  api.action.setIcon({ path });
  api.action.setBadgeBackgroundColor({ color: COLOURS[look] });
  api.action.setBadgeTextColor({ color: "#ffffff" });
  api.action.setBadgeText({ text: badge });
  api.action.setTitle({ title: `QNet: ${api.i18n.getMessage(`title_${kind}`)}` });
}

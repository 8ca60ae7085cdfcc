// What else could pass the proxy by: WebRTC's own UDP, and connections opened ahead of a click.

import { api } from "./compat.js";

const GUARDED = {
  webRTCIPHandlingPolicy: "disable_non_proxied_udp",
  networkPredictionEnabled: false,
};

export async function guard() {
  for (const [name, value] of Object.entries(GUARDED)) {
    await api.privacy.network[name].set({ value });
  }
}

export async function restore() {
  for (const name of Object.keys(GUARDED)) {
    await api.privacy.network[name].clear({});
  }
}

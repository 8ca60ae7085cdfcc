// Firefox's way of deciding, request by request, on the very script that Chromium is given. Pure.

import { decider } from "./decide.js";

/**
 * @param {string} script  the helper's proxy script
 * @returns {(request: {url: string}) => object | null} what a proxy listener answers; `null` is direct.
 *   Throws where the script is none of the helper's.
 */
export function decisionOf(script) {
  const port = Number(/^var PROXY = "SOCKS5 127\.0\.0\.1:([0-9]+)";$/m.exec(script)[1]);
  const line = /^var TABLE = (.*);$/m.exec(script);
  const decide = line ? decider(JSON.parse(line[1])) : () => false;
  const tunnel = Object.freeze({ type: "socks", host: "127.0.0.1", port, proxyDNS: true });
  return ({ url }) => {
    try {
      return decide(url, new URL(url).hostname) === true ? null : tunnel;
    } catch {
      return tunnel;
    }
  };
}

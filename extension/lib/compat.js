// The only file that knows browsers apart.

export const api = globalThis.chrome;

/** `browser` exists in Chrome too; only Firefox proxies request by request. */
const isFirefox = "onRequest" in (globalThis.browser?.proxy ?? {});

/** Whether this browser asks about each request, instead of taking a script. */
export const asksPerRequest = isFirefox;

/** What `hello` calls us. */
export const client = isFirefox ? "firefox" : "chromium";

/**
 * Why a native port closed, in the browser's words; to be read inside its `onDisconnect`.
 * @param {chrome.runtime.Port} port
 * @returns {string}
 */
export function portError(port) {
  const error = isFirefox ? /** @type {any} */ (port).error : api.runtime.lastError;
  return error?.message ?? "";
}

/** Where the person lets the extension into private windows. */
export function settingsUrl() {
  return isFirefox ? "about:addons" : `chrome://extensions/?id=${api.runtime.id}`;
}

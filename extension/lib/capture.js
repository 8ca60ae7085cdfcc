// The tunnel looks like the browser beside it. So this browser shows the helper once, and again after each update, how
// it begins a connection: it opens an address of the helper's, which takes the first words and answers nothing.

const WITHIN = 3_000;

/** The address being opened, which goes to this computer and around every proxy. @type {string | null} */
let opening = null;

/** @param {string} url  @returns {boolean} whether a request is this file's own */
export const isOwn = (url) => opening !== null && url === opening;

/**
 * Show this browser's hello if the helper does not know it. Whatever fails, connecting goes on: a hello that comes with
 * the helper serves meanwhile.
 * @param {import("./native.js").Host} host
 * @param {import("./messages.js").HelloInfo} hello
 */
export async function show(host, hello) {
  if (!hello.features?.includes("capture")) return;
  try {
    const { capture } = await host.request("capture", await product(), WITHIN);
    if (capture?.problem) console.warn("capture:", capture.problem);
    if (!capture?.url) return;
    opening = capture.url;
    await fetch(opening, { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(WITHIN) });
  } catch {
    // As it must: nobody answers there.
  } finally {
    opening = null;
  }
}

/** The browser's own name and whole version. @returns {Promise<{browser: string, version: string}>} */
async function product() {
  const firefox = /** @type {any} */ (globalThis).browser?.runtime?.getBrowserInfo;
  if (firefox) {
    const { name, version, buildID } = await firefox();
    return { browser: name, version: `${version} ${buildID}` };
  }
  const data = /** @type {any} */ (navigator).userAgentData;
  const { fullVersionList } = await data.getHighEntropyValues(["fullVersionList"]);
  // One entry is made up by the browser, and "Chromium" is in every list: what is named beside it is the product.
  const real = fullVersionList.filter(({ brand }) => !/not.*brand/i.test(brand));
  const { brand, version } = real.find((each) => each.brand !== "Chromium") ?? real[0];
  return { browser: brand, version };
}

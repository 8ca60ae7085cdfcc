// QNet in the browser's context menu: this page's site, or that of a link, by one rule. Shown only while connected,
// as nobody else can take a rule.

const ACTIONS = ["tunnel", "direct", "block"];
const ROOT = "site";

export class Menu {
  #api;
  #text;
  /** Unknown at first: the menu outlives the background. @type {boolean | null} */
  #shown = null;
  #kind = "off";

  /** @param {typeof chrome} api @param {(key: string) => string} text */
  constructor(api, text) {
    this.#api = api;
    this.#text = text;
  }

  /** Make it anew: it outlives the background, not every restart of the browser, and its language may change. */
  async make() {
    const { contextMenus } = this.#api;
    await contextMenus.removeAll();
    const contexts = ["page", "link"];
    contextMenus.create({ id: ROOT, title: this.#text("menu_site"), contexts, visible: false });
    for (const action of ACTIONS) {
      contextMenus.create({ id: action, parentId: ROOT, title: this.#text(`verdict_${action}`), contexts });
    }
    this.#shown = false;
    await this.show({ kind: this.#kind });
  }

  /** @param {Pick<import("./state.js").View, "kind">} view */
  async show({ kind }) {
    this.#kind = kind;
    const shown = kind === "connected";
    if (shown === this.#shown) return;
    this.#shown = shown;
    // Where it was never made there is nothing to show.
    await this.#api.contextMenus.update(ROOT, { visible: shown }).catch(() => {});
  }

  /** @param {(action: string, url: string) => void} decide */
  listen(decide) {
    this.#api.contextMenus.onClicked.addListener(({ menuItemId, linkUrl, pageUrl }) => {
      if (ACTIONS.includes(String(menuItemId))) decide(String(menuItemId), linkUrl ?? pageUrl ?? "");
    });
  }
}

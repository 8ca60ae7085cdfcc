// Tells a person who wants it when the tunnel stops and when it is back; nothing else is worth an interruption.

const ID = "state";

export class Notices {
  #api;
  #stopped = false;

  /** @param {typeof chrome} api */
  constructor(api) {
    this.#api = api;
  }

  /** @param {import("./state.js").View} view */
  async show({ kind, look }) {
    const stopped = look === "blocked";
    const back = this.#stopped && look === "connected";
    if (look === "connecting" || (!back && stopped === this.#stopped)) return;
    this.#stopped = stopped;
    if (!stopped && !back) return;
    const { notify } = await this.#api.storage.local.get("notify");
    if (notify !== true || !this.#api.notifications) return;
    const words = (part) => this.#api.i18n.getMessage(`${part}_${kind}`);
    const iconUrl = this.#api.runtime.getURL("icons/brand-128.png");
    await this.#api.notifications.create(ID, { type: "basic", iconUrl, title: words("title"), message: words("text") });
  }
}

// The form that takes an invitation link: what it leads to is shown, and joined only after the person agrees.

import { errorText, text } from "./words.js";

/** Bytes of a network file, at most (the helper takes 64 KiB), as a link a third more. */
const FILE_LIMIT = 96 * 1024;

/**
 * @param {HTMLElement} place
 * @param {(cmd: string, fields: object) => Promise<import("./messages.js").Answer>} ask
 * @param {(settings: import("./messages.js").SettingsInfo) => void} joined
 */
export function joinForm(place, ask, joined) {
  const form = document.createElement("form");
  const label = make("label", "heading", text("join_title"));
  const link = Object.assign(document.createElement("textarea"), { id: "join-link", rows: 3, dir: "ltr", required: true });
  Object.assign(link, { spellcheck: false, placeholder: "qnet:…", maxLength: 131_072 });
  label.htmlFor = link.id;
  const look = make("button", "primary slim", text("join_look"));
  look.id = "join-look";
  const error = Object.assign(make("p", "warning", ""), { role: "alert", hidden: true, id: "join-error" });
  const found = Object.assign(make("div", "found", ""), { hidden: true, id: "join-found" });
  found.setAttribute("role", "status");
  form.className = "join";
  const file = Object.assign(document.createElement("input"), { type: "file", hidden: true, id: "join-file" });
  const choose = Object.assign(make("button", "quiet", text("import_choose")), { type: "button" });
  const line = make("div", "line", "");
  line.append(look, choose, file);
  form.append(label, make("p", "small", text("join_text")), link, line, error, found);
  place.replaceChildren(form);

  async function attempt(work) {
    error.hidden = true;
    try {
      await work();
    } catch (refused) {
      const { code = "", message = "", hint = "" } = refused.failure?.error ?? {};
      error.textContent = [errorText({ code, message }), code === "network" ? message : "", hint].filter(Boolean).join(" · ");
      error.hidden = false;
    }
  }

  choose.addEventListener("click", () => file.click());
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    file.value = "";
    if (!chosen) return;
    link.value = chosen.size <= FILE_LIMIT ? linkOf(new Uint8Array(await chosen.arrayBuffer())) : "";
    form.requestSubmit();
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    found.hidden = true;
    attempt(async () => {
      const address = link.value.replace(/\s+/g, "");
      const { proposal } = await ask("examine-network", { link: address });
      show(proposal, address);
    });
  });

  function show({ network, relation }, address) {
    const name = make("p", "network-name", "");
    name.append(Object.assign(document.createElement("bdi"), { textContent: network.name }));
    const code = Object.assign(make("code", "", network.fingerprint), { dir: "ltr" });
    const agree = Object.assign(make("button", "primary slim", text("join_agree")), { type: "button", id: "join-agree" });
    const cancel = Object.assign(make("button", "quiet", text("press_cancel")), { type: "button" });
    const buttons = make("div", "line", "");
    const useless = relation === "same" || relation === "older";
    if (!useless) buttons.append(agree);
    buttons.append(cancel);
    found.replaceChildren(name, code, make("p", "small", text(`join_${relation}`)), buttons);
    found.hidden = false;
    cancel.addEventListener("click", () => (found.hidden = true));
    agree.addEventListener("click", () =>
      attempt(async () => {
        const consent = { link: address, fingerprint: network.fingerprint, replace: relation === "other" };
        const { settings } = await ask("join-network", consent);
        found.hidden = true;
        link.value = "";
        joined(settings);
      }),
    );
  }
}

/**
 * The link that a network file means: the file is either a saved link, or what a link carries.
 * @param {Uint8Array} bytes
 */
export function linkOf(bytes) {
  const text = new TextDecoder().decode(bytes).trim();
  if (text.startsWith("qnet:")) return text;
  const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return `qnet:${base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

function make(tag, name, words) {
  return Object.assign(document.createElement(tag), { className: name, textContent: words });
}

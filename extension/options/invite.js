// The link with which others join this person's network, and as a code for their camera. Shown only when asked for:
// whoever reads it over a shoulder learns where the network's operators are.

import { errorText, text } from "../lib/words.js";

const SVG = "http://www.w3.org/2000/svg";
/** Rows of light around a QR code (ISO/IEC 18004). */
const QUIET = 4;

const element = (id) => document.getElementById(id);

/** @param {(cmd: string) => Promise<import("../lib/messages.js").Answer>} ask */
export function inviteForm(ask) {
  element("invite-show").addEventListener("click", async () => {
    const place = element("invite-found");
    try {
      const { link, qr } = (await ask("invite")).invitation;
      element("invite-link").value = link;
      element("invite-code").replaceChildren(...(qr.length ? [picture(qr)] : []));
      element("invite-large").hidden = qr.length > 0;
      element("invite-error").textContent = "";
      place.hidden = false;
    } catch (refused) {
      place.hidden = true;
      element("invite-error").textContent = errorText(refused.failure?.error ?? {});
    }
  });
  element("invite-file").addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([element("invite-link").value], { type: "text/plain" }));
    Object.assign(document.createElement("a"), { href: url, download: "network.qnet-network" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  });
}

/** @param {string[]} rows  a code as the helper draws it, 1 for dark */
function picture(rows) {
  const size = rows.length + 2 * QUIET;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `${-QUIET} ${-QUIET} ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.ariaLabel = text("invite_code");
  const dark = document.createElementNS(SVG, "path");
  const squares = rows.flatMap((row, y) => [...row].map((cell, x) => (cell === "1" ? `M${x} ${y}h1v1h-1z` : "")));
  dark.setAttribute("d", squares.join(""));
  svg.append(dark);
  return svg;
}

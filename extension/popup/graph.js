// The last minute as two lines. Drawn anew every second, as the background tells only changes.

import { minute, path } from "../lib/history.js";

/** The upper edge is never lower than this: a few bytes are no mountain. */
const LEAST = 10_000;

let samples = [];

/** @param {import("../lib/history.js").Sample[]} known */
export function draw(known) {
  samples = known;
  const { down, up } = minute(samples, Date.now());
  const top = Math.max(LEAST, ...down, ...up) * 1.08;
  const set = (id, shape) => document.getElementById(id).setAttribute("d", shape);
  set("graph-fill", path(down, top, true));
  set("graph-down", path(down, top));
  set("graph-up", path(up, top));
}

setInterval(() => draw(samples), 1000);

// The rates of the last minute, as they were told, and as a picture of one point a second. Pure.

export const SECONDS = 60;

/** @typedef {[at: number, down: number, up: number]} Sample  `at` in milliseconds, the others in bytes a second */

/**
 * Keeps what the last minute needs, the sample before it included.
 * @param {Sample[]} samples  in order
 * @param {Sample} next
 * @returns {Sample[]}
 */
export function add(samples, next) {
  const kept = samples.filter(([at]) => next[0] - at <= (SECONDS + 2) * 1000 && at <= next[0]);
  return [...kept, next];
}

/**
 * One pair for each of the last 60 seconds, the oldest first. Nothing is told while nothing changes, so a value holds
 * until the next; before the first there was none.
 * @param {Sample[]} samples
 * @param {number} now  milliseconds
 * @returns {{down: number[], up: number[]}}
 */
export function minute(samples, now) {
  const down = [];
  const up = [];
  let index = -1;
  for (let second = SECONDS - 1; second >= 0; second--) {
    const at = now - second * 1000;
    while (index + 1 < samples.length && samples[index + 1][0] <= at) index++;
    down.push(index < 0 ? 0 : samples[index][1]);
    up.push(index < 0 ? 0 : samples[index][2]);
  }
  return { down, up };
}

/**
 * An SVG path through the values, in a box of 60 by 1 with its zero at the bottom.
 * @param {number[]} values
 * @param {number} top  the value at the upper edge
 * @param {boolean} closed  down to the zero line, to be filled
 */
export function path(values, top, closed = false) {
  const points = values.map((value, at) => `${at} ${(1 - Math.min(1, value / (top || 1))).toFixed(3)}`);
  const line = `M${points.join("L")}`;
  return closed ? `${line}L${values.length - 1} 1L0 1Z` : line;
}

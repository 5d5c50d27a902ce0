/** Colours for numbers: light to dark in even steps of lightness, readable without colour vision; which end is certain is said beside it. */

const SEQUENCE = ["#ffffd9", "#edf8b1", "#c7e9b4", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#253494", "#081d58"];

const MIDDLE = 0.24; // where dark ink and pale ink are equally far off, about (0.065 x 0.99) ** 0.5

/**
 * @typedef {object} Measure
 * @property {string} name
 * @property {string} term its name among the terms
 * @property {(value: number, most: number, vocabulary: number) => number} share of the scale, 1 where the point is certain or agrees with the end
 * @property {(most: number, vocabulary: number) => [string, string]} ends what stands at the scale's two ends
 * @property {(value: unknown) => string} said
 */

/** @type {Record<string, Measure>} */
export const MEASURES = {
  prob: { name: "probability", term: "probability", share: (value) => value, ends: () => ["0", "1"], said: (value) => percentOf(value) },
  rank: {
    name: "rank", term: "rank",
    share: (value, _, vocabulary) => 1 - Math.log1p(value) / Math.log1p(vocabulary),
    ends: (_, vocabulary) => [`${vocabulary - 1}`, "0 (log scale)"],
    said: (value) => (typeof value === "number" ? String(value) : "n/a"),
  },
  entropy: {
    name: "entropy", term: "entropy",
    share: (value, _, vocabulary) => 1 - value / Math.log(vocabulary),
    ends: (_, vocabulary) => [`${Math.log(vocabulary).toFixed(1)} nats`, "0"],
    said: (value) => digits(value),
  },
  kl: { name: "KL", term: "KL", share: (value, top) => 1 - value / Math.max(top, 0.1), ends: (top) => [`${Math.max(top, 0.1).toFixed(1)} nats`, "0"], said: (value) => digits(value) },
};

/** @param {unknown} value */
function percentOf(value) {
  return typeof value === "number" ? `${(100 * value).toFixed(1)}%` : "n/a";
}

/** @param {unknown} value */
function digits(value) {
  return typeof value === "number" ? value.toFixed(2).replace("-", "−") : "n/a";
}

/** The colours from uncertain to certain. @param {boolean} dark */
export function stops(dark) {
  return dark ? [...SEQUENCE].reverse() : SEQUENCE;
}

/**
 * Paper and ink for a share of a scale.
 * @param {number} share
 * @param {string[]} colours
 */
export function shade(share, colours) {
  const at = Math.min(Math.max(Number.isFinite(share) ? share : 0, 0), 1) * (colours.length - 1);
  const low = Math.min(Math.floor(at), colours.length - 2);
  const channel = (hex, i) => parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
  const rgb = [0, 1, 2].map((i) => channel(colours[low], i) + (at - low) * (channel(colours[low + 1], i) - channel(colours[low], i)));
  return { paper: `rgb(${rgb.map(Math.round).join(" ")})`, ink: luminance(rgb) + 0.05 > MIDDLE ? "#10202c" : "#f4f8fb" };
}

/** Relative luminance, as of WCAG with a plain power. @param {number[]} rgb */
export function luminance(rgb) {
  return rgb.map((c) => (c / 255) ** 2.2).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
}

/** The largest number of a table. @param {(number | null)[][]} rows */
export function most(rows) {
  let found = 0;
  for (const row of rows) for (const value of row) if (typeof value === "number" && value > found) found = value;
  return found;
}

/**
 * Where every bar begins and ends when each stands on the one before: the last ends at their sum.
 * @param {number[]} values
 * @returns {{spans: [number, number][], low: number, high: number}} both ends take in zero
 */
export function waterfall(values) {
  /** @type {[number, number][]} */
  const spans = [];
  let sum = 0;
  for (const value of values) spans.push([sum, (sum += value)]);
  const ends = [0, ...spans.flat()];
  return { spans, low: Math.min(...ends), high: Math.max(...ends) };
}

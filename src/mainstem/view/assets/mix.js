/** Directions mixed, and colours for numbers of both signs. */

import { shade, stops } from "./scale.js";

// Orange below zero, violet above: told apart without red or green, and equally far from the middle in lightness.
const LIGHT = ["#b35806", "#e08214", "#fdb863", "#fee0b6", "#f7f7f7", "#d8daeb", "#b2abd2", "#8073ac", "#542788"];
const DARK = ["#fdb863", "#d98324", "#95560f", "#523313", "#1c242c", "#34305e", "#5a4b9c", "#8f83cf", "#c9c2f2"];

/** The colours from below zero to above it. @param {boolean} dark */
export function twoSided(dark) {
  return dark ? DARK : LIGHT;
}

/**
 * Weights of length one when one of them is moved: the others keep their shares of what is left.
 * @param {number[]} weights
 * @param {number} index
 * @param {number} value of that one, from -1 to 1
 */
export function moveOne(weights, index, value) {
  const own = Math.min(Math.max(value, -1), 1);
  const rest = Math.sqrt(weights.reduce((sum, w, i) => sum + (i === index ? 0 : w * w), 0));
  if (rest < 1e-9) return weights.map((_, i) => (i === index ? (own < 0 ? -1 : 1) : 0));
  const left = Math.sqrt(1 - own * own) / rest;
  return weights.map((w, i) => (i === index ? own : w * left));
}

/** The length of a mix of unit directions. @param {number[]} weights @param {number[][]} gram their products */
export function lengthOf(weights, gram) {
  return Math.sqrt(weights.reduce((sum, w, i) => sum + w * weights.reduce((inner, v, j) => inner + v * gram[i][j], 0), 0));
}

/** How far a token goes along a mix at unit length. @param {number[]} values along each direction @param {number[]} weights @param {number} length */
export function mixed(values, weights, length) {
  return values.reduce((sum, value, i) => sum + value * (weights[i] ?? 0), 0) / length;
}

/** Weights in the address: "1:0.8,3:-0.6", counted from 1. @param {number[]} weights */
export function saidWeights(weights) {
  return weights.flatMap((w, i) => (Math.abs(w) > 5e-5 ? [`${i + 1}:${Number(w.toFixed(4))}`] : [])).join(",");
}

/** @param {string} text @param {number} count */
export function readWeights(text, count) {
  const found = Array.from({ length: count }, () => 0);
  for (const part of text.split(",")) {
    const [i, w] = part.split(":").map(Number);
    if (Number.isInteger(i) && i >= 1 && i <= count && Number.isFinite(w)) found[i - 1] = w;
  }
  const size = Math.hypot(...found);
  return size > 0 ? found.map((w) => w / size) : found.map((_, i) => (i ? 0 : 1));
}

/**
 * A scale of colours for numbers: centred on zero, or from the lowest to the highest.
 * @param {number[]} values
 * @param {"zero" | "range"} kind
 */
export function scaleOf(values, kind) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (!values.length) [low, high] = [0, 0];
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const [from, to] = kind === "zero" ? [-most, most] : [low, high];
  const share = (value) => (to > from ? (value - from) / (to - from) : 0.5);
  const colours = (dark) => (kind === "zero" ? twoSided(dark) : stops(dark));
  return { from, to, share, colours, zero: from <= 0 && to >= 0 ? share(0) : null, shade: (value, dark) => shade(share(value), colours(dark)) };
}

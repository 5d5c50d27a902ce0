/** A histogram around zero. */

import { number } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
function shape(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  if (text) node.textContent = text;
  return node;
}

/**
 * @param {number[]} counts of bins of one width from -most to most
 * @param {number} most
 * @param {number | null} own a number to mark
 */
export function histogram(counts, most, own) {
  const [wide, high, foot] = [420, 110, 20];
  const largest = Math.max(...counts, 1);
  const step = wide / counts.length;
  const root = shape("svg", { viewBox: `0 0 ${wide} ${high + foot}`, class: "histogram", role: "img", "aria-label": `${counts.reduce((a, b) => a + b, 0)} weights from ${number(-most, 3)} to ${number(most, 3)}` });
  counts.forEach((count, i) => {
    const size = count ? Math.max(1.5, (high * Math.log1p(count)) / Math.log1p(largest)) : 0;
    const bar = shape("rect", { x: i * step + 0.5, y: high - size, width: step - 1, height: size, class: "bin" });
    const [low, end] = [i, i + 1].map((k) => -most + (2 * most * k) / counts.length);
    bar.append(shape("title", {}, `${count} from ${number(low, 3)} to ${number(end, 3)}`));
    root.append(bar);
  });
  root.append(shape("line", { x1: wide / 2, x2: wide / 2, y1: 0, y2: high, class: "nil" }));
  if (own !== null) root.append(shape("path", { d: `M${(wide * (own + most)) / (2 * most)},${high} l-5,-9 h10 Z`, class: "own" }));
  const label = (x, anchor, text) => root.append(shape("text", { x, y: high + 15, "text-anchor": anchor }, text));
  label(0, "start", number(-most, 2)), label(wide / 2, "middle", "0"), label(wide, "end", number(most, 2));
  root.append(shape("text", { x: wide, y: 11, "text-anchor": "end" }, "counts, log scale"));
  return root;
}

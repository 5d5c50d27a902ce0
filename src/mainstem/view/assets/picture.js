/** What is on the page as a picture of its own: the grid, or the bars. Texts are text nodes here too. */

import { MEASURES, most, shade, stops, waterfall } from "./scale.js";
import { number, short, small, spoken } from "./text.js";

const SPACE = "http://www.w3.org/2000/svg";
export const PICTURED = 60; // columns of a picture, those around the chosen token

/** @param {string} tag @param {Record<string, string | number>} attributes @param {(Node | string)[]} inside */
function drawn(tag, attributes, ...inside) {
  const node = document.createElementNS(SPACE, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...inside);
  return node;
}

/** @param {number} x @param {number} y @param {string} said @param {Record<string, string | number>} [more] */
function text(x, y, said, more = {}) {
  return drawn("text", { x, y, "font-size": 12, fill: "#1c2935", ...more }, said);
}

/** @param {number} wide @param {number} high @param {Node[]} inside */
function framed(wide, high, inside) {
  const paper = drawn("rect", { width: wide, height: high, fill: "#ffffff" });
  const whole = drawn("svg", { xmlns: SPACE, width: wide, height: high, viewBox: `0 0 ${wide} ${high}`, "font-family": "system-ui, sans-serif" }, paper, ...inside);
  return { svg: new XMLSerializer().serializeToString(whole), wide, high };
}

/** The first column of a picture. @param {number} count of columns @param {number} position the one that is chosen */
export function picturedFrom(count, position) {
  return Math.max(0, Math.min(position - PICTURED / 2, count - PICTURED));
}

/**
 * @param {import("./grid.js").Record_ & {model: string}} record
 * @param {string} measure
 * @param {number} position the columns around this one
 */
export function gridPicture(record, measure, position) {
  const [side, wide, high, top] = [110, 80, 24, 58];
  const first = picturedFrom(record.tokens.length, position);
  const seen = record.tokens.slice(first, first + PICTURED);
  const kind = MEASURES[measure];
  const largest = most(record[measure]);
  const [from, to] = kind.ends(largest, record.vocabulary);
  const title = text(8, 20, `${record.model}: likeliest token of every point, coloured by ${kind.name} (pale ${from}, dark ${to})`, { "font-size": 13, "font-weight": 600 });
  const heads = seen.map((said, i) => text(side + i * wide + wide / 2, 48, short(spoken(said), 10), { "text-anchor": "middle" }));
  const lines = record.points.flatMap((point, p) => {
    const y = top + (record.points.length - 1 - p) * high;
    const cells = seen.flatMap((_, i) => {
      const value = record[measure][p][first + i];
      const { paper, ink } = shade(kind.share(value ?? 0, largest, record.vocabulary), stops(false));
      return [
        drawn("rect", { x: side + i * wide + 1, y: y + 1, width: wide - 2, height: high - 2, rx: 3, fill: paper }),
        text(side + i * wide + wide / 2, y + 16, short(spoken(record.words[record.top[p][first + i]] ?? ""), 10), { "text-anchor": "middle", fill: ink }),
      ];
    });
    return [text(8, y + 16, point), ...cells];
  });
  return framed(Math.max(640, side + seen.length * wide + 8), top + record.points.length * high + 8, [title, ...heads, ...lines]);
}

/**
 * @param {import("./bars.js").Table} table
 * @param {string} title
 * @param {string} unit
 */
export function barPicture(table, title, unit) {
  const [side, span, row, top] = [220, 420, 20, 40];
  const { spans, low, high } = waterfall(table.rows.map((one) => one.value ?? 0));
  const at = (value) => side + (span * (value - low)) / (high - low || 1);
  const end = top + table.rows.length * row;
  const rows = table.rows.flatMap((one, i) => {
    const [from, to] = spans[i];
    const name = one.kind === "others" ? `the other ${one.count}` : one.token !== undefined ? `${one.position} ${spoken(one.token)}` : one.component;
    return [
      text(side - 10, top + i * row + 14, short(name, 30), { "text-anchor": "end" }),
      drawn("rect", { x: at(Math.min(from, to)), y: top + i * row + 4, width: Math.max(0.5, Math.abs(at(to) - at(from))), height: row - 8, fill: one.value < 0 ? "#b4533c" : "#178a8a" }),
      text(side + span + 70, top + i * row + 14, number(one.value, 3, true), { "text-anchor": "end" }),
    ];
  });
  const zero = drawn("line", { x1: at(0), x2: at(0), y1: top, y2: end, stroke: "#5d6a76", "stroke-width": 1 });
  const foot = text(8, end + 20, `sum ${number(table.sum, 4)} ${unit}; the model's own ${number(table.whole, 4)}; closure error ${small(table.error)}, bound ${small(table.bound)}`);
  return framed(side + span + 80, end + 32, [text(8, 22, title, { "font-size": 13, "font-weight": 600 }), zero, ...rows, foot]);
}

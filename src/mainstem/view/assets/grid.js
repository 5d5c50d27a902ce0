/** The lens grid: points by tokens, the last point on top. Only what is seen is drawn, so that thousands of tokens scroll. */

import { make, token, visible } from "./dom.js";
import { MEASURES, most, shade, stops } from "./scale.js";
import { spoken } from "./text.js";
import { isDark } from "./theme.js";
import { moved, shown, span } from "./window.js";

export const CELL = { wide: 84, high: 26, head: 40, side: 112 };

/**
 * @typedef {{tokens: string[], points: string[], words: string[], top: number[][], vocabulary: number, target: number[],
 *   prob: number[][], rank: number[][], entropy: number[][], kl: number[][], logprob: number[][], tops: [number, number][][][] | null}} Record_
 * @typedef {{point: number, position: number}} At
 */

/**
 * @param {HTMLElement} page which has the colours
 * @param {Record_} record
 * @param {{chosen: (at: At) => void, seen: (at: At) => void, entered: () => void, left: () => void, drawn?: (columns: [number, number]) => void}} tells a click or
 *   Enter chooses; pointer and keys make seen; `drawn`, the first column that stands on the screen and the one behind the last
 */
export function lensGrid(page, record, tells) {
  const [rows, columns] = [record.points.length, record.tokens.length];
  const [wide, high] = [CELL.side + columns * CELL.wide, CELL.head + rows * CELL.high];
  const heads = make("div.heads", { role: "row" }, make("div.corner", { role: "columnheader" }, "point"));
  const sheet = make("div.sheet", {}, heads);
  const label = "Logit lens: the likeliest token of every point and position. Arrows move, Enter takes the prediction apart.";
  const node = make("div.grid", { role: "grid", tabindex: "0", "aria-label": label, "aria-rowcount": rows + 1, "aria-colcount": columns + 1 }, sheet);
  sheet.style.width = `${wide}px`;
  sheet.style.height = `${high}px`;
  heads.style.height = `${CELL.head}px`;
  const id = `g${Math.random().toString(36).slice(2)}`;
  /** @type {Map<string, HTMLElement>} */
  const held = new Map();
  /** @type {{measure: string, at: At, chosen: At | null, most: number}} */
  const state = { measure: "prob", at: { point: rows - 1, position: columns - 1 }, chosen: null, most: 0 };

  /** Row of a point on the screen: the last point is on top. @param {number} point */
  const rowOf = (point) => rows - 1 - point;

  /** @param {number} point @param {number} position */
  const cell = (point, position) => {
    const made = make("div.cell", {
      role: "gridcell", id: `${id}-${point}-${position}`, "aria-colindex": position + 2, "data-point": point, "data-position": position,
    });
    made.style.left = `${CELL.side + position * CELL.wide}px`;
    return made;
  };

  /** @type {Map<string, string>} */
  const aloud = new Map();
  /** A token in words, each worked out once. @param {string} text */
  const read = (text) => {
    let found = aloud.get(text);
    if (found === undefined) aloud.set(text, (found = spoken(text)));
    return found;
  };

  /** @param {HTMLElement} made @param {number} point @param {number} position @param {string[]} colours */
  const paint = (made, point, position, colours) => {
    const kind = MEASURES[state.measure];
    const value = record[state.measure][point][position];
    const said = record.words[record.top[point][position]];
    if (said !== undefined && !made.hasChildNodes()) made.append(...visible(said));
    const { paper, ink } = shade(typeof value === "number" ? kind.share(value, state.most, record.vocabulary) : 0, colours);
    made.style.background = typeof value === "number" ? paper : "";
    made.style.color = typeof value === "number" ? ink : "";
    made.setAttribute("aria-label", `${record.points[point]}, token ${position} ${read(record.tokens[position])}: ${said === undefined ? "not read yet" : `${read(said)}, ${kind.name} ${kind.said(value)}`}`);
    made.classList.toggle("unread", said === undefined);
    made.classList.toggle("at", point === state.at.point && position === state.at.position);
    made.classList.toggle("chosen", point === state.chosen?.point && position === state.chosen?.position);
  };

  /** Draws what is seen; all of it anew where `again`. @param {boolean} [again] */
  const draw = (again = false) => {
    const [left, right] = span(node.scrollLeft, node.clientWidth - CELL.side, CELL.wide, columns);
    const [first, last] = span(node.scrollTop, node.clientHeight, CELL.high, rows);
    const wanted = new Set();
    const colours = stops(isDark(page));
    const keep = (key, make_, parent) => {
      wanted.add(key);
      let made = held.get(key);
      const fresh = !made;
      if (!made) {
        made = /** @type {HTMLElement} */ (make_());
        held.set(key, made);
        parent.append(made);
      }
      return /** @type {[HTMLElement, boolean]} */ ([made, fresh]);
    };
    for (let position = left; position < right; position++) {
      keep(`h${position}`, () => {
        const head = make("div.headcell", { role: "columnheader", title: spoken(record.tokens[position]) }, make("small", {}, String(position)), token(record.tokens[position]));
        head.style.left = `${CELL.side + position * CELL.wide}px`;
        return head;
      }, heads);
    }
    for (let row = first; row < last; row++) {
      const point = rows - 1 - row;
      const [line] = keep(`r${point}`, () => {
        const made = make("div.line", { role: "row", "aria-rowindex": row + 2 }, make("div.side", { role: "rowheader" }, record.points[point]));
        made.style.top = `${CELL.head + row * CELL.high}px`;
        return made;
      }, sheet);
      for (let position = left; position < right; position++) {
        const [made, fresh] = keep(`${point}:${position}`, () => cell(point, position), line);
        if (fresh || again) paint(made, point, position, colours);
      }
    }
    tells.drawn?.([left, right]);
    for (const [key, old] of held) if (!wanted.has(key)) held.delete(key), old.remove();
    node.setAttribute("aria-activedescendant", `${id}-${state.at.point}-${state.at.position}`);
  };

  /** @param {At} at */
  const go = (at) => {
    state.at = at;
    node.scrollLeft = shown(node.scrollLeft, node.clientWidth - CELL.side, CELL.wide, at.position);
    node.scrollTop = shown(node.scrollTop, node.clientHeight - CELL.head, CELL.high, rowOf(at.point));
    draw(true);
    tells.seen(at);
  };

  /** @param {Event} event @returns {At | null} */
  const under = (event) => {
    const found = event.target instanceof Element ? event.target.closest(".cell") : null;
    return found instanceof HTMLElement ? { point: Number(found.dataset.point), position: Number(found.dataset.position) } : null;
  };

  let asked = 0;
  node.addEventListener("scroll", () => {
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(() => draw());
  });
  node.addEventListener("pointerover", (event) => {
    const at = under(event);
    if (at) tells.seen(at);
  });
  node.addEventListener("pointerleave", () => tells.seen(state.at));
  node.addEventListener("click", (event) => {
    const at = under(event);
    if (at) go(at), tells.chosen(at);
  });
  node.addEventListener("keydown", (event) => {
    const to = moved(event.key, [rowOf(state.at.point), state.at.position], [rows, columns]);
    if (to) go({ point: rows - 1 - to[0], position: to[1] });
    else if (event.key === "Enter") tells.chosen(state.at), tells.entered();
    else if (event.key === "Escape") tells.left();
    else return;
    event.preventDefault();
  });
  const themed = () => draw(true);
  page.addEventListener("themed", themed);
  const resized = new ResizeObserver(() => draw());
  resized.observe(node);

  return {
    node,
    /** @param {{measure?: string, chosen?: At}} what */
    show({ measure, chosen }) {
      if (measure && measure in MEASURES) Object.assign(state, { measure, most: most(record[measure]) });
      if (chosen) Object.assign(state, { chosen, at: chosen });
      if (chosen) go(chosen);
      else draw(true);
    },
    /** Draws what came since. */
    refresh() {
      state.most = most(record[state.measure]);
      draw(true);
      tells.seen(state.at);
    },
    /** What stands at the ends of the scale. */
    ends: () => MEASURES[state.measure].ends(state.most, record.vocabulary),
    close() {
      page.removeEventListener("themed", themed);
      resized.disconnect();
    },
  };
}

/** Parts as bars that stand on each other, so that the eye adds them up; below them the sum, and how nearly it is the whole. */

import { make, token } from "./dom.js";
import { waterfall } from "./scale.js";
import { term } from "./terms.js";
import { number, small } from "./text.js";

/**
 * @typedef {{component: string, kind: string, value: number, into: string | null, count?: number, token?: string, position?: number, first?: string[], last?: string[]}} Row
 * @typedef {{rows: Row[], sum: number, whole: number, error: number, bound: number}} Table
 */

/** How a row is called. @param {Row} row @returns {(Node | string)[]} */
function name(row) {
  if (row.kind === "others") return [`the other ${row.count}`];
  if (row.token !== undefined) return [make("small", {}, `${row.position} `), token(row.token)];
  if (row.kind === "interaction") return [term("interaction", row.component)];
  return row.kind === "constant" ? [term("constant", row.component)] : [row.component];
}

/** @param {string} about @param {"first words" | "last words"} means @param {string[] | undefined} list */
function words(about, means, list) {
  return list?.length ? make("span.words", {}, make("small", {}, term(means, about)), list.map((word) => token(word))) : null;
}

/**
 * @param {Table} table
 * @param {{opened: (row: Row) => void, left: () => void, after?: string, here?: string, unit: string}} how what is done when a row is opened, and on Escape;
 *   a line is drawn behind the row `after`, the last that the chosen point has, called `here`
 */
export function barList(table, { opened, left, after, here, unit }) {
  const { spans, low, high } = waterfall(table.rows.map((row) => row.value ?? 0));
  const size = high - low || 1;
  const at = (value) => `${(100 * (value - low)) / size}%`;
  const zero = () => {
    const line = make("i.zero");
    line.style.left = at(0);
    return line;
  };
  const items = table.rows.flatMap((row, i) => {
    const [from, to] = spans[i];
    const fill = make(`i.fill.${row.value < 0 ? "minus" : "plus"}`);
    fill.style.left = at(Math.min(from, to));
    fill.style.width = `${(100 * Math.abs(to - from)) / size}%`;
    const item = make(`li${row.into ? ".open" : ""}.k-${row.kind}`, { tabindex: i ? "-1" : "0", "data-component": row.component, "data-value": row.value, ...(row.into ? { "aria-haspopup": "true" } : {}) },
      make("span.name", {}, name(row)), make("span.fall", { "aria-hidden": "true" }, zero(), fill),
      make("span.figure", {}, number(row.value, 3, true)), make("span.so-far.figure", { title: "the sum so far" }, number(to, 2)),
      row.first || row.last ? make("span.both", {}, words("raises", "first words", row.first), words("lowers", "last words", row.last)) : null);
    const line = after === row.component && i < table.rows.length - 1 ? [make("li.mark", { role: "presentation" }, `up to here: ${here}, ${number(to, 3)}${unit && ` ${unit}`}; what follows is added later`)] : [];
    return [item, ...line];
  });
  const list = make("ol.bars", { "aria-label": "parts; Enter opens one, Escape goes up" }, items);
  const rows = () => /** @type {HTMLElement[]} */ ([...list.querySelectorAll("li[data-component]")]);
  list.addEventListener("click", (event) => {
    const item = event.target instanceof Element && !event.target.closest(".term") ? event.target.closest("li[data-component]") : null;
    const row = item && table.rows[rows().indexOf(/** @type {HTMLElement} */ (item))];
    if (row?.into) opened(row);
  });
  list.addEventListener("keydown", (event) => {
    const every = rows();
    const now = every.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const next = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: every.length - 1 }[event.key];
    if (event.key === "Escape") left();
    else if (event.key === "Enter" && table.rows[now]?.into) opened(table.rows[now]);
    else if (next !== undefined && every[next]) {
      every[now]?.setAttribute("tabindex", "-1");
      every[next].setAttribute("tabindex", "0");
      every[next].focus();
    } else return;
    event.preventDefault();
  });
  return make("div.apart", {}, list, sumLine(table, unit));
}

/** @param {Table} table @param {string} unit */
function sumLine(table, unit) {
  const holds = table.error <= table.bound;
  return make(`p.closure${holds ? "" : ".broken"}`, { "data-sum": table.sum, "data-whole": table.whole, "data-error": table.error },
    `${holds ? "✓" : "✗"} ${table.rows.length} rows sum to ${number(table.sum, 4)}${unit && ` ${unit}`}; the model's own is ${number(table.whole, 4)}; `,
    term("closure", "closure error"), ` ${small(table.error)}, bound ${small(table.bound)}`);
}

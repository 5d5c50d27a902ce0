/** Elements from data: whatever a model or its user says becomes text nodes, never markup. */

import { pieces } from "./text.js";

/**
 * An element: `make("p.fine.end", {title: "..."}, "text", child)`. Strings become text nodes, whatever they hold.
 * @param {string} name tag and classes
 * @param {Record<string, string | number | null | undefined>} [attributes] null and undefined are left out
 * @param {...(Node | string | null | undefined | (Node | string)[])} children
 */
export function make(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(key, String(value));
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/**
 * A token's characters: spaces, line ends, control and direction characters made visible and faint, so that a text shows as it is.
 * @param {unknown} text
 * @returns {(Node | string)[]}
 */
export function visible(text) {
  return pieces(text).map(({ shown, mark }) => mark ? make("span.space", {}, shown) : shown);
}

export function token(text, extra = "", attributes = {}) {
  return make(`span.token${extra}`, attributes, visible(text));
}

/** A bar from the middle: to the right what adds, to the left what takes away. */
export function bar(value, most) {
  const share = most > 0 && typeof value === "number" ? Math.abs(value) / most : 0;
  const fill = make(`i.${value < 0 ? "minus" : "plus"}`);
  fill.style.width = `${50 * share}%`;
  return make("span.bar", { "aria-hidden": "true" }, fill);
}

export function largest(items) {
  return Math.max(0, ...items.map((item) => Math.abs(item.value ?? 0)));
}

/** Fills a section with a heading, a line on what it shows, and its content; takes it away where there is nothing to show. */
export function section(page, part, title, about, content) {
  const place = page.querySelector(`[data-part=${part}]`);
  if (!content) return place.remove();
  place.replaceChildren(make("h2", {}, title), make("p.about", {}, about), ...[content].flat());
}

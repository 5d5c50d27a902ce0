"use strict";

const MARKS = { " ": "·", "\n": "↵", "\t": "⇥", "\r": "␍" };

/** An element: `make("p.fine.end", {title: "..."}, "text", child)`. Strings become text nodes, whatever they hold. */
function make(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) node.setAttribute(key, value);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** A token's characters, spaces and line ends made visible and faint. */
function visible(text) {
  const parts = String(text ?? "").split(/([ \n\t\r]|[\u0000-\u001f])/u).filter(Boolean);
  return parts.map((part) => {
    const mark = MARKS[part] ?? (part < " " && part.length === 1 ? String.fromCodePoint(0x2400 + part.codePointAt(0)) : null);
    return mark === null ? part : make("span.space", {}, mark);
  });
}

/** The same as plain text, for titles and labels. */
function spoken(text) {
  return visible(text).map((part) => part.textContent ?? part).join("");
}

function token(text, extra = "", attributes = {}) {
  return make(`span.token${extra}`, attributes, visible(text));
}

/** A number as people read it; "n/a" for one that was not finite. */
function number(value, digits = 2, sign = false) {
  if (typeof value !== "number") return "n/a";
  const size = Math.abs(value);
  const text = size !== 0 && size < 0.5 * 10 ** -digits ? size.toExponential(0) : size.toFixed(digits);
  return (value < 0 ? "−" : sign ? "+" : "") + text.replace("e-", "e−");
}

function small(value) {
  return typeof value === "number" && value !== 0 ? value.toExponential(1).replace("-", "−") : number(value, 0);
}

function percent(value) {
  if (typeof value !== "number") return "n/a";
  return value > 0 && value < 0.001 ? "<0.1%" : `${(100 * value).toFixed(1)}%`;
}

/** A bar from the middle: to the right what adds, to the left what takes away. */
function bar(value, most) {
  const share = most > 0 && typeof value === "number" ? Math.abs(value) / most : 0;
  const fill = make(`i.${value < 0 ? "minus" : "plus"}`);
  fill.style.width = `${50 * share}%`;
  return make("span.bar", { "aria-hidden": "true" }, fill);
}

function largest(items) {
  return Math.max(0, ...items.map((item) => Math.abs(item.value ?? 0)));
}

/** Fills a section with a heading, a line on what it shows, and its content; takes it away where there is nothing to show. */
function section(page, part, title, about, content) {
  const place = page.querySelector(`[data-part=${part}]`);
  if (!content) return place.remove();
  place.replaceChildren(make("h2", {}, title), make("p.about", {}, about), ...[content].flat());
}

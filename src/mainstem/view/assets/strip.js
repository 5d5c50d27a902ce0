/** Prompts as tokens, each coloured by a number. */

import { make, token } from "./dom.js";
import { number, spoken } from "./text.js";

const MANY = 3000; // tokens from which on those that are not seen are not drawn

/**
 * @param {{prompts: string[], tokens: string[][]}} record
 * @param {boolean} first whether first positions are coloured
 * @param {(prompt: number, position: number) => void} chosen
 */
export function tokenStrips(record, first, chosen) {
  /** @type {HTMLElement[][]} */
  const every = record.tokens.map((tokens, p) => tokens.map((said, i) => {
    const made = token(said, ".lit", { role: "option", tabindex: "-1", "data-prompt": p, "data-position": i });
    if (!i && !first) made.classList.add("out");
    return made;
  }));
  const many = every.reduce((sum, tokens) => sum + tokens.length, 0) > MANY;
  const lines = every.map((tokens, p) => make(many ? "div.coloured.unseen" : "div.coloured", { role: "group", "aria-label": `prompt ${p + 1}` }, tokens));
  const node = make("div.strips", { role: "listbox", "aria-label": "tokens; arrows move, Enter shows what comes next" }, lines);
  const flat = every.flat();
  flat[0]?.setAttribute("tabindex", "0");

  /** @param {HTMLElement} one */
  const go = (one) => {
    for (const other of flat) if (other.tabIndex === 0) other.tabIndex = -1;
    one.tabIndex = 0;
    one.focus();
  };
  /** @param {HTMLElement} one */
  const choose = (one) => chosen(Number(one.dataset.prompt), Number(one.dataset.position));
  const under = (event) => (event.target instanceof Element ? /** @type {HTMLElement | null} */ (event.target.closest(".lit")) : null);
  node.addEventListener("click", (event) => {
    const one = under(event);
    if (one) go(one), choose(one);
  });
  node.addEventListener("keydown", (event) => {
    const one = under(event);
    if (!one) return;
    const now = flat.indexOf(one);
    const line = every[Number(one.dataset.prompt) + { ArrowDown: 1, ArrowUp: -1 }[event.key]];
    const next = line ? line[Math.min(Number(one.dataset.position), line.length - 1)] : flat[{ ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: flat.length - 1 }[event.key] ?? -1];
    if (event.key === "Enter") choose(one);
    else if (next) go(next);
    else return;
    event.preventDefault();
  });

  return {
    node,
    /** Colours all anew. @param {(prompt: number, position: number) => number} value @param {ReturnType<typeof import("./mix.js").scaleOf>} scale @param {boolean} dark */
    paint(value, scale, dark) {
      for (const [p, tokens] of every.entries()) {
        for (const [i, made] of tokens.entries()) {
          if (!i && !first) {
            made.title = "the first position is left out";
            continue;
          }
          const here = value(p, i);
          const { paper, ink } = scale.shade(here, dark);
          made.style.background = paper;
          made.style.color = ink;
          made.dataset.value = String(here);
          made.title = `${spoken(record.tokens[p][i])} ${number(here, 3, true)}`;
          made.setAttribute("aria-label", `${spoken(record.tokens[p][i])}, ${number(here, 2, true)}`);
          made.classList.toggle("below", here < 0);
        }
      }
    },
    /** Marks a token. @param {number} prompt @param {number} position */
    mark(prompt, position) {
      for (const one of flat) one.classList.toggle("chosen", Number(one.dataset.prompt) === prompt && Number(one.dataset.position) === position);
    },
  };
}

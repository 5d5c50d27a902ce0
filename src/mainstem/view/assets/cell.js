/** What is said of one cell of the grid: its numbers, and its likeliest tokens. */

import { make, token } from "./dom.js";
import { MEASURES } from "./scale.js";
import { term } from "./terms.js";
import { number, percent } from "./text.js";

/**
 * @param {import("./grid.js").Record_} record
 * @param {import("./grid.js").At} at
 * @param {[string, number][] | null} tops words and probabilities, null while they are not known
 * @param {((name: "target" | "against", token: string) => void) | null} choose what a token is chosen as, null where nothing can be
 */
export function cellSaid(record, { point, position }, tops, choose) {
  const at = (key) => record[key]?.[point]?.[position];
  const figures = Object.entries(MEASURES).flatMap(([key, kind]) => [make("dt", {}, term(kind.term, kind.name)), make("dd", {}, kind.said(at(key)))]);
  const button = (name, text, title, word) => {
    const made = make("button", { type: "button", title }, text);
    made.addEventListener("click", () => choose?.(name, word));
    return made;
  };
  const rows = (tops ?? []).map(([word, prob]) => {
    const fill = make("i");
    fill.style.width = `${100 * prob}%`;
    const buttons = choose ? [button("target", "explain", "take this token apart", word), button("against", "against", "hold the token against this one", word)] : [];
    return make("li", {}, token(word), make("span.track", { "aria-hidden": "true" }, fill), make("span.figure", {}, percent(prob)), make("span.do", {}, buttons));
  });
  const end = record.words[record.target[position]];
  return [
    make("p.where", {}, make("b", {}, record.points[point]), ` after token ${position} `, token(record.tokens[position])),
    make("dl.figures", {}, figures, end === undefined ? null : [make("dt", {}, "the end says"), make("dd", {}, token(end), ` here ${number(at("logprob"))} nats`)]),
    make("ol.guesses", { "aria-label": "likeliest tokens" }, rows),
  ];
}

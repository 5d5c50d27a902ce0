/** The prompt page: a prompt, the grid of what every point would predict, and the chosen prediction taken apart. */

import { cellSaid } from "./cell.js";
import { columnsOf, fill, isKnown } from "./columns.js";
import { make } from "./dom.js";
import { csv, savePng, saveText } from "./export.js";
import { lensGrid } from "./grid.js";
import { choice, partsPanel, savers } from "./parts.js";
import { PICTURED, gridPicture, picturedFrom } from "./picture.js";
import { MEASURES, stops } from "./scale.js";
import { term } from "./terms.js";
import { isDark } from "./theme.js";

const PAUSE = 120; // milliseconds that a pointer rests on a cell before its tokens are asked for
const NEW = { point: null, position: null, target: null, against: null, path: null, level: null, key: null };

/** The prompt's field. @param {string} text @param {(text: string) => void} traced */
function form(text, traced) {
  const field = /** @type {HTMLTextAreaElement} */ (make("textarea", { rows: "2", "aria-label": "prompt", spellcheck: "false" }));
  field.value = text;
  const button = make("button.main", { type: "button" }, "Trace");
  button.addEventListener("click", () => traced(field.value));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) event.preventDefault(), traced(field.value);
  });
  return { field, node: make("section.ask", {}, field, make("div.controls", {}, button, make("small", {}, "Enter traces, Shift+Enter starts a line"))) };
}

/** The rows of the grid as a table. @param {any} record */
function cells(record) {
  const one = (p, i) => ({ point: record.points[p], position: i, token: record.tokens[i], top: record.words[record.top[p][i]], target: record.words[record.target[i]] });
  const numbers = (p, i) => Object.fromEntries([...Object.keys(MEASURES), "logprob"].map((key) => [key, record[key][p][i]]));
  const known = record.tokens.map((_, i) => i).filter((i) => isKnown(record, i));
  return csv(record.points.flatMap((_, p) => known.map((i) => ({ ...one(p, i), ...numbers(p, i) }))));
}

/** @type {import("./pages.js").Page} */
export const prompt = {
  name: "prompt",
  title: "Prompt",
  open(place, context) {
    const { choices, opening, page } = context;
    /** @type {any} */
    let record = null;
    /** @type {ReturnType<typeof lensGrid> | null} */
    let grid = null;
    /** @type {ReturnType<typeof columnsOf> | null} */
    let columns = null;
    let closed = false;
    let rest = 0;

    const text = () => choices.get("prompt", opening.prompt ?? "");
    const measure = () => (choices.get("colour") in MEASURES ? choices.get("colour") : "prob");
    const at = () => {
      const point = record.points.indexOf(choices.get("point"));
      const position = Number(choices.get("position", String(opening.position ?? record.tokens.length - 1)));
      const last = record.tokens.length - 1;
      return { point: point < 0 ? record.points.length - 1 : point, position: Number.isInteger(position) ? Math.min(Math.max(position, 0), last) : last };
    };
    const asked = () => ({
      prompt: text(), point: record.points[at().point], position: at().position, lens: choices.get("lens"),
      target: choices.get("target"), against: choices.get("against"), by: choices.get("by"), norm: choices.get("norm"),
    });
    const parts = partsPanel(context, asked, () => grid?.node.focus());
    const said = make("div.said", { "aria-live": "polite" });
    const legend = make("div.legend");
    const field = opening.stored ? null : form(text(), (typed) => choices.set({ ...NEW, prompt: typed }, true));
    const body = make("section", { "data-part": "grid" }, " ");

    /** @param {import("./grid.js").At} cell */
    const tell = (cell) => {
      clearTimeout(rest);
      const choose = opening.stored ? null : (name, word) => choices.set({ point: record.points[cell.point], position: cell.position, path: null, [name]: word }, true);
      const tops = record.tops?.[cell.point][cell.position].map(([word, prob]) => [record.words[word], prob]) ?? null;
      said.replaceChildren(...cellSaid(record, cell, tops, choose));
      if (tops || opening.stored) return;
      rest = window.setTimeout(async () => {
        const question = { prompt: text(), point: record.points[cell.point], position: cell.position, lens: choices.get("lens") };
        const found = await context.waiting(context.ask("prompt.cell", question, { lane: "cell" }));
        if (found && !closed) said.replaceChildren(...cellSaid(record, cell, found.tops.map((one) => [one.token, one.prob]), choose));
      }, PAUSE);
    };

    const scale = () => {
      const [from, to] = grid?.ends() ?? ["", ""];
      const ramp = make("i.ramp");
      ramp.style.background = `linear-gradient(to right, ${stops(isDark(page)).join(", ")})`;
      legend.replaceChildren(term(MEASURES[measure()].term), ` ${from}`, ramp, to);
    };

    const heading = () => {
      const colours = Object.entries(MEASURES).map(([key, kind]) => {
        const button = make("button", { type: "button", "aria-pressed": String(key === measure()), "data-colour": key }, kind.name);
        button.addEventListener("click", () => choices.set({ colour: key }));
        return button;
      });
      const lens = opening.stored ? null : make("label", {}, term("norm"), " ", choice("lens norm", { "": "own", final: "final" }, choices.get("lens"), (value) => choices.set({ lens: value }, true)));
      const picture = () => gridPicture(record, measure(), at().position);
      const pictured = (does) => async () => {
        const first = picturedFrom(record.tokens.length, at().position);
        if (opening.stored || (await columns?.have(first, Math.min(first + PICTURED, record.tokens.length)))) does(picture());
      };
      const whole = async () => {
        const found = opening.stored ? { csv: cells(record) } : await context.waiting(context.ask("prompt.frame", { ...asked(), what: "lens" }, { heard: context.heard }));
        if (found) saveText("mainstem-lens.csv", found.csv);
      };
      const ways = { CSV: whole, SVG: pictured((made) => saveText("mainstem-lens.svg", made.svg)), PNG: pictured((made) => void savePng("mainstem-lens.png", made.svg, made.wide, made.high)) };
      return make("div.controls", { role: "group", "aria-label": "what the colour shows" }, ...colours, ...(lens ? [lens] : []), make("span.gap"), savers(ways));
    };

    const draw = () => {
      grid?.close();
      columns?.close();
      const lens = choices.get("lens");
      const asks = (first, end) => context.waiting(context.ask("prompt.columns", { prompt: record.prompt, lens, first, end }, { lane: "columns", heard: context.heard }));
      columns = columnsOf(record, asks, () => (grid?.refresh(), scale()));
      grid = lensGrid(page, record, {
        drawn: opening.stored ? undefined : columns.see,
        chosen: (cell) => choices.set({ point: record.points[cell.point], position: cell.position, target: null, against: null, path: null, level: null, key: null }, true),
        seen: tell,
        entered: () => void parts.show(record, true),
        left: () => field?.field.focus(),
      });
      const held = record.columns && make("p.about", {}, `This file holds columns ${record.columns[0].first} to ${record.columns.at(-1).first + record.columns.at(-1).target.length - 1} of ${record.tokens.length}; mainstem view reads the others.`);
      body.replaceChildren(make("h2", {}, term("logit lens", "What every point would predict")), make("p.about", {}, "One column a token, one row a ", term("point"), " of the stream, the last on top. A click takes the prediction apart."), ...(held ? [held] : []), heading(), make("div.beside", {}, grid.node, said), legend);
      grid.show({ measure: measure(), chosen: at() });
      scale();
    };

    const trace = async () => {
      const found = await context.waiting(context.ask("prompt.open", { prompt: text(), lens: choices.get("lens") }, { lane: "prompt", heard: context.heard }));
      if (!found || closed) return;
      record = found;
      for (const some of record.columns ?? []) fill(record, some);
      draw();
      await parts.show(record);
    };

    choices.changed = (before) => {
      const changed = (name) => (before[name] ?? "") !== choices.get(name);
      if (field && changed("prompt")) field.field.value = text();
      if (!record || changed("prompt") || changed("lens")) return void trace();
      if (changed("colour")) body.querySelector(".controls")?.replaceWith(heading());
      grid?.show(changed("point") || changed("position") ? { chosen: at() } : { measure: measure() });
      scale();
      if (Object.keys({ ...before, ...choices.now }).some((name) => name !== "colour" && changed(name))) void parts.show(record);
    };
    const themed = () => scale();
    page.addEventListener("themed", themed);
    place.replaceChildren(...(field ? [field.node] : []), body, parts.node);
    void trace();
    return () => {
      closed = true;
      choices.changed = null;
      page.removeEventListener("themed", themed);
      grid?.close();
      columns?.close();
    };
  },
};

/** The panel that takes the chosen prediction apart: choices, the way down so far, bars. */

import { barList } from "./bars.js";
import { make, token } from "./dom.js";
import { csv, savePng, saveText } from "./export.js";
import { barPicture } from "./picture.js";
import { term } from "./terms.js";
import { spoken } from "./text.js";

const NAMES = { dla: "direct logit attribution", logprob_increase: "log-probability increase", path: "path", prob_increase: "probability increase" };
const NORMS = { "": "the score's own", own: "own", final: "final", none: "none" };
const LEVELS = { "": "writes", head: "heads", neuron: "neurons" };

/** @param {string} label @param {Record<string, string>} options @param {string} now @param {(value: string) => void} changed */
export function choice(label, options, now, changed) {
  const made = /** @type {HTMLSelectElement} */ (make("select", { "aria-label": label }, Object.entries(options).map(([value, text]) => make("option", { value }, text))));
  made.value = now;
  made.addEventListener("change", () => changed(made.value));
  return made;
}

/** @param {string} label @param {string} now @param {string} hint @param {(value: string) => void} changed */
function field(label, now, hint, changed) {
  const made = /** @type {HTMLInputElement} */ (make("input", { "aria-label": label, placeholder: hint, size: "12", spellcheck: "false", autocomplete: "off" }));
  made.value = now;
  made.addEventListener("change", () => changed(made.value));
  return made;
}

/** Buttons that save. @param {Record<string, () => unknown>} ways name to what it does */
export function savers(ways) {
  return make("span.savers", {}, Object.entries(ways).map(([name, does]) => {
    const button = make("button", { type: "button", title: `save as ${name}` }, name);
    button.addEventListener("click", () => void does());
    return button;
  }));
}

/** The way down, as labels. @param {import("./state.js").Choices} choices @returns {string[]} */
function way(choices) {
  return choices.get("path").split(",").filter(Boolean);
}

/** At which level a table of Python has the rows that are shown; empty where no one table does. @param {string[]} path @param {any} table */
function levelOf(path, table) {
  const last = path.at(-1) ?? "";
  if (!last) return "write";
  if (/\.N\d+$/.test(last)) return "";
  return /\.H\d+$/.test(last) ? "edge" : table.choices.level;
}

/**
 * @param {import("./pages.js").Context} context
 * @param {() => Record<string, unknown>} asked what every question says: prompt, point, position, and the choices of the target
 * @param {() => void} above where the keyboard goes from the top of the way
 */
export function partsPanel(context, asked, above) {
  const { choices, opening } = context;
  const node = make("section", { "data-part": "parts" }, " ");
  /** @type {any} */
  let record = null;
  /** @type {unknown} */
  let last = null;

  const score = () => record.scores.find((one) => one.by === choices.get("by", "dla")) ?? record.scores[0];
  const down = (component) => choices.set({ path: [...way(choices), component].join(","), level: null, key: null }, true);
  const up = () => {
    const path = way(choices);
    if (path.length) choices.set({ path: path.slice(0, -1).join(","), level: null, key: null }, true);
    else above();
  };

  const controls = () => {
    if (opening.stored) return null;
    const set = (name) => (value) => choices.set({ [name]: value, ...(name === "by" ? { norm: null } : {}) }, true);
    const norm = /** @type {HTMLSelectElement} */ (choice("norm rule", NORMS, choices.get("norm"), set("norm")));
    norm.disabled = !score().norm;
    return make("div.controls", {},
      make("label", {}, "token ", field("token", choices.get("target"), "the cell's own", set("target"))),
      make("label", {}, term("contrast", "held against"), " ", field("held against", choices.get("against"), "nothing", set("against"))),
      make("label", {}, term(NAMES[score().by], "by"), " ", choice("score", NAMES, score().by, set("by"))),
      make("label", {}, term("norm"), " ", norm));
  };

  const crumbs = (path) => make("nav.crumbs", { "aria-label": "the way down" }, ["all writes", ...path].flatMap((label, i) => {
    if (i === path.length) return [make("b", {}, label)];
    const button = make("button", { type: "button" }, label);
    button.addEventListener("click", () => choices.set({ path: path.slice(0, i).join(","), level: null, key: null }, true));
    return [button, " › "];
  }));

  /** What is chosen about a neuron. @param {any} table */
  const about = (table) => {
    if (!table.keys) return null;
    const keys = Object.fromEntries(table.keys.map((key) => [key, key]));
    return make("div.controls", {},
      opening.stored ? null : make("label", {}, "what switched it on, in ", choice("level", LEVELS, choices.get("level"), (level) => choices.set({ level }, true))),
      table.keys.length > 1 && !opening.stored ? make("label", {}, "through ", choice("key", keys, table.key, (key) => choices.set({ key }, true))) : null,
      make("span", {}, "Bars sum to its ", term("activation", "pre-activation"), "."));
  };

  const heading = (table) => [
    "Where ", token(table.token), ...(table.against ? [" rather than ", token(table.against)] : []), ` comes from, after token ${asked().position} `, token(record.tokens[Number(asked().position)]),
  ];

  /** @param {any} table @param {string[]} path */
  const saving = (table, path) => {
    const title = `${record.model}: ${path.at(-1) ?? "writes"}, ${table.choices.target ?? ""}`;
    const name = `mainstem-${(path.at(-1) ?? "writes").replaceAll(/[^\w.-]+/g, "_")}`;
    const unit = table.keys ? "" : score().unit;
    const shown = () => csv(table.rows.map(({ component, kind, layer, value, count }) => ({ component: component || `the other ${count}`, kind, layer, value })));
    const whole = async () => {
      const what = levelOf(path, table);
      const found = what && !opening.stored ? await context.waiting(context.ask("prompt.frame", { ...asked(), what })) : { csv: shown() };
      if (found) saveText(`${name}.csv`, found.csv);
    };
    const picture = () => barPicture(table, spoken(title), unit);
    return savers({ CSV: whole, SVG: () => saveText(`${name}.svg`, picture().svg), PNG: () => savePng(`${name}.png`, picture().svg, picture().wide, picture().high) });
  };

  return {
    node,
    /** Asks for what is chosen and shows it. @param {any} opened the grid's record @param {boolean} [focus] whether the bars take the keyboard */
    async show(opened, focus = false) {
      record = opened;
      const path = way(choices);
      const component = path.at(-1);
      const question = component ? { ...asked(), component, level: choices.get("level"), key: choices.get("key") } : asked();
      last = question;
      const table = await context.waiting(context.ask(component ? "prompt.inside" : "prompt.parts", question, { lane: "parts", heard: context.heard }));
      if (question !== last) return;
      if (!table) return void node.replaceChildren(make("div.top", {}, crumbs(path)), ...[controls(), make("p.about", {}, "There is nothing to show: the line on top says why.")].filter((one) => one !== null));
      const held = focus || node.contains(document.activeElement);
      const after = component ? undefined : Object.entries(table.points).filter(([, point]) => point === asked().point).map(([label]) => label).at(-1);
      const list = barList(table, { opened: (row) => down(row.component), left: up, after, here: String(asked().point), unit: table.keys ? "" : score().unit });
      const tops = make("div.top", {}, crumbs(path), saving(table, path));
      const rows = [make("h2", {}, heading(table)), make("p.about", {}, table.keys ? "" : score().about), controls(), tops, about(table), list];
      node.replaceChildren(...rows.filter((row) => row !== null));
      Object.assign(node.dataset, { by: score().by, path: path.join(",") });
      if (held) /** @type {HTMLElement | null} */ (list.querySelector("li[data-component]"))?.focus();
    },
  };
}

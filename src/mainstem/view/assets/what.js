/** Which direction: its kind, and what that kind asks for. */

import { make } from "./dom.js";
import { choice } from "./parts.js";
import { term } from "./terms.js";

const KINDS = { "": "of the data (PCA)", token: "of a token", difference: "of two tokens", neuron: "of a neuron", head: "of a head", kept: "saved or from a file" };
const NONE = { token: null, against: null, side: null, label: null, end: null, kept: null, weights: null };
const DIRECTION_SIDES = { "": "unembedding row", embedding: "embedding row" };
const DIRECTION_ENDS = { "": "what it writes", reads: "what it reads" };
const FITS = { "": "facts of the default model", prompts: "the prompts above", texts: "texts of my own" };

/** @param {import("./pages.js").Context} context */
export function whatBar({ choices, ask }) {
  const set = (name) => (value) => choices.set({ [name]: value }, true);
  const pick = (label, name, options) => make("label", {}, choice(label, options, choices.get(name), set(name)));
  const typed = (label, name, hint) => {
    const made = /** @type {HTMLInputElement} */ (make("input", { "aria-label": label, placeholder: hint, size: "14", spellcheck: "false", autocomplete: "off" }));
    made.value = choices.get(name);
    made.addEventListener("change", () => choices.set({ [name]: made.value }, true));
    return make("label", {}, `${label} `, made);
  };
  const fitted = () => {
    const standardised = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox", "data-switch": "standardised", "aria-label": "standardised" }));
    standardised.checked = choices.get("standardised") === "yes";
    standardised.addEventListener("change", () => choices.set({ standardised: standardised.checked ? "yes" : null }, true));
    const texts = /** @type {HTMLTextAreaElement} */ (make("textarea", { rows: "3", "aria-label": "texts to fit on", placeholder: "texts, parted by empty lines", spellcheck: "false" }));
    texts.value = choices.get("texts");
    texts.addEventListener("change", () => choices.set({ texts: texts.value }, true));
    return [make("label", {}, "fitted on ", choice("fitted on", FITS, choices.get("fit"), set("fit"))),
      make("label", {}, standardised, term("standardised")), ...(choices.get("fit") === "texts" ? [texts] : [])];
  };
  const kept = () => {
    const list = /** @type {HTMLSelectElement} */ (make("select", { "aria-label": "saved direction" }, make("option", { value: "" }, "choose")));
    // Not waited for in sight: an error of the page would be wiped away by its end.
    void ask("direction.shelf", {}).then((found) => {
      for (const one of found.kept) list.append(make("option", { value: one.name, title: one.about }, one.name));
      list.value = choices.get("kept");
    }, () => {});
    list.addEventListener("change", () => choices.set({ kept: list.value }, true));
    return [make("label", {}, list)];
  };
  const inside = {
    "": fitted,
    token: () => [typed("token", "token", "\u00a0Paris"), pick("side", "side", DIRECTION_SIDES)],
    difference: () => [typed("token", "token", "\u00a0Paris"), typed("less", "against", "\u00a0London"), pick("side", "side", DIRECTION_SIDES)],
    neuron: () => [typed("neuron", "label", "L3.mlp.N120")],
    head: () => [typed("head", "label", "L3.attn.H2"), pick("end", "end", DIRECTION_ENDS)],
    kept,
  };
  const kind = choices.get("kind") in inside ? choices.get("kind") : "";
  return make("div.controls", { "data-kind": kind }, make("label", {}, choice("kind of direction", KINDS, kind, (next) => choices.set({ ...NONE, ...FIRST_OF[next], kind: next }, true))), inside[kind]());
}

/** The directions that a file holds: one by its name, or those of the data. @param {import("./pages.js").Context} context */
export function heldBar({ choices, opening }) {
  /** @type {Record<string, string>} */
  const data = opening.principal ? { "": "of the data (PCA)" } : {};
  const names = Object.fromEntries(opening.directions.map((name) => [name, name]));
  const now = heldDirection(choices, opening);
  const standardised = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox", "data-switch": "standardised", "aria-label": "standardised" }));
  standardised.checked = choices.get("standardised") === "yes";
  standardised.addEventListener("change", () => choices.set({ standardised: standardised.checked ? "yes" : null }, true));
  return make("div.controls", {}, make("label", {}, "direction ", choice("direction", { ...data, ...names }, now, (kept) => choices.set({ kept, data: kept ? null : "yes", weights: null }, true))),
    now ? null : make("label", {}, standardised, term("standardised")));
}

/** The direction of a file that is looked at, "" for those of the data: the first one given, where nothing was chosen. @param {import("./state.js").Choices} choices @param {Record<string, any>} opening */
function heldDirection(choices, opening) {
  const data = opening.principal && choices.get("data") === "yes";
  return choices.get("kept") || (data ? "" : (opening.directions[0] ?? ""));
}

/** What is asked of a file. Only directions of the data depend on how they are fitted. @param {import("./state.js").Choices} choices @param {Record<string, any>} opening */
export function heldQuestion(choices, opening) {
  const kept = heldDirection(choices, opening);
  const fitted = { first: choices.get("first") === "yes", standardised: choices.get("standardised") === "yes" };
  return { kept, point: choices.get("point", opening.point), ...(kept ? {} : fitted) };
}

/** What a kind shows before anything was typed. @type {Record<string, Record<string, string>>} */
const FIRST_OF = { token: { token: " the" }, difference: { token: " the", against: " a" }, neuron: { label: "L0.mlp.N0" }, head: { label: "L0.attn.H0" } };

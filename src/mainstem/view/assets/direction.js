/** The direction page: every token of some prompts coloured by how far the stream goes along a direction. */

import { make, token } from "./dom.js";
import { lengthOf, mixed, readWeights, saidWeights, scaleOf } from "./mix.js";
import { choice } from "./parts.js";
import { shelfBar } from "./shelf.js";
import { mixer } from "./sliders.js";
import { tokenStrips } from "./strip.js";
import { term } from "./terms.js";
import { number, percent } from "./text.js";
import { isDark } from "./theme.js";
import { heldBar, heldQuestion, whatBar } from "./what.js";

const ASKED = ["prompts", "point", "kind", "token", "against", "side", "label", "end", "fit", "texts", "kept"];
const SWITCHES = ["first", "standardised"];
const SHOWN = ["weights", "centre", "at"]; // what needs no answer from the server

/** @param {string} text @param {(text: string) => void} shown */
function promptsForm(text, shown) {
  const field = /** @type {HTMLTextAreaElement} */ (make("textarea", { rows: "4", "aria-label": "prompts", spellcheck: "false" }));
  field.value = text;
  const button = make("button.main", { type: "button" }, "Colour");
  button.addEventListener("click", () => shown(field.value));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.preventDefault(), shown(field.value);
  });
  return { field, node: make("section.ask", {}, field, make("div.controls", {}, button, make("small", {}, "an empty line parts prompts; Ctrl+Enter colours them"))) };
}

/** @type {import("./pages.js").Page} */
export const direction = {
  name: "direction",
  title: "Direction",
  open(place, context) {
    const { choices, opening, page } = context;
    /** @type {any} */
    let record = null;
    /** @type {ReturnType<typeof tokenStrips> | null} */
    let strips = null;
    /** @type {ReturnType<typeof mixer> | null} */
    let sliders = null;
    let weights = [1];
    let closed = false;

    /** @returns {Record<string, any>} */
    const asked = () => (opening.stored ? heldQuestion(choices, opening) : {
      ...Object.fromEntries(ASKED.map((name) => [name, choices.get(name)])),
      ...Object.fromEntries(SWITCHES.map((name) => [name, choices.get(name) === "yes"])),
      prompts: choices.get("prompts", opening.prompts ?? ""),
    });
    const first = () => choices.get("first") === "yes";
    const centre = () => (choices.get("centre") === "range" ? "range" : "zero");
    const form = opening.stored ? null : promptsForm(asked().prompts, (typed) => choices.set({ prompts: typed, at: null }, true));
    const said = make("div.said", { "aria-live": "polite" });
    const legend = make("div.legend");
    const about = make("p.about");
    const body = make("div");
    const value = (p, i) => mixed(record.values[p][i], weights, lengthOf(weights, record.gram));

    const paint = () => {
      if (!record || !strips) return;
      const length = lengthOf(weights, record.gram);
      const along = record.values.map((rows) => rows.map((one) => mixed(one, weights, length)));
      const scale = scaleOf(along.flatMap((rows) => rows.slice(first() ? 0 : 1)), centre());
      strips.paint((p, i) => along[p][i], scale, isDark(page));
      const ramp = make("i.ramp");
      ramp.style.background = `linear-gradient(to right, ${scale.colours(isDark(page)).join(", ")})`;
      const mark = make("i.nought");
      if (scale.zero !== null) mark.style.left = `${100 * scale.zero}%`;
      const zero = scale.zero === null ? " zero is outside the range" : " the line marks zero, dashes what is below it";
      legend.replaceChildren(number(scale.from, 2), make("span.ramps", {}, ramp, ...(scale.zero === null ? [] : [mark])), number(scale.to, 2),
        make("span", {}, centre() === "zero" ? "centred on zero;" : "from the lowest to the highest;", zero));
      about.replaceChildren(...describe());
      tellNow();
    };

    const describe = () => {
      const [one] = record.directions;
      const mix = record.directions.length > 1 && saidWeights(weights) !== "1:1";
      const what = mix ? `${weights.filter((w) => Math.abs(w) > 5e-5).length} of ${record.directions.length} principal directions mixed` : `${one.name}: ${one.about}`;
      const length = Math.abs(one.length - 1) > 1e-6 ? ` It was ${number(one.length, 3)} long.` : "";
      return [`${what}. Numbers are the `, term("residual stream", "stream"), ` at ${record.point} times the direction at unit length.${length}${first() ? "" : " The first position of each prompt is left out."}`];
    };

    const at = () => {
      const [p, i] = choices.get("at").split(".").map(Number);
      return record?.tokens[p]?.[i] === undefined ? null : { p, i };
    };
    const tell = (spot, tops) => {
      const rows = tops.map(([word, prob]) => {
        const fill = make("i");
        fill.style.width = `${100 * prob}%`;
        return make("li", {}, token(word), make("span.track", { "aria-hidden": "true" }, fill), make("span.figure", {}, percent(prob)));
      });
      said.replaceChildren(make("p.where", {}, `prompt ${spot.p + 1}, token ${spot.i} `, token(record.tokens[spot.p][spot.i]), " ", make("b.along", {}, number(value(spot.p, spot.i), 4, true)), " along the direction"),
        make("h3", {}, "what the model says next"), make("ol.guesses", { "aria-label": "likeliest next tokens" }, rows));
      said.dataset.at = `${spot.p}.${spot.i}`;
    };
    const tellNow = () => {
      const figure = said.querySelector(".along");
      const spot = at();
      if (figure && spot) figure.textContent = number(value(spot.p, spot.i), 4, true);
    };
    const chosen = async () => {
      const spot = at();
      if (!spot || !strips) return said.replaceChildren(make("p.about", {}, "Click a token for what the model says next after it."));
      strips.mark(spot.p, spot.i);
      const found = await context.waiting(context.ask("direction.next", { ...(opening.stored ? { row: spot.p } : { prompt: record.prompts[spot.p] }), position: spot.i }));
      if (found && !closed) tell(spot, found.tops);
    };

    const switches = () => {
      const box = (name, text) => {
        const made = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox", "aria-label": text, "data-switch": name }));
        made.checked = choices.get(name) === "yes";
        made.addEventListener("change", () => choices.set({ [name]: made.checked ? "yes" : null }, true));
        return make("label", {}, made, text);
      };
      const points = Object.fromEntries([...(opening.points ?? record.points)].reverse().map((name) => [name, name]));
      return make("div.controls", {},
        make("label", {}, term("point"), " ", choice("point", points, record.point, (point) => choices.set({ point }, true))),
        make("label", {}, "colours ", choice("centre", { "": "centred on zero", range: "on the range" }, choices.get("centre"), (kind) => choices.set({ centre: kind }))),
        box("first", "first position too"));
    };

    const draw = () => {
      weights = readWeights(record.directions.length > 1 ? choices.get("weights") : "", record.directions.length);
      strips = tokenStrips(record, first(), (p, i) => choices.set({ at: `${p}.${i}` }, true));
      sliders = record.directions.length > 1 ? mixer(record.directions, weights, (next, done) => {
        weights = next;
        paint();
        if (done) choices.set({ weights: saidWeights(weights) });
      }) : null;
      const mix = sliders && make("details.mix", { open: "" }, make("summary", {}, `mix ${record.directions.length} `, term("principal direction", "principal directions"), ", kept at unit length"), sliders.node);
      const shelf = opening.stored ? [] : [shelfBar(context, () => ({ ...asked(), weights }))];
      body.replaceChildren(
        make("section", { "data-part": "what" }, make("h2", {}, "Which direction"), opening.stored ? heldBar(context) : whatBar(context), ...(mix ? [mix] : []), ...shelf),
        make("section", { "data-part": "tokens" }, make("h2", {}, "Where the stream goes along it"), about, switches(), make("div.beside", {}, strips.node, said), legend));
      paint();
      void chosen();
    };

    const colour = async () => {
      const found = await context.waiting(context.ask("direction.open", asked(), { heard: context.heard }));
      if (closed) return;
      if (found) record = found, draw();
      else if (!record) body.replaceChildren(make("section", { "data-part": "what" }, opening.stored ? heldBar(context) : whatBar(context)));
    };

    choices.changed = (before) => {
      const changed = Object.keys({ ...before, ...choices.now }).filter((name) => (before[name] ?? "") !== choices.get(name));
      if (form) form.field.value = asked().prompts;
      if (!record || changed.some((name) => !SHOWN.includes(name))) return void colour();
      if (changed.includes("weights")) sliders?.set((weights = readWeights(choices.get("weights"), weights.length)));
      paint();
      if (changed.includes("at")) void chosen();
    };
    page.addEventListener("themed", paint);
    body.className = "place";
    place.replaceChildren(...(form ? [form.node] : []), body);
    void colour();
    return () => {
      closed = true;
      choices.changed = null;
      page.removeEventListener("themed", paint);
    };
  },
};

/** Puts the record of one traced prompt on its page. Finds the page from the script itself, so that two may stand side by side. */

import { bar, largest, make, section, token } from "./dom.js";
import { prompt } from "./prompt.js";
import { read, stored } from "./source.js";
import { Choices, hashOf, placeOf } from "./state.js";
import { number, percent, small } from "./text.js";
import { themeSwitch } from "./theme.js";

/** An element that the page's markup has. @param {string} selector */
function placed(selector) {
  return /** @type {HTMLElement} */ (page.querySelector(selector));
}

const page = /** @type {HTMLElement} */ (document.currentScript?.closest(".ms-page"));
const record = read(placed("script[type='application/json']").textContent ?? "{}");
const targetName = [token(record.target?.text), ...(record.target?.against ? [" minus ", token(record.target.against.text)] : [])];

function strip(tokens, position) {
  return make("div.strip", {}, tokens.map((text, i) =>
    token(text, i === position ? ".here" : "", { "data-position": i, title: `position ${i}${i === position ? ", traced here" : ""}` })));
}

/** Scrolls a long strip, and nothing else, to a token. @param {HTMLElement | null} line @param {number} position */
function reveal(line, position) {
  const node = /** @type {HTMLElement | undefined} */ (line?.children[position]);
  if (line && node) line.scrollTop = node.offsetTop - line.clientHeight / 2;
}

function header() {
  const said = record.tokens?.length ? strip(record.tokens, record.position) : record.prompt ? make("p.prompt", {}, record.prompt) : null;
  const guesses = (record.prediction ?? []).map((guess) => {
    const fill = make("i");
    fill.style.width = `${100 * (guess.prob ?? 0)}%`;
    return make("li", { title: `log-probability ${number(guess.logprob, 3)}` }, token(guess.token), make("span.track", { "aria-hidden": "true" }, fill), make("span.figure", {}, percent(guess.prob)));
  });
  const name = make("p.brand", {}, make("b", {}, "mainstem"), ` trace of ${record.model ?? "a model"}`);
  const left = make("div", {}, make("div.over", {}, name, themeSwitch(page)), make("h1", {}, "Where ", targetName, " comes from"), said);
  const right = guesses.length ? make("div", {}, make("h3", {}, record.tokens?.length ? "Prediction at the marked position" : "Prediction"), make("ol.guesses", {}, guesses)) : null;
  placed("[data-part=head]").replaceChildren(left, ...(right ? [right] : []));
  reveal(page.querySelector("[data-part=head] .strip"), record.position);
}

function heads() {
  if (!record.heads?.length) return null;
  const most = largest(record.heads);
  const line = record.tokens?.length ? strip(record.tokens, record.position) : null;
  const light = (head, row) => {
    list.querySelectorAll(".lit").forEach((node) => node.classList.remove("lit"));
    row.classList.add("lit");
    const peak = largest(head.sources ?? []);
    const by = new Map((head.sources ?? []).map((source) => [source.position, source.value]));
    for (const node of /** @type {Iterable<HTMLElement>} */ (line?.children ?? [])) {
      const value = by.get(Number(node.dataset.position)) ?? 0;
      node.style.setProperty("--share", String(peak ? Math.abs(value) / peak : 0));
      node.classList.toggle("minus", value < 0);
    }
    reveal(line, head.sources?.[0]?.position);
  };
  const rows = record.heads.map((head) => {
    const sources = (head.sources ?? []).slice(0, 3).map((source) => make("span.source", {}, token(source.token), make("small", {}, number(source.value, 2, true))));
    const row = make("li", { tabindex: "0" }, make("span.name", {}, head.label), bar(head.value, most), make("span.figure", {}, number(head.value, 2, true)), make("div.words", {}, sources));
    for (const event of ["pointerenter", "focus", "click"]) row.addEventListener(event, () => light(head, row));
    return row;
  });
  const list = make("ul.rows", {}, rows);
  setTimeout(() => light(record.heads[0], rows[0]));
  return [...(line ? [line] : []), list];
}

function neurons() {
  if (!record.neurons?.length) return null;
  const most = largest(record.neurons);
  const words = (name, list) => list?.length ? make("div.words", {}, make("small", {}, name), list.map((word) => token(word))) : null;
  return make("ul.rows", {}, record.neurons.map((neuron) =>
    make("li", { title: `activation ${number(neuron.activation, 3)}` }, make("span.name", {}, neuron.label), bar(neuron.value, most),
      make("span.figure", {}, number(neuron.value, 2, true)), words("first", neuron.first), words("last", neuron.last))));
}

function lens() {
  if (!record.lens?.length) return null;
  /** @type {[string, (row: any) => HTMLElement][]} */
  const columns = [
    ["point", (row) => make("th", { scope: "row" }, row.point)],
    ["top token", (row) => make("td", {}, token(row.token))],
    ["p", (row) => make("td.figure", {}, percent(row.top_prob))],
    ["rank", (row) => make("td.figure", {}, typeof row.rank === "number" ? String(row.rank) : "n/a")],
    ["log p", (row) => make("td.figure", {}, number(row.logprob))],
    ["entropy", (row) => make("td.figure", {}, number(row.entropy))],
    ["KL", (row) => make("td.figure", {}, number(row.kl))],
  ];
  const head = make("thead", {}, make("tr", {}, columns.map(([name]) => make("th", { scope: "col" }, name))));
  const rows = record.lens.map((row) => make("tr", {}, columns.map(([, cell]) => cell(row)))).reverse();
  return make("div.scroll", { tabindex: "0" }, make("table.plain", {}, head, make("tbody", {}, rows)));
}

/** The prompt page, with the answers that stand in the file. */
function look() {
  const place = placed("[data-part=look]");
  if (!record.look) return place.remove();
  const status = make("p.status", { role: "status", "aria-live": "polite" });
  const inner = make("div.place");
  place.replaceChildren(status, inner);
  const own = document.documentElement.classList.contains("ms-own") && location.protocol !== "about:"; // a notebook's frame has no address
  const choices = new Choices(own ? placeOf(location.hash).choices : {}, (now) => {
    if (own) history.replaceState(null, "", hashOf({ page: "prompt", choices: now }));
  });
  const waiting = async (work) => {
    try {
      const made = await work;
      status.textContent = "";
      return made;
    } catch (error) {
      status.textContent = error instanceof Error ? error.message : String(error);
      return undefined;
    }
  };
  prompt.open(inner, { ask: stored(record.look.answers), choices, opening: { ...record.look.opening, stored: true }, page, waiting, heard: () => {} });
  if (own) window.addEventListener("hashchange", () => choices.take(placeOf(location.hash).choices));
}

function footer() {
  const closure = record.closure;
  const place = placed("[data-part=foot]");
  const holds = closure && closure.error <= closure.bound;
  const line = closure ? make(`p.closure${holds ? "" : ".broken"}`, {}, `${holds ? "✓" : "✗"} ${closure.parts} parts sum to ${number(record.whole, 3)} within ${small(closure.error)}, bound ${small(closure.bound)}`) : null;
  const choices = Object.entries(record.choices ?? {}).flatMap(([name, value]) =>
    [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))]);
  place.replaceChildren(...[line, choices.length ? make("dl", {}, choices) : null].filter((node) => node !== null));
}

header();
section(page, "heads", "Heads", "What each attention head adds, and the tokens it read. Point at one to see them in the prompt.", heads());
section(page, "neurons", "Neurons", "What each neuron adds, and the words that it raises (first) and lowers (last).", neurons());
look();
section(page, "lens", record.tokens?.length ? "The lens at the marked position" : "The lens",
  "From the last point down to the entry: the top token and its probability p; rank and log-probability of the target; entropy; KL divergence from the final distribution.", lens());
const [left, right] = placed(".columns").children;
if (!right.children.length) right.append(...left.querySelectorAll("[data-part=lens]"));
footer();
page.dataset.ready = "true";

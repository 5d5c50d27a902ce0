/** The lens grid: points by positions, the last point on top; one cell in the tab order, arrows move. */

import { make, token, visible } from "./dom.js";
import { number, percent, spoken } from "./text.js";

const SPAN = 40;
const SCALE = ["#ffffd9", "#edf8b1", "#c7e9b4", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#253494", "#081d58"];
const MEASURES = {
  logprob: { name: "log-probability", about: "log-probability of the final top token", sure: () => 0, unsure: (values) => Math.max(-16, Math.min(...values)) },
  prob: { name: "probability", about: "probability of the point's own top token", sure: () => 1, unsure: () => 0 },
  kl: { name: "KL", about: "KL divergence from the final distribution, nats", sure: () => 0, unsure: (values) => Math.max(0.1, ...values) },
};

function shade(share, stops) {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  const channel = (hex, i) => parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
  const rgb = [0, 1, 2].map((i) => channel(stops[low], i) + (at - low) * (channel(stops[low + 1], i) - channel(stops[low], i)));
  const light = rgb.map((c) => (c / 255) ** 2.2).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  return { paper: `rgb(${rgb.map(Math.round).join(" ")})`, ink: light > 0.3 ? "#10202c" : "#f4f8fb" };
}

export function lensGrid(record) {
  const grid = record.lens_grid;
  if (!grid?.points?.length || !record.tokens?.length) return null;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const state = { measure: "logprob", start: Math.max(0, Math.min((record.position ?? 0) - SPAN + 4, record.tokens.length - SPAN)) };
  const table = make("table.lens", { role: "grid", "aria-label": "Logit lens: top token at every point and position" });
  const said = make("p.said", { "aria-live": "polite" });
  const legend = make("div.legend");
  const controls = make("div.controls", { role: "group", "aria-label": "what the colour shows" });
  const wide = make("div.scroll", {}, table);

  const draw = () => {
    const kind = MEASURES[state.measure];
    const values = (grid[state.measure] ?? []).flat().filter((value) => typeof value === "number");
    const [from, to] = [kind.unsure(values), kind.sure()];
    const stops = dark.matches ? [...SCALE].reverse() : SCALE;
    const end = Math.min(state.start + SPAN, record.tokens.length);
    table.replaceChildren(columnHeads(record, state.start, end), lines(record, grid, state, end, (value) => shade((value - from) / (to - from || 1), stops)));
    legend.replaceChildren(number(from, 1), ramp(stops), number(to, 0), make("span", {}, `${kind.about} (ColorBrewer YlGnBu${dark.matches ? ", reversed" : ""})`));
    controls.replaceChildren(...switches(grid, state, draw), ...windows(record.tokens.length, state, end, draw));
    const first = table.querySelector("td.here") ?? table.querySelector("td");
    first.tabIndex = 0;
    tell(first);
  };
  const tell = (cell) => {
    table.querySelectorAll(".lit").forEach((node) => node.classList.remove("lit"));
    cell.parentNode.firstChild.classList.add("lit");
    table.rows[0].cells[cell.cellIndex].classList.add("lit");
    said.replaceChildren(...detail(record, grid, Number(cell.dataset.point), Number(cell.dataset.position)));
  };

  table.addEventListener("pointerover", (event) => event.target.closest("td") && tell(event.target.closest("td")));
  table.addEventListener("focusin", (event) => event.target.closest("td") && tell(event.target));
  table.addEventListener("keydown", (event) => move(event, table));
  dark.addEventListener("change", draw);
  draw();
  setTimeout(() => { wide.scrollLeft = (table.querySelector("td.here")?.offsetLeft ?? 0) - wide.clientWidth / 2; });
  return [controls, wide, said, legend];
}

function columnHeads(record, start, end) {
  const cells = record.tokens.slice(start, end).map((text, i) =>
    make(`th${start + i === record.position ? ".here" : ""}`, { scope: "col", title: spoken(text) }, make("small", {}, String(start + i)), token(text)),
  );
  return make("thead", {}, make("tr", {}, make("th.corner", {}, ""), cells));
}

function lines(record, grid, state, end, colour) {
  const found = grid.points.map((point, p) => {
    const cells = [];
    for (let i = state.start; i < end; i++) {
      const value = grid[state.measure]?.[p]?.[i];
      const cell = make(`td${i === record.position ? ".here" : ""}`, { tabindex: "-1", "data-point": p, "data-position": i }, visible(grid.tokens[p]?.[i]));
      if (typeof value === "number") {
        const { paper, ink } = colour(value);
        cell.style.background = paper;
        cell.style.color = ink;
      }
      cells.push(cell);
    }
    return make("tr", {}, make("th", { scope: "row" }, point), cells);
  });
  return make("tbody", {}, found.reverse());
}

function switches(grid, state, draw) {
  return Object.entries(MEASURES).filter(([key]) => grid[key]?.length).map(([key, { name }]) => {
    const button = make("button", { type: "button", "aria-pressed": String(state.measure === key) }, name);
    button.addEventListener("click", () => {
      state.measure = key;
      draw();
    });
    return button;
  });
}

function windows(total, state, end, draw) {
  if (total <= SPAN) return [];
  const step = (name, start) => {
    const button = make("button", { type: "button" }, name);
    button.disabled = start === state.start;
    button.addEventListener("click", () => { state.start = start; draw(); });
    return button;
  };
  const [back, on] = [Math.max(0, state.start - SPAN), Math.max(0, Math.min(total - SPAN, state.start + SPAN))];
  return [make("span.gap"), step("‹ earlier", back), make("span", {}, `${state.start}–${end - 1} of ${total}`), step("later ›", on)];
}

function ramp(stops) {
  const strip = make("i.ramp");
  strip.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  return strip;
}

function detail(record, grid, p, i) {
  const at = (key) => grid[key]?.[p]?.[i];
  return [
    make("b", {}, grid.points[p]), ` at ${i} `, token(record.tokens[i]), ": top ", token(at("tokens")), ` ${percent(at("prob"))}; final top `,
    token(grid.targets?.[i]), ` log-probability ${number(at("logprob"))}; KL ${number(at("kl"))}`,
  ];
}

function move(event, table) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const cell = event.target.closest("td");
  if (!step || !cell) return;
  const next = table.rows[cell.parentNode.rowIndex + step[0]]?.cells[cell.cellIndex + step[1]];
  if (next?.tagName !== "TD") return;
  event.preventDefault();
  table.querySelectorAll("td[tabindex='0']").forEach((node) => { node.tabIndex = -1; });
  next.tabIndex = 0;
  next.focus();
}

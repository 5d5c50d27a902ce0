/** The charts page: what a folder of results holds, drawn. */

import { make } from "./dom.js";
import { save } from "./export.js";
import { choice, savers } from "./parts.js";
import { number } from "./text.js";

const NAMES_OF = { measure: "measure", number: "number", beside: "beside it", x: "across", y: "up", colour: "a line for each" };
const FILES = { CSV: "csv", SVG: "svg", PNG: "png", HTML: "html", JSON: "json" };

/** @param {any} found */
function rowsTable(found) {
  if (!found.columns?.length) return null;
  const cell = (value) => (typeof value === "number" && !Number.isInteger(value) ? number(value, 5) : value === null ? "" : String(value));
  const head = make("tr", {}, found.columns.map((name) => make("th", { scope: "col" }, name)));
  const rows = found.rows.map((row) => make("tr", {}, row.map((value) => make("td", {}, cell(value)))));
  const more = found.count > found.rows.length ? ` The first ${found.rows.length} of ${found.count} rows; CSV saves them all.` : "";
  return make("details", {}, make("summary", {}, `${found.count} rows`), make("p.about", {}, more), make("div.scroll", {}, make("table.plain.frame", {}, make("thead", {}, head), make("tbody", {}, rows))));
}

/** @type {import("./pages.js").Page} */
export const charts = {
  name: "charts",
  title: "Charts",
  open(place, context) {
    const { choices } = context;
    const list = make("section", { "data-part": "list" });
    const body = make("section", { "data-part": "chart" }, " ");
    let closed = false;
    const asked = () => ({ name: choices.get("name"), ...Object.fromEntries(Object.keys(NAMES_OF).map((key) => [key, choices.get(key)])), colour: choices.get("colour") === "none" ? "" : choices.get("colour") || null });
    const none = Object.fromEntries(Object.keys(NAMES_OF).map((key) => [key, null]));

    const listed = async () => {
      const found = await context.waiting(context.ask("charts.list", {}));
      if (!found || closed) return;
      const items = found.items.map((item) => {
        const button = make("button", { type: "button", title: item.about, "data-item": item.name, "aria-pressed": "false" }, item.name);
        button.addEventListener("click", () => choices.set({ ...none, name: item.name }, true));
        return make("li", {}, button, " ", make("small", {}, item.about));
      });
      list.replaceChildren(make("h2", {}, `In ${found.folder}`), make("p.about", {}, items.length ? "Measurements, tables, charts and pictures that are stored there." : "There is nothing to draw: measurements, tables (.parquet, .csv), charts (.json) or pictures."), make("ul.stored", {}, items));
    };

    const press = (name) => {
      for (const button of list.querySelectorAll("[data-item]")) button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.item === name));
    };

    const saving = (found) => {
      const one = (form) => async () => {
        const made = await context.waiting(context.ask("charts.file", { ...asked(), name: found.name, form }, { lane: `file ${form}`, heard: context.heard }));
        if (made) save(made.name, new Blob([Uint8Array.from(atob(made.data), (c) => c.charCodeAt(0))]));
      };
      const forms = found.columns?.length ? FILES : { SVG: "svg", PNG: "png", HTML: "html", JSON: "json" };
      return savers(Object.fromEntries(Object.entries(forms).map(([name, form]) => [name, one(form)])));
    };

    const draw = async () => {
      await listed();
      press(choices.get("name"));
      const found = await context.waiting(context.ask("charts.open", asked(), { heard: context.heard }));
      if (found && !closed) {
        const controls = Object.entries(found.choices ?? {}).map(([key, one]) => make("label", {}, `${NAMES_OF[key]} `,
          choice(NAMES_OF[key], Object.fromEntries(one.options.map((option) => [option, option || "none"])), one.now, (value) => choices.set({ ...(key === "measure" ? { number: null } : {}), [key]: value || (key === "colour" ? "none" : null) }, true))));
        press(found.name);
        body.replaceChildren(...[make("div.top", {}, make("h2", {}, found.name), found.kind === "picture" ? null : saving(found)), make("div.controls", {}, controls), make("div.scroll.drawn", { "data-kind": found.kind }, make("img", { src: found.picture, alt: `${found.name}: ${found.about}; its rows are below` })), rowsTable(found)].filter((node) => node !== null));
      }
    };

    choices.changed = () => void draw();
    place.replaceChildren(make("div.shelves", {}, list, body));
    void draw();
    return () => {
      closed = true;
      choices.changed = null;
    };
  },
};

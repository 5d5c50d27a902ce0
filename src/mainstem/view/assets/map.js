/** The map page: the residual streams of the model as a picture, and as rows with their widths and sizes. */

import { make } from "./dom.js";
import { save } from "./export.js";
import { savers } from "./parts.js";
import { term } from "./terms.js";
import { number, small } from "./text.js";

/** A bar for a length. @param {number | null} value @param {number} most @param {string} kind */
function lengthBar(value, most, kind) {
  if (typeof value !== "number") return make("span", {}, "n/a");
  const fill = make(`i.k-${kind}`);
  fill.style.width = `${(100 * value) / (most || 1)}%`;
  return make("span.length", {}, make("span.track", { "aria-hidden": "true" }, fill), make("span.figure", {}, number(value, value < 10 ? 2 : 1)));
}

/** @param {any} stream */
function streamTable(stream) {
  const most = Math.max(...stream.rows.flatMap((row) => [row.size ?? 0, ...row.writes.map((write) => write.size ?? 0)]));
  const head = make("tr", {}, ["point", "block", "width"].map((text) => make("th", { scope: "col" }, text)), make("th", { scope: "col" }, term("length", "stream's length")), make("th", { scope: "col" }, term("write")), make("th", { scope: "col" }, "write's length"));
  const rows = stream.rows.map((row) => make("tr", { "data-point": row.point, "data-size": row.size, "data-width": row.width },
    make("th", { scope: "row" }, row.point), make("td", {}, row.block < 0 ? "entry" : String(row.block)), make("td", {}, String(row.width)), make("td", {}, lengthBar(row.size, most, "stream")),
    make("td", {}, row.writes.map((write) => make("div", { title: write.module }, write.label))),
    make("td", {}, row.writes.map((write) => make("div", {}, lengthBar(write.size, most, write.kind))))));
  const notes = [`${stream.width} wide at its end`, stream.classes.join(" › "), ...(stream.bottleneck ? [`narrows: ${stream.bottleneck}`] : [])];
  return make("section", { "data-part": "stream" }, make("h2", {}, stream.name ? `Stream ${stream.name}` : "The stream"), make("p.about", {}, notes.join("; ")), make("div.scroll", {}, make("table.plain.lengths", {}, make("thead", {}, head), make("tbody", {}, rows))));
}

/** @type {import("./pages.js").Page} */
export const map = {
  name: "map",
  title: "Map",
  open(place, context) {
    let closed = false;
    const draw = async () => {
      const found = await context.waiting(context.ask("map.open", {}, { heard: context.heard }));
      if (!found || closed) return;
      const picture = make("img.diagram", { src: found.picture, alt: `The residual streams of ${found.module}; the rows below say the same` });
      const bytes = () => Uint8Array.from(atob(found.picture.split(",")[1]), (c) => c.charCodeAt(0));
      const proof = found.proof ? make(`p.closure${found.proof.closed ? "" : ".broken"}`, {}, `${found.proof.closed ? "✓" : "✗"} proved: error ${small(found.proof.error)}, bound ${small(found.proof.bound)}, ${found.proof.dtype}`) : null;
      place.replaceChildren(
        make("section", { "data-part": "diagram" }, make("div.top", {}, make("h2", {}, `The residual streams of ${found.module}`), savers({ SVG: () => save("mainstem-map.svg", new Blob([bytes()], { type: "image/svg+xml" })) })),
          make("p.about", {}, "From the entry down: blocks, what they write, how wide the stream is, and where it narrows. Lengths below are means over the places of an example input."), ...(proof ? [proof] : []), make("div.scroll", {}, picture)),
        ...found.streams.map(streamTable));
    };
    void draw();
    return () => {
      closed = true;
    };
  },
};

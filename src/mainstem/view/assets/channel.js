/** The channel page: what drives a channel of an image model, which classes read it, and which earlier channels wrote it. */

import { barList } from "./bars.js";
import { make } from "./dom.js";
import { histogram } from "./histogram.js";
import { choice } from "./parts.js";
import { term } from "./terms.js";
import { number, percent } from "./text.js";

const AGAIN = { image: null, path: null };

/** Options that are called what they are. @param {(string | number)[]} list */
const named = (list) => Object.fromEntries(list.map((one) => [String(one), String(one)]));

/** One image with its number. @param {any} one @param {boolean} chosen @param {boolean} can whether it can be followed back @param {() => void} does */
function thumb(one, chosen, can, does) {
  const picture = make("img", { src: one.small, alt: one.file, loading: "lazy" });
  const node = make("button.thumb", { type: "button", title: `${one.file}: ${one.word} ${percent(one.prob)}`, "aria-pressed": String(chosen), disabled: can ? null : "", "data-image": one.image, "data-value": one.value },
    picture, make("b", {}, number(one.value, 2)), make("small", {}, one.file.replace(/\.\w+$/, "")), make("small", {}, `says ${one.word} ${percent(one.prob)}`));
  node.addEventListener("click", does);
  return node;
}

/** @type {import("./pages.js").Page} */
export const channel = {
  name: "channel",
  title: "Channel",
  open(place, context) {
    const { choices, opening } = context;
    /** @type {any} */
    let record = null;
    let closed = false;
    const now = () => Number(choices.get("channel", String(opening.held?.channels[0] ?? 0))) || 0;
    const asked = () => ({ channel: now(), point: choices.get("point"), by: choices.get("by") });
    const go = (next) => choices.set({ ...AGAIN, ...next }, true);
    const { held } = opening; // what a file holds, undefined where a model answers
    const holds = (name, value) => !held || held[name].includes(value);

    const bar = make("section", { "data-part": "which" });
    const images = make("section", { "data-part": "images" });
    const classes = make("section", { "data-part": "classes" });
    const spread = make("section", { "data-part": "spread" });
    const back = make("section", { "data-part": "back" });

    const typed = (label, value, hint, changed, more = {}) => {
      const made = /** @type {HTMLInputElement} */ (make("input", { "aria-label": label, placeholder: hint, autocomplete: "off", spellcheck: "false", ...more }));
      made.value = value;
      made.addEventListener("change", () => changed(made.value));
      return make("label", {}, `${label} `, made);
    };

    const which = () => {
      const points = record ? Object.fromEntries(record.points.map((name, i) => [name, `${name} (${record.widths[i]})`]).filter(([name]) => holds("points", name)).reverse()) : {};
      const width = record ? record.widths[record.points.indexOf(record.point)] : 1;
      const step = (by, text) => {
        const made = make("button", { type: "button", "aria-label": by < 0 ? "channel before" : "channel after" }, text);
        const every = held?.channels;
        made.addEventListener("click", () => go({ channel: every ? every[(every.indexOf(now()) + by + every.length) % every.length] : (now() + by + width) % width }));
        return made;
      };
      bar.replaceChildren(make("h2", {}, "Which channel"), make("div.controls", {},
        step(-1, "‹"), held ? make("label", {}, "channel ", choice("channel", named(held.channels), String(now()), (value) => go({ channel: value }))) : typed("channel", String(now()), "0", (value) => go({ channel: value }), { type: "number", min: "0", max: String(width - 1), size: "7" }), step(1, "›"),
        ...(record ? [make("label", {}, term("point"), " ", choice("point", points, record.point, (point) => go({ point })))] : []),
        held ? make("label", {}, "class ", choice("class", { "": "the first below", ...named(held.classes) }, choices.get("class"), (value) => choices.set({ class: value }, true)))
          : typed("find those of a class", choices.get("class"), "goldfish", (value) => choices.set({ class: value }, true))));
    };

    const drawImages = () => {
      if (!opening.images) return images.replaceChildren(make("h2", {}, "Images that activate it most"), make("p.about", {}, `There are no images to look at: ${opening.stored ? "this file was made without." : "start with mainstem view --model … --data FOLDER, a folder of images."}`));
      const faults = record.faults ? `, ${record.faults} could not be read` : "";
      const rows = record.blocks.map((block) => make("div.block", { "data-point": block.point }, make("h3", {}, block.point),
        make("div.thumbs", {}, block.images.map((one) => thumb(one, choices.get("image") === String(one.image) && record.point === block.point, holds("backs", `${block.point} ${one.image} ${now()}`),
          () => choices.set({ image: one.image, point: block.point, path: null }, true))))));
      images.replaceChildren(make("h2", {}, "Images that activate it most"),
        make("p.about", {}, `Of ${record.count} images${faults}: the channel over places, as the next block reads it. Classes read its mean. ${held ? "Those that are not pale are followed back by a click." : "A click follows its peak back."}`),
        make("div.controls", {}, make("label", {}, "by its ", choice("images by", { "": "mean", peak: "peak" }, choices.get("by"), (by) => choices.set({ by }, true)), term("peak", "what is this?"))), ...rows);
    };

    const drawClasses = () => {
      if (!record.classes) return classes.replaceChildren(make("p.about", {}, "Classes read the channels of the last stage only."));
      const most = Math.max(...record.classes.map((one) => Math.abs(one.weight)));
      const rows = record.classes.map((one) => {
        const fill = make(`i.${one.weight < 0 ? "minus" : "plus"}`);
        fill.style.width = `${(50 * Math.abs(one.weight)) / most}%`;
        const button = make("button", { type: "button", "data-class": one.class, "data-weight": one.weight }, one.word);
        button.addEventListener("click", () => choices.set({ class: one.word }, true));
        return make("li", {}, button, make("span.bar", { "aria-hidden": "true" }, fill), make("span.figure", {}, number(one.weight, 3, true)));
      });
      classes.replaceChildren(make("h2", {}, "Classes that weigh it most"), make("p.about", {}, "The five largest weights of the classifier on this channel, with their sign. A click shows how that class's weights are spread."), make("ol.weights", {}, rows));
    };

    const drawSpread = async () => {
      const word = choices.get("class") || record.classes?.[0]?.word;
      if (!word) return spread.replaceChildren();
      const found = await context.waiting(context.ask("channel.class", { class: word }));
      if (!found || closed) return;
      const own = record.classes?.find((one) => one.class === found.class)?.weight ?? null;
      const links = (list) => make("p.links", {}, list.map((one) => {
        const button = make("button", { type: "button", "data-channel": one.channel, disabled: holds("channels", one.channel) ? null : "" }, `${one.channel} `, make("small", {}, number(one.weight, 3, true)));
        button.addEventListener("click", () => go({ channel: one.channel, point: null }));
        return button;
      }));
      spread.replaceChildren(make("h2", {}, "Weights of ", found.word), make("p.about", {}, `How its weights on all channels are spread${own === null ? "" : `; the mark is channel ${now()}, ${number(own, 3, true)}`}. The line is zero.`),
        histogram(found.counts, found.most, own), make("h3", {}, "channels that raise it most"), links(found.first), make("h3", {}, "that lower it most"), links(found.last));
      spread.dataset.class = found.word;
    };

    const image = () => choices.get("image") || (record.blocks[0]?.images[0] ? String(record.blocks[0].images[0].image) : "");
    const drawBack = async () => {
      if (!image()) return back.replaceChildren();
      const path = choices.get("path");
      const question = { ...asked(), point: record.point, image: Number(image()), ...(path ? { component: path } : {}) };
      const table = await context.waiting(context.ask(path ? "channel.inside" : "channel.back", question, { lane: "back", heard: context.heard }));
      if (!table || closed) return;
      const opened = (row) => (row.into === "channel" ? choices.set({ channel: row.channel, point: row.point, image: image(), path: null }, true) : choices.set({ path: row.component }, true));
      const up = () => choices.set({ path: null }, true);
      const whole = make("button", { type: "button" }, "all writes");
      whole.addEventListener("click", up);
      const file = record.blocks.flatMap((block) => block.images).find((one) => String(one.image) === image())?.file ?? `image ${image()}`;
      const where = table.place ? ` at row ${table.place[0]}, column ${table.place[1]}, its peak` : "";
      const about = path ? `Channels of ${path} that lead to it; a click looks at one of them.` : `What each block wrote towards it, along its own branch and the shortcuts that follow, frozen at this image.${held ? "" : " A click shows by which channels."}`;
      back.replaceChildren(make("h2", {}, `Where channel ${now()} of ${record.point} comes from in ${file}${where}`), make("p.about", {}, about),
        make("nav.crumbs", { "aria-label": "the way down" }, path ? [whole, " › ", make("b", {}, path)] : [make("b", {}, "all writes")]), barList(table, { opened, left: up, unit: "" }));
      back.dataset.path = path;
    };

    const open = async () => {
      const found = await context.waiting(context.ask("channel.open", asked(), { heard: context.heard }));
      if (closed) return;
      if (found) record = found;
      which();
      if (!found) return;
      drawImages();
      drawClasses();
      await drawBack();
      await drawSpread();
    };

    choices.changed = async (before) => {
      const changed = (name) => (before[name] ?? "") !== choices.get(name);
      if (!record || ["channel", "point", "by"].some(changed)) return open();
      drawImages();
      if (changed("class")) which(), await drawSpread();
      if (changed("image") || changed("path")) await drawBack();
    };
    which();
    place.replaceChildren(bar, images, make("div.columns", {}, make("div", {}, classes), make("div", {}, spread)), back);
    void open();
    return () => {
      closed = true;
      choices.changed = null;
    };
  },
};

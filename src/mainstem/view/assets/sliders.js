/** Sliders for a mix of principal directions, kept at length one. */

import { make } from "./dom.js";
import { moveOne } from "./mix.js";
import { number } from "./text.js";

/**
 * @param {{name: string, about: string}[]} directions
 * @param {number[]} weights
 * @param {(weights: number[], done: boolean) => void} moved `done` when the slider is let go
 */
export function mixer(directions, weights, moved) {
  let now = weights;
  const rows = directions.map((one, i) => {
    const slider = /** @type {HTMLInputElement} */ (make("input", { type: "range", min: "-1", max: "1", step: "0.01", "aria-label": one.name, "data-slider": i + 1 }));
    const said = make("span.figure");
    const move = (done) => {
      now = moveOne(now, i, Number(slider.value));
      show();
      moved(now, done);
    };
    slider.addEventListener("input", () => move(false));
    slider.addEventListener("change", () => move(true));
    return { slider, said, node: make("label.slide", { title: one.about }, make("span", {}, one.name, " ", make("small", {}, one.about.split(" ")[0])), slider, said) };
  });
  const show = () => rows.forEach(({ slider, said }, i) => {
    slider.value = String(now[i]);
    said.textContent = number(now[i], 2, true);
  });
  show();
  return {
    node: make("div.mixer", {}, rows.map((row) => row.node)),
    /** @param {number[]} next */
    set(next) {
      now = next;
      show();
    },
  };
}

/** One page with the answers that stand in its file. */

import { channel } from "./channel.js";
import { direction } from "./direction.js";
import { make } from "./dom.js";
import { read, stored } from "./source.js";
import { Choices, hashOf, placeOf } from "./state.js";
import { themeSwitch } from "./theme.js";

function openHeld() {
  const frame = /** @type {HTMLElement} */ (document.currentScript?.closest(".ms-page"));
  const held = read(frame.querySelector("script[type='application/json']")?.textContent ?? "{}");
  const shown = /** @type {import("./pages.js").Page} */ ([direction, channel].find((one) => one.name === held.opening.page));

  /** Pictures in the place of their numbers. @param {any} answer */
  function withPictures(answer) {
    for (const block of answer.blocks ?? []) for (const image of block.images) image.small = held.pictures[image.small];
    return answer;
  }

  const answers = held.answers.map(withPictures);
  const ask = stored(held.asked.map(([kind, asked, number]) => [kind, asked, answers[number]]));
  const status = make("p.status", { role: "status", "aria-live": "polite" });
  const place = make("div.place");
  const brand = make("p.brand", {}, make("b", {}, "mainstem"), ` ${held.opening.model ?? ""}`);
  frame.append(make("header.shell", {}, brand, make("p.about", {}, held.opening.about), themeSwitch(frame), status), place);

  const waiting = async (work) => {
    try {
      const made = await work;
      status.textContent = "";
      status.classList.remove("wrong");
      return made;
    } catch (error) {
      status.textContent = error instanceof Error ? error.message : String(error);
      status.classList.add("wrong");
      return undefined;
    }
  };
  const choices = new Choices(placeOf(location.hash).choices, (next, step) => {
    const address = hashOf({ page: shown.name, choices: next });
    if (address !== location.hash) history[step ? "pushState" : "replaceState"](null, "", address);
  });
  shown.open(place, { ask, choices, opening: { ...held.opening, stored: true }, page: frame, waiting, heard: () => {} });
  window.addEventListener("hashchange", () => choices.take(placeOf(location.hash).choices));
  window.addEventListener("popstate", () => choices.take(placeOf(location.hash).choices));
  frame.dataset.ready = "true";
}

openHeld();

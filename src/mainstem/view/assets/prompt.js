/** The prompt page. */

import { make } from "./dom.js";

/** @type {import("./pages.js").Page} */
export const prompt = {
  name: "prompt",
  title: "Prompt",
  open(place, context) {
    const field = /** @type {HTMLTextAreaElement} */ (make("textarea", { rows: "2", "aria-label": "prompt", spellcheck: "false" }));
    const tokens = make("p.tokens");
    const look = async () => {
      const text = context.choices.get("prompt", context.opening.prompt ?? "");
      field.value = text;
      const found = await context.waiting(context.ask("prompt.open", { prompt: text }, { heard: context.heard }));
      if (found) tokens.textContent = found.tokens.join(" ");
    };
    const form = make("section", {}, field, make("button", { type: "button" }, "Trace"), tokens);
    form.querySelector("button")?.addEventListener("click", () => context.choices.set({ prompt: field.value }, true));
    context.choices.changed = () => void look();
    place.replaceChildren(form);
    void look();
    return () => { context.choices.changed = null; };
  },
};

/** The frame of the served page: navigation, colours, what is being worked out, and one page inside. */

import { make } from "./dom.js";
import { pages } from "./pages.js";
import { served } from "./served.js";
import { Superseded, read } from "./source.js";
import { Choices, hashOf, placeOf } from "./state.js";
import { themeSwitch } from "./theme.js";

const frame = /** @type {HTMLElement} */ (document.querySelector("main.ms-page"));
const opening = read(frame.querySelector("script[type='application/json']")?.textContent ?? "{}");
const offered = pages.filter((page) => page.name === "terms" || opening.pages?.includes(page.name));
const ask = served(new URL(".", location.href).href);

const status = make("p.status", { role: "status", "aria-live": "polite" });
const place = make("div.place");
const links = make("nav", { "aria-label": "pages" }, offered.map((page) => make("a", { href: hashOf({ page: page.name, choices: {} }) }, page.title)));
const head = make("header.shell", {}, make("p.brand", {}, make("b", {}, "mainstem"), ` ${opening.model ?? ""}`), links, themeSwitch(frame), status);
frame.replaceChildren(head, place);

/** @type {{name: string, choices: Choices, leave: () => void} | null} */
let now = null;
let waits = 0;

/** @param {string} text @param {boolean} [wrong] */
function tell(text, wrong = false) {
  status.textContent = text;
  status.classList.toggle("wrong", wrong);
}

/** @type {import("./pages.js").Context["waiting"]} */
async function waiting(work) {
  frame.dataset.waiting = String(++waits);
  try {
    const made = await work;
    tell("");
    return made;
  } catch (error) {
    if (!(error instanceof Superseded)) tell(error instanceof Error ? error.message : String(error), true);
    return undefined;
  } finally {
    if (--waits) frame.dataset.waiting = String(waits);
    else delete frame.dataset.waiting;
  }
}

/** @param {import("./source.js").Progress} progress */
function heard({ what, done, of }) {
  tell(of ? `${what}: ${done} of ${of}` : `${what} …`);
}

function open() {
  const { page: name, choices } = placeOf(location.hash);
  const page = offered.find((one) => one.name === name) ?? offered[0];
  if (now?.name === page.name) return now.choices.take(choices);
  now?.leave();
  tell("");
  const held = new Choices(choices, (next, step) => {
    const address = hashOf({ page: page.name, choices: next });
    if (address !== location.hash) history[step ? "pushState" : "replaceState"](null, "", address);
  });
  for (const [i, link] of [...links.children].entries()) link.toggleAttribute("aria-current", offered[i] === page);
  now = { name: page.name, choices: held, leave: page.open(place, { ask, choices: held, opening, page: frame, waiting, heard }) };
}

window.addEventListener("hashchange", open);
open();
frame.dataset.ready = "true";

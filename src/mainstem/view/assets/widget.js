/** The prompt page in a notebook's cell; the kernel answers. */

import { make } from "./dom.js";
import { prompt } from "./prompt.js";
import { Superseded } from "./source.js";
import { Choices } from "./state.js";
import { themeSwitch } from "./theme.js";

/**
 * Asks a kernel by messages; a newer question of a lane gives up the older one, whose answer is then not heard.
 * @param {{send: (content: any) => void, on: (event: string, does: (content: any) => void) => void, off: (event: string, does: (content: any) => void) => void}} kernel
 * @returns {{ask: import("./source.js").Ask, close: () => void}}
 */
export function asking(kernel) {
  let last = 0;
  /** @type {Map<number, {lane: string, hears: (line: any) => void}>} */
  const open = new Map();
  const heard = (line) => open.get(line?.number)?.hears(line);
  kernel.on("msg:custom", heard);
  return {
    ask: (kind, asked, { lane = kind, heard: progress } = {}) => new Promise((resolve, reject) => {
      for (const other of open.values()) if (other.lane === lane) other.hears({ superseded: true });
      const number = ++last;
      open.set(number, {
        lane,
        hears(line) {
          if (line.progress) return progress?.(line.progress);
          open.delete(number);
          if ("answer" in line) resolve(line.answer);
          else reject(line.superseded ? new Superseded() : new Error(line.error));
        },
      });
      kernel.send({ number, kind, asked });
    }),
    close: () => kernel.off("msg:custom", heard),
  };
}

/** What anywidget calls. @param {{model: any, el: HTMLElement}} given */
export function render({ model, el }) {
  const status = make("p.status", { role: "status", "aria-live": "polite" });
  const place = make("div.place");
  const page = make("div.ms-page", {});
  // Else JupyterLab, which hears keys before the page does, takes them for its own: d twice would delete the cell. It looks at what has the focus.
  page.addEventListener("focusin", ({ target }) => target instanceof Element && target.setAttribute("data-lm-suppress-shortcuts", "true"));
  page.append(make("div.over", {}, make("p.brand", {}, make("b", {}, "mainstem"), ` ${model.get("opening").model ?? ""}`), themeSwitch(page)), status, place);
  el.append(page);
  const { ask, close } = asking(model);
  const waiting = async (work) => {
    page.dataset.waiting = "true";
    try {
      const made = await work;
      status.textContent = "";
      return made;
    } catch (error) {
      if (!(error instanceof Superseded)) status.textContent = error instanceof Error ? error.message : String(error);
      return undefined;
    } finally {
      delete page.dataset.waiting;
    }
  };
  const heard = ({ what, done, of }) => { status.textContent = of ? `${what}: ${done} of ${of}` : `${what} …`; };
  const leave = prompt.open(place, { ask, choices: new Choices({}, () => {}), opening: model.get("opening"), page, waiting, heard });
  page.dataset.ready = "true";
  return () => {
    leave();
    close();
  };
}

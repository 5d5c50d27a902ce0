/** Dark or light: as the system says, or as the reader chose; remembered where the browser allows it. */

import { make } from "./dom.js";

const THEMES = { "": "as the system", light: "light", dark: "dark" };

/** @param {HTMLElement} page @param {string} name */
function applied(page, name) {
  if (name) page.dataset.theme = name;
  else delete page.dataset.theme;
  page.dispatchEvent(new Event("themed"));
}

/** Whether a page is dark now. @param {HTMLElement} page */
export function isDark(page) {
  return page.dataset.theme ? page.dataset.theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
}

/** A switch with three places. @param {HTMLElement} page @returns {HTMLElement} */
export function themeSwitch(page) {
  const kept = attempt(() => localStorage.getItem("mainstem theme")) ?? "";
  const choice = /** @type {HTMLSelectElement} */ (make("select", { "aria-label": "colours" }, Object.entries(THEMES).map(([value, text]) => make("option", { value }, text))));
  choice.value = kept in THEMES ? kept : "";
  applied(page, choice.value);
  choice.addEventListener("change", () => {
    applied(page, choice.value);
    attempt(() => localStorage.setItem("mainstem theme", choice.value));
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.dispatchEvent(new Event("themed")));
  return make("label.theme", {}, "colours ", choice);
}

/** What a browser may forbid. @template T @param {() => T} does */
function attempt(does) {
  try {
    return does();
  } catch {
    return null;
  }
}

/** Directions saved by name, downloaded and uploaded. */

import { make } from "./dom.js";
import { save } from "./export.js";

/** Bytes of a file as base64. @param {File} file @returns {Promise<string>} */
function base64Of(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",")[1] ?? "");
    reader.onerror = () => reject(new Error(`cannot read ${file.name}`));
    reader.readAsDataURL(file);
  });
}

/**
 * @param {import("./pages.js").Context} context
 * @param {() => Record<string, unknown>} asked what is looked at
 */
export function shelfBar({ ask, choices, waiting }, asked) {
  const name = /** @type {HTMLInputElement} */ (make("input", { "aria-label": "name", placeholder: "name", size: "14", maxlength: "80", autocomplete: "off" }));
  const button = (text, title, does) => {
    const made = make("button", { type: "button", title }, text);
    made.addEventListener("click", () => void does());
    return made;
  };
  const show = (found) => found && choices.set({ kind: "kept", kept: found.name, weights: null, token: null, against: null, label: null }, true);
  const keep = async () => show(await waiting(ask("direction.keep", { ...asked(), name: name.value })));
  const download = (form) => async () => {
    const found = await waiting(ask("direction.file", { ...asked(), form, name: name.value }, { lane: `file${form}` }));
    if (!found) return;
    const bytes = Uint8Array.from(atob(found.data), (c) => c.charCodeAt(0));
    save(`${found.name.trim().replaceAll(/[^\w.-]+/g, "_") || "direction"}${form}`, new Blob([bytes], { type: "application/octet-stream" }));
  };
  const file = /** @type {HTMLInputElement} */ (make("input", { type: "file", accept: ".safetensors,.json", "aria-label": "upload a direction" }));
  file.addEventListener("change", async () => {
    const [one] = file.files ?? [];
    if (one) show(await waiting(base64Of(one).then((data) => ask("direction.upload", { file: one.name.replace(/\.\w+$/, ""), data }))));
    file.value = "";
  });
  return make("div.controls.shelf", {}, name, button("Save", "keep it by this name while the page is served", keep),
    button("Download safetensors", "as a file", download(".safetensors")), button("Download JSON", "as a file", download(".json")),
    make("label", {}, "upload ", file));
}

/**
 * The pages there are. To add one, write a module that exports a `Page` and name it here; the server's `opening.pages` says which of them
 * are shown, in that order ("terms" always is).
 *
 * @typedef {object} Context
 * @property {import("./source.js").Ask} ask asks a question; a newer one of the same lane supersedes it, its promise then rejects with `Superseded`
 * @property {import("./state.js").Choices} choices what is looked at, in the address; set `choices.changed` to hear of changes
 * @property {Record<string, any>} opening what the server said: {model, pages, ...}
 * @property {HTMLElement} page the whole page, which gets the event "themed" when its colours change
 * @property {<T>(work: Promise<T>) => Promise<T | undefined>} waiting shows that something is worked out, and its error if there is one
 * @property {(progress: import("./source.js").Progress) => void} heard shows how far it is; give it to `ask`
 *
 * @typedef {object} Page
 * @property {string} name in the address
 * @property {string} title in the navigation
 * @property {(place: HTMLElement, context: Context) => (() => void)} open fills a place; returns what is done when another page is opened
 */

import { channel } from "./channel.js";
import { charts } from "./charts.js";
import { direction } from "./direction.js";
import { map } from "./map.js";
import { prompt } from "./prompt.js";
import { terms } from "./terms.js";

/** @type {Page[]} */
export const pages = [prompt, direction, channel, map, charts, terms];

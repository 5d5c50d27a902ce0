/** Where answers come from: a server, or what was stored in the file. Pages ask and do not know which. */

/** Thrown where a newer question took a question's place: nobody waits for it. */
export class Superseded extends Error {}

/**
 * @typedef {{what: string, done: number, of: number}} Progress
 * @typedef {(kind: string, asked: Record<string, unknown>, more?: {lane?: string, heard?: (progress: Progress) => void}) => Promise<any>} Ask
 */

/** A text without halves of characters, which cannot be shown. */
const whole = (_, value) => typeof value === "string" && value.toWellFormed ? value.toWellFormed() : value;

/** Data from JSON. @param {string} text */
export function read(text) {
  return JSON.parse(text, whole);
}

/** The name under which an answer is stored. @param {string} kind @param {Record<string, unknown>} asked */
export function nameOf(kind, asked) {
  const said = Object.entries(asked).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return JSON.stringify([kind, ...said.sort(([a], [b]) => (a < b ? -1 : 1))]);
}

/**
 * Answers that were stored in the file.
 * @param {[string, Record<string, unknown>, any][]} answers kind, what was asked, answer
 * @returns {Ask}
 */
export function stored(answers) {
  const found = new Map(answers.map(([kind, asked, made]) => [nameOf(kind, asked), made]));
  return async (kind, asked) => {
    const name = nameOf(kind, asked);
    if (!found.has(name)) throw new Error("this file does not hold that; mainstem view works it out");
    return found.get(name);
  };
}

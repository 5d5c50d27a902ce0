/** What is looked at, as it stands behind the address's "#": a page's name and its choices, so that an address can be sent to a colleague. */

/**
 * @typedef {{page: string, choices: Record<string, string>}} Place
 */

/** @param {string} hash @returns {Place} */
export function placeOf(hash) {
  const text = hash.replace(/^#/, "");
  const cut = text.indexOf("?");
  const page = cut < 0 ? text : text.slice(0, cut);
  return { page, choices: Object.fromEntries(new URLSearchParams(cut < 0 ? "" : text.slice(cut + 1))) };
}

/** @param {Place} place @returns {string} what is unset or empty is left out */
export function hashOf({ page, choices }) {
  const said = Object.entries(choices).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const query = new URLSearchParams(said.map(([name, value]) => [name, String(value)])).toString();
  return `#${page}${query ? `?${query}` : ""}`;
}

/**
 * The choices of one page. `set` changes some, writes the address, and tells the page; moving back in the browser tells it too.
 */
export class Choices {
  /**
   * @param {Record<string, string>} now
   * @param {(choices: Record<string, string>, step: boolean) => void} write puts them into the address; `step`, as a new entry of the history
   */
  constructor(now, write) {
    this.now = { ...now };
    this.write = write;
    /** @type {((before: Record<string, string>) => void) | null} */
    this.changed = null;
  }

  /** @param {string} name @param {string} [otherwise] */
  get(name, otherwise = "") {
    return this.now[name] ?? otherwise;
  }

  /**
   * @param {Record<string, string | number | null | undefined>} some null or undefined takes a choice back
   * @param {boolean} [step] whether "back" returns to what was before
   */
  set(some, step = false) {
    this.take({ ...this.now, ...some }, () => this.write(this.now, step));
  }

  /** Choices that came from the address. @param {Record<string, unknown>} next @param {() => void} [first] */
  take(next, first) {
    const before = this.now;
    const said = Object.entries(next).filter(([, value]) => value !== undefined && value !== null && value !== "");
    this.now = Object.fromEntries(said.map(([name, value]) => [name, String(value)]));
    first?.();
    this.changed?.(before);
  }
}

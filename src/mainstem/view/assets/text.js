/** Texts and numbers as people read them. */

const MARKS = { " ": "·", "\n": "↵", "\t": "⇥", "\r": "␍" };
// What has no shape, or turns the text around it: control, joining and direction characters, and halves of a character.
// eslint-disable-next-line no-control-regex -- these are what it is for
const SHAPELESS = /([ \n\t\r]|[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\ud800-\udfff])/u;

/**
 * A text in pieces: those that are characters without a shape of their own come as a mark that has one.
 * @param {unknown} text
 * @returns {{shown: string, mark: boolean}[]}
 */
export function pieces(text) {
  return String(text ?? "").split(SHAPELESS).filter(Boolean).map((part) => {
    if (!SHAPELESS.test(part)) return { shown: part, mark: false };
    const code = part.codePointAt(0) ?? 0;
    return { shown: MARKS[part] ?? (code < 32 ? String.fromCodePoint(0x2400 + code) : `⟨${code.toString(16).padStart(4, "0")}⟩`), mark: true };
  });
}

/** A text with its marks, for titles and labels. @param {unknown} text */
export function spoken(text) {
  return pieces(text).map((part) => part.shown).join("");
}

/** A text cut to so many characters. @param {string} text @param {number} most */
export function short(text, most) {
  const characters = [...text];
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join("")}…`;
}

/**
 * A number as people read it; "n/a" for one that was not finite.
 * @param {unknown} value
 * @param {number} [digits] behind the point
 * @param {boolean} [sign] whether a plus is written too
 */
export function number(value, digits = 2, sign = false) {
  if (typeof value !== "number") return "n/a";
  const size = Math.abs(value);
  const text = size !== 0 && size < 0.5 * 10 ** -digits ? size.toExponential(0) : size.toFixed(digits);
  return (value < 0 ? "−" : sign ? "+" : "") + text.replace("e-", "e−");
}

/** An error or a bound. @param {unknown} value */
export function small(value) {
  return typeof value === "number" && value !== 0 ? value.toExponential(1).replace("-", "−") : number(value, 0);
}

/** A share of one. @param {unknown} value */
export function percent(value) {
  if (typeof value !== "number") return "n/a";
  return value > 0 && value < 0.001 ? "<0.1%" : `${(100 * value).toFixed(1)}%`;
}

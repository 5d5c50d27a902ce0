/** What the words on the pages mean: in a tooltip where they stand, and all on a page of their own. */

import { make } from "./dom.js";

/** @type {Record<string, string>} */
export const TERMS = {
  "residual stream": "The sum that runs through the model from its entry to its last point; every block reads it and adds to it.",
  point: "The stream between two additions. L3.resid_mid is after the attention of block 3, L3.resid_post after its MLP.",
  write: "What an attention, an MLP or another part of a block adds to the stream at one point.",
  "logit lens": "The model's own readout applied to an earlier point of the stream: what it would predict if it ended there.",
  probability: "The probability of the token that a point reads out as likeliest.",
  rank: "How many tokens a point puts before the one that the model predicts in the end: 0 is the likeliest.",
  entropy: "How undecided the distribution at a point is, in nats: 0 is certain.",
  KL: "Kullback–Leibler divergence from the final distribution to that of a point, KL(final ‖ point), in nats: 0 where they agree.",
  norm: "The scale that a point is divided by before it is read out: its own, or that of the last point.",
  "direct logit attribution": "What a part adds to the logit of a token through everything that follows it, frozen at this input. The parts sum to the logit.",
  "log-probability increase": "By how much the log-probability of a token grows when a part is added to the stream that was there before it.",
  path: "Log-probability increase shared out among the parts of every write along the straight path, so that nothing is left over.",
  "probability increase": "By how much the probability of a token grows when a part is added to the stream that was there before it.",
  contrast: "One token held against another: the difference of their logits, which is their log-odds.",
  closure: "How far the sum of the parts is from what the model itself computed, beside the most that rounding explains.",
  constant: "What is added whatever was read: biases, and shifts of norms.",
  interaction: "What the parts of a write do together beyond what each does alone.",
  head: "One of the attentions that a block runs side by side.",
  source: "A token that a head reads from.",
  neuron: "One coordinate of an MLP's inner layer, with the row of weights that it adds.",
  "first words": "The tokens whose logits a part raises most.",
  "last words": "The tokens whose logits a part lowers most.",
  "principal direction": "A direction along which the stream differs most over the tokens it was fitted on; each holds a share of the variance.",
  standardised: "Every coordinate divided by its own deviation before principal directions are sought, so that a few large coordinates do not decide them.",
  length: "The Euclidean length of the stream's vector at one place, averaged over the places of an example input.",
  peak: "A channel has a value at every place of an image: its mean is what the classes read, its peak the largest.",
  activation: "A neuron's value before its nonlinearity; it is a sum over everything earlier that the neuron reads.",
};

/** A word with its meaning for pointer, keyboard and touch. @param {string} name @param {string} [text] */
export function term(name, text = name) {
  const about = TERMS[name];
  if (!about) throw new Error(`no term ${name}`);
  const tip = make("span.tip", { role: "tooltip" }, about, " ", make("a", { href: "#terms" }, "All terms"));
  return make("span.term", { tabindex: "0" }, text, tip);
}

/** All of them. @type {import("./pages.js").Page} */
export const terms = {
  name: "terms",
  title: "Terms",
  open(place) {
    const rows = Object.entries(TERMS).flatMap(([name, about]) => [make("dt", {}, name), make("dd", {}, about)]);
    place.replaceChildren(make("section", {}, make("h2", {}, "Terms"), make("p.about", {}, "The documentation's page “Look at it” says more."), make("dl.terms", {}, rows)));
    return () => {};
  },
};

import assert from "node:assert/strict";
import { test } from "node:test";
import { MEASURES, luminance, most, shade, stops, waterfall } from "../../../src/mainstem/view/assets/scale.js";

const VOCABULARY = 4096;
const channels = (paper) => paper.match(/\d+/g).map(Number);

test("every measure is 1 where a point is certain, and 0 where it knows nothing", () => {
  const ends = { prob: [1, 0], rank: [0, VOCABULARY], entropy: [0, Math.log(VOCABULARY)], kl: [0, 7] };
  for (const [name, [sure, unsure]] of Object.entries(ends)) {
    assert.ok(Math.abs(MEASURES[name].share(sure, 7, VOCABULARY) - 1) < 1e-12, name);
    assert.ok(Math.abs(MEASURES[name].share(unsure, 7, VOCABULARY)) < 1e-12, name);
  }
});

test("the scale goes one way in lightness, so that it is read without colour", () => {
  for (const dark of [false, true]) {
    const lights = Array.from({ length: 50 }, (_, i) => luminance(channels(shade(i / 49, stops(dark)).paper)));
    const steps = lights.slice(1).map((light, i) => (dark ? 1 : -1) * (light - lights[i]));
    assert.ok(steps.every((step) => step >= -1e-9), String(dark));
  }
});

test("ink is readable on every paper", () => {
  const hex = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
  for (let i = 0; i <= 100; i++) {
    const { paper, ink } = shade(i / 100, stops(false));
    const [a, b] = [luminance(channels(paper)), luminance(hex(ink))];
    assert.ok((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) > 4, `${i}: ${paper} ${ink}`);
  }
});

test("what is outside of the scale or no number takes its end", () => {
  assert.deepEqual(shade(7, stops(false)), shade(1, stops(false)));
  assert.deepEqual(shade(NaN, stops(false)), shade(0, stops(false)));
  assert.equal(most([[1, null], [3, NaN]]), 3);
});

test("bars stand on each other and end at the sum", () => {
  const { spans, low, high } = waterfall([2, -3, 0.5]);
  assert.deepEqual(spans, [[0, 2], [2, -1], [-1, -0.5]]);
  assert.deepEqual([low, high], [-1, 2]);
  assert.deepEqual(waterfall([]), { spans: [], low: 0, high: 0 });
  assert.equal(waterfall([5, 5]).low, 0);
});

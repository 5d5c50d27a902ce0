import assert from "node:assert/strict";
import { test } from "node:test";
import { lengthOf, mixed, moveOne, readWeights, saidWeights, scaleOf, twoSided } from "../../../src/mainstem/view/assets/mix.js";
import { luminance, shade } from "../../../src/mainstem/view/assets/scale.js";

const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("weights stay at length one, whichever is moved", () => {
  let weights = readWeights("", 30);
  for (let step = 0; step < 300; step++) {
    weights = moveOne(weights, (step * 7) % 30, Math.sin(step));
    near(Math.hypot(...weights), 1);
  }
  near(moveOne([0.6, 0.8], 0, 0)[1], 1);
  assert.deepEqual(moveOne([1, 0], 0, 0.3), [1, 0]);
  assert.deepEqual(moveOne([1, 0], 0, -0.3), [-1, 0]);
  near(moveOne([0.6, 0.8, 0], 2, 0.5)[0] / moveOne([0.6, 0.8, 0], 2, 0.5)[1], 0.75);
});

test("the address keeps them", () => {
  const weights = moveOne(moveOne(readWeights("", 30), 4, 0.3), 29, -0.8);
  const back = readWeights(saidWeights(weights), 30);
  weights.forEach((w, i) => assert.ok(Math.abs(w - back[i]) < 1e-4));
  for (const text of ["", "x", "0:1", "31:1", "1:NaN", "2:0", "1:1e999"]) assert.deepEqual(readWeights(text, 30).slice(0, 2), [1, 0]);
});

test("a mix is at unit length where directions are not square to each other", () => {
  const gram = [[1, 0.6], [0.6, 1]];
  near(lengthOf([0.6, 0.8], gram), Math.sqrt(1 + 2 * 0.6 * 0.8 * 0.6));
  near(mixed([2, 3], [0.6, 0.8], 2), 1.8);
});

test("a scale centred on zero has it in the middle, one on the range marks it where it is", () => {
  const centred = scaleOf([-1, 4], "zero");
  assert.deepEqual([centred.from, centred.to, centred.zero], [-4, 4, 0.5]);
  const range = scaleOf([-1, 4], "range");
  assert.deepEqual([range.from, range.to, range.zero], [-1, 4, 0.2]);
  assert.equal(scaleOf([2, 4], "range").zero, null);
  for (const kind of ["zero", "range"]) assert.ok(Number.isFinite(scaleOf([], kind).share(0)) && Number.isFinite(scaleOf([3, 3], kind).share(3)));
});

test("both sides leave the middle in lightness, so that size is read without colour", () => {
  for (const dark of [false, true]) {
    const lights = Array.from({ length: 51 }, (_, i) => luminance(shade(i / 50, twoSided(dark)).paper.match(/\d+/g).map(Number)));
    const away = dark ? 1 : -1;
    for (let i = 26; i < 51; i++) assert.ok(away * (lights[i] - lights[i - 1]) > -1e-9, `${dark} ${i}`);
    for (let i = 25; i > 0; i--) assert.ok(away * (lights[i - 1] - lights[i]) > -1e-9, `${dark} ${i}`);
  }
});

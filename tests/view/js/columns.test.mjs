import assert from "node:assert/strict";
import { test } from "node:test";
import { columnsOf, fill, isKnown, missing } from "../../../src/mainstem/view/assets/columns.js";

globalThis.window = globalThis;

const KEYS = ["prob", "logprob", "rank", "entropy", "kl"];
const empty = (points) => ({ words: ["a"], target: [], top: Array.from({ length: points }, () => []), ...Object.fromEntries(KEYS.map((key) => [key, Array.from({ length: points }, () => [])])) });
const some = (first, end, points = 2) => {
  const row = (f) => Array.from({ length: end - first }, (_, i) => f(first + i));
  return { first, words: ["x", "y"], target: row((i) => i % 2), top: Array.from({ length: points }, () => row(() => 1)), ...Object.fromEntries(KEYS.map((key) => [key, Array.from({ length: points }, (_, p) => row((i) => i + p / 10))])) };
};
const rested = () => new Promise((resolve) => setTimeout(resolve, 150));

test("the first stretch that is not known, and no more than are asked for at once", () => {
  const known = (i) => i === 3 || i === 6;
  assert.deepEqual(missing(known, [0, 9]), [0, 3]);
  assert.deepEqual(missing(known, [3, 9]), [4, 6]);
  assert.deepEqual(missing(known, [0, 9], 2), [0, 2]);
  assert.equal(missing(() => true, [0, 9]), null);
  assert.equal(missing(known, [5, 5]), null);
});

test("columns stand where they belong, with their own words", () => {
  const record = empty(2);
  fill(record, some(4, 6));
  assert.equal(isKnown(record, 3), false);
  assert.equal(isKnown(record, 5), true);
  assert.equal(record.words[record.top[1][4]], "y");
  assert.equal(record.words[record.target[4]], "x");
  assert.equal(record.kl[1][5], 5.1);
});

test("what is seen is asked for, once, and the rest of it next", async () => {
  const record = empty(2);
  const asked = [];
  let came = 0;
  const columns = columnsOf(record, async (first, end) => (asked.push([first, end]), some(first, end)), () => came++);
  columns.see([10, 40]);
  await rested();
  assert.deepEqual(asked, [[10, 34], [34, 40]]);
  assert.equal(came, 2);
  columns.see([12, 38]);
  await rested();
  assert.equal(asked.length, 2);
});

test("what is no longer seen gives way, and an answer that comes late is not lost for good", async () => {
  const record = empty(2);
  const asked = [];
  const columns = columnsOf(record, (first, end) => new Promise((resolve) => asked.push({ first, end, resolve })), () => {});
  columns.see([0, 20]);
  await rested();
  columns.see([5, 25]);
  await rested();
  assert.equal(asked.length, 1, "some of it is seen still");
  columns.see([100, 120]);
  await rested();
  assert.deepEqual(asked.map(({ first, end }) => [first, end]), [[0, 20], [100, 120]]);
  asked[0].resolve(undefined);
  asked[1].resolve(some(100, 120));
  await rested();
  assert.equal(isKnown(record, 0), false);
  assert.equal(isKnown(record, 119), true);
  columns.see([0, 20]);
  await rested();
  assert.equal(asked.length, 3);
  columns.close();
});

test("where there is no answer it is not asked again by itself", async () => {
  let asked = 0;
  const columns = columnsOf(empty(2), async () => void asked++, () => {});
  columns.see([0, 20]);
  await rested();
  assert.equal(asked, 1);
  assert.equal(await columns.have(0, 5), false);
  assert.equal(asked, 2);
});

test("columns that are needed come a stretch after the other", async () => {
  const record = empty(2);
  const columns = columnsOf(record, async (first, end) => some(first, end), () => {});
  assert.equal(await columns.have(3, 63), true);
  assert.equal(missing((i) => isKnown(record, i), [3, 63]), null);
});

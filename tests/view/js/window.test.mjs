import assert from "node:assert/strict";
import { test } from "node:test";
import { moved, shown, span } from "../../../src/mainstem/view/assets/window.js";

test("what is seen is in the span, and little else", () => {
  for (const scrolled of [0, 1, 83, 84, 85, 5000, 84 * 2000]) {
    const [first, end] = span(scrolled, 600, 84, 2000, 3);
    assert.ok(first >= 0 && end <= 2000 && end >= first);
    for (let i = 0; i < 2000; i++) if ((i + 1) * 84 > scrolled && i * 84 < scrolled + 600) assert.ok(i >= first && i < end, `${i}`);
    assert.ok(end - first <= Math.ceil(600 / 84) + 8);
  }
  assert.deepEqual(span(0, 600, 84, 0), [0, 0]);
});

test("scrolling goes only as far as it must", () => {
  assert.equal(shown(100, 300, 50, 3), 100);
  assert.equal(shown(100, 300, 50, 1), 50);
  assert.equal(shown(0, 300, 50, 10), 250);
});

test("keys move and stop at the edges", () => {
  assert.deepEqual(moved("ArrowLeft", [0, 0], [13, 5]), [0, 0]);
  assert.deepEqual(moved("ArrowDown", [12, 4], [13, 5]), [12, 4]);
  assert.deepEqual(moved("End", [3, 0], [13, 5]), [3, 4]);
  assert.deepEqual(moved("PageDown", [3, 0], [13, 500]), [3, 10]);
  assert.equal(moved("x", [0, 0], [13, 5]), null);
});

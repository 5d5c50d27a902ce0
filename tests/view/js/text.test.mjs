import assert from "node:assert/strict";
import { test } from "node:test";
import { number, percent, pieces, short, small, spoken } from "../../../src/mainstem/view/assets/text.js";

test("a text without odd characters is one piece", () => {
  assert.deepEqual(pieces("<script>é漢"), [{ shown: "<script>é漢", mark: false }]);
  assert.deepEqual(pieces(""), []);
  assert.deepEqual(pieces(null), []);
});

test("what has no shape is given one", () => {
  assert.equal(spoken(" a\n\t\r"), "·a↵⇥␍");
  assert.equal(spoken("a\u202eb\u2066\u200b\ufeff"), "a⟨202e⟩b⟨2066⟩⟨200b⟩⟨feff⟩");
  assert.equal(spoken("\u0000\u001b\u007f\u0085"), "␀␛⟨007f⟩⟨0085⟩");
  assert.equal(spoken("\ud83d"), "⟨d83d⟩");
  assert.equal(spoken("😀"), "😀");
});

test("cutting keeps whole characters", () => {
  assert.equal(short("😀😀😀", 2), "😀…");
  assert.equal(short("abc", 3), "abc");
});

test("numbers", () => {
  assert.equal(number(-1.5), "−1.50");
  assert.equal(number(1.5, 1, true), "+1.5");
  assert.equal(number(0.0001), "1e−4");
  assert.equal(number(null), "n/a");
  assert.equal(small(1.24e-6), "1.2e−6");
  assert.equal(small(0), "0");
  assert.equal(percent(0.5), "50.0%");
  assert.equal(percent(1e-5), "<0.1%");
});

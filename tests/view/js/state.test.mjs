import assert from "node:assert/strict";
import { test } from "node:test";
import { Choices, hashOf, placeOf } from "../../../src/mainstem/view/assets/state.js";

const HARD = ["<script>&=?#", "a b+c%20", "\u202e", "漢\n😀", "=", "&&"];

test("an address holds any choices and gives them back", () => {
  for (const text of HARD) {
    const place = { page: "prompt", choices: { prompt: text, at: "3" } };
    assert.deepEqual(placeOf(hashOf(place)), place);
  }
});

test("what is unset is not in the address", () => {
  assert.equal(hashOf({ page: "prompt", choices: { a: "", b: undefined, c: null } }), "#prompt");
  assert.deepEqual(placeOf(""), { page: "", choices: {} });
});

test("a change is written and told, and null takes it back", () => {
  const written = [];
  const choices = new Choices({ a: "1", b: "2" }, (now, step) => written.push([{ ...now }, step]));
  const told = [];
  choices.changed = (before) => told.push(before);
  choices.set({ a: null, c: 3 }, true);
  assert.deepEqual(written, [[{ b: "2", c: "3" }, true]]);
  assert.deepEqual(told, [{ a: "1", b: "2" }]);
  assert.equal(choices.get("c"), "3");
  assert.equal(choices.get("a", "none"), "none");
});

test("what comes from the address is told and not written", () => {
  const choices = new Choices({}, () => assert.fail());
  let told = 0;
  choices.changed = () => { told += 1; };
  choices.take({ a: "1" });
  assert.equal(told, 1);
});

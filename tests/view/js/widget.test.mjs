import assert from "node:assert/strict";
import { test } from "node:test";
import { Superseded } from "../../../src/mainstem/view/assets/source.js";
import { asking } from "../../../src/mainstem/view/assets/widget.js";

/** A kernel that notes what it was sent. */
function kernel() {
  const sent = [];
  const hears = new Set();
  return {
    sent,
    send: (content) => sent.push(content),
    on: (_, does) => hears.add(does),
    off: (_, does) => hears.delete(does),
    says: (line) => { for (const does of hears) does(line); },
    hears,
  };
}

test("answers find their questions, whatever the order", async () => {
  const there = kernel();
  const { ask } = asking(there);
  const heard = [];
  const [one, two] = [ask("a", { x: 1 }, { heard: (progress) => heard.push(progress) }), ask("b", {})];
  there.says({ number: 2, answer: "two" });
  there.says({ number: 1, progress: { what: "on" } });
  there.says({ number: 1, answer: null });
  assert.deepEqual([await one, await two, heard], [null, "two", [{ what: "on" }]]);
  assert.deepEqual(there.sent[0], { number: 1, kind: "a", asked: { x: 1 } });
});

test("a newer question gives up the older one, errors are errors, and closing hears no more", async () => {
  const there = kernel();
  const { ask, close } = asking(there);
  const first = ask("a", {});
  const second = ask("a", {});
  await assert.rejects(first, Superseded);
  there.says({ number: 1, answer: 1 });
  there.says({ number: 2, error: "no" });
  await assert.rejects(second, { message: "no" });
  close();
  assert.equal(there.hears.size, 0);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { served } from "../../../src/mainstem/view/assets/served.js";
import { Superseded, nameOf, read, stored } from "../../../src/mainstem/view/assets/source.js";

/** A server that sends its lines cut anywhere. */
function server(text, size = 3, status = 200) {
  const bytes = new TextEncoder().encode(text);
  const body = new ReadableStream({
    start(control) {
      for (let i = 0; i < bytes.length; i += size) control.enqueue(bytes.slice(i, i + size));
      control.close();
    },
  });
  return async () => ({ ok: status === 200, status, body });
}

test("lines that come in pieces are put together", async () => {
  const heard = [];
  const text = '{"progress":{"what":"é","done":1,"of":2}}\n{"answer":{"a":"漢"}}\n';
  for (const size of [1, 2, 5, 1000]) {
    const ask = served("http://x/", server(text, size));
    assert.deepEqual(await ask("k", {}, { heard: (progress) => heard.push(progress) }), { a: "漢" });
  }
  assert.deepEqual(heard[0], { what: "é", done: 1, of: 2 });
  assert.equal(heard.length, 4);
});

test("an error is the error's text", async () => {
  await assert.rejects(served("", server('{"error":"no"}\n'))("k", {}), { message: "no" });
  await assert.rejects(served("", server("", 3, 413))("k", {}), /more than the server takes/);
  await assert.rejects(served("", server('{"progress":{}}\n'))("k", {}), /ended before/);
  await assert.rejects(served("", server('{"superseded":true}\n'))("k", {}), Superseded);
  await assert.rejects(served("", async () => { throw new TypeError("fetch failed"); })("k", {}), /was it stopped/);
});

test("a newer question of the lane gives up the older one, of another lane it does not", async () => {
  const send = (_, { signal, body }) => new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(new DOMException("gone", "AbortError")));
    if (body.includes("quick")) resolve(server('{"answer":1}\n')());
  });
  const ask = served("", send);
  const first = ask("k", { a: 1 });
  const other = ask("k", { a: 2 }, { lane: "other" });
  assert.equal(await ask("k", { quick: true }), 1);
  await assert.rejects(first, Superseded);
  assert.equal(await ask("k", { quick: true }, { lane: "other" }), 1);
  await assert.rejects(other, Superseded);
});

test("stored answers are found whatever the order, and unset choices do not count", async () => {
  const ask = stored([["k", { b: 1, a: "x" }, 7]]);
  assert.equal(await ask("k", { a: "x", b: 1, c: null, d: "" }), 7);
  await assert.rejects(ask("k", { a: "y", b: 1 }), /does not hold/);
  assert.notEqual(nameOf("k", { a: 1 }), nameOf("k", { a: "1" }));
});

test("halves of characters become the sign for that", () => {
  if (String.prototype.toWellFormed) assert.equal(read('"\\ud83d"'), "\ufffd");
  assert.deepEqual(read('{"__proto__":1}'), JSON.parse('{"__proto__":1}'));
});

/** Answers from the server. */

import { Superseded, read } from "./source.js";

/**
 * Asks the server. A newer question of the same lane (the kind, unless said) gives up the older one here and there.
 * @param {string} base the address, up to and with the token
 * @param {typeof fetch} [send]
 * @returns {import("./source.js").Ask}
 */
export function served(base, send = (...what) => fetch(...what)) {
  const page = Math.random().toString(36).slice(2);
  /** @type {Map<string, AbortController>} */
  const open = new Map();
  return async (kind, asked, { lane = kind, heard } = {}) => {
    open.get(lane)?.abort();
    const control = new AbortController();
    open.set(lane, control);
    try {
      const body = JSON.stringify({ page, lane, asked });
      const reply = await send(`${base}ask/${encodeURIComponent(kind)}`, { method: "POST", headers: { "content-type": "application/json" }, body, signal: control.signal });
      if (!reply.ok) throw new Error(reply.status === 413 ? "this is more than the server takes at once" : `the server answered ${reply.status}`);
      return await answer(reply.body, heard);
    } catch (error) {
      if (control.signal.aborted) throw new Superseded();
      throw error instanceof TypeError ? new Error("the server does not answer: was it stopped?") : error;
    } finally {
      if (open.get(lane) === control) open.delete(lane);
    }
  };
}

/** The answer at the end of a stream of lines. @param {ReadableStream<Uint8Array> | null} body @param {((progress: import("./source.js").Progress) => void) | undefined} heard */
async function answer(body, heard) {
  if (!body) throw new Error("the server answered nothing");
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    held += decoder.decode(value, { stream: !done });
    const lines = held.split("\n");
    held = lines.pop() ?? "";
    for (const line of lines) {
      const said = read(line);
      if ("answer" in said) return said.answer;
      if ("error" in said) throw new Error(said.error);
      if (said.superseded) throw new Superseded();
      if (said.progress) heard?.(said.progress);
    }
    if (done) throw new Error("the server ended before its answer did");
  }
}

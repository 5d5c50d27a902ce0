import assert from "node:assert/strict";
import { test } from "node:test";
import { csv } from "../../../src/mainstem/view/assets/export.js";

test("fields with commas, quotes and line ends are quoted", () => {
  const rows = [{ token: 'a,"b"\n', value: -1.5, none: null }, { token: " c", value: 0, none: undefined }];
  assert.equal(csv(rows), 'token,value,none\n"a,""b""\n",-1.5,\n c,0,\n');
});

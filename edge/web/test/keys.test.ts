import { expect, test } from "vitest";
import { Keys } from "../src/net/keys";

test("what was not answered is asked for again with the same key, and then anew", () => {
  const keys = new Keys();
  const first = keys.of("/v1/projects one");
  expect(keys.of("/v1/projects one")).toBe(first);
  expect(keys.of("/v1/projects two")).not.toBe(first);
  keys.answered("/v1/projects one");
  expect(keys.of("/v1/projects one")).not.toBe(first);
});

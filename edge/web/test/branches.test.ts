import { describe, expect, test } from "vitest";
import type { Message } from "../src/net/protocol";
import { choicesTo, path } from "../src/state/branches";
import { EMPTY_THREAD, turns } from "../src/state/thread";
import { answer, question } from "./make";

const asks = (id: string, parent: string | null = null) => question(id, { parent_message_id: parent });
const all = (...messages: Message[]) => turns({ ...EMPTY_THREAD, messages });
const ids = (shown: ReturnType<typeof path>) => shown.map(({ turn }) => turn.id);

// q1 ─ q2 ─ q3, then q2 said differently (q4) with q5 below, then q3 said differently (q6).
const line = all(asks("q1"), answer("a1", "q1", "r1"), asks("q2", "q1"), asks("q3", "q2"));
const tree = all(
  asks("q1"),
  answer("a1", "q1", "r1"),
  asks("q2", "q1"),
  asks("q3", "q2"),
  asks("q4", "q1"),
  asks("q5", "q4"),
);

describe("the path on the screen", () => {
  test("is everything where nothing was said differently", () => {
    expect(ids(path(line, {}))).toEqual(["q1", "q2", "q3"]);
    expect(path(line, {}).map(({ versions }) => versions.length)).toEqual([1, 1, 1]);
  });

  test("leads to the newest question, and knows the versions of each", () => {
    expect(ids(path(tree, {}))).toEqual(["q1", "q4", "q5"]);
    expect(path(tree, {})[1]?.versions).toEqual(["q2", "q4"]);
  });

  test("leads to the newest below an older fork, not to its newest sibling", () => {
    const late = all(asks("q1"), asks("q2", "q1"), asks("q3", "q1"), asks("q4", "q2"));
    expect(ids(path(late, {}))).toEqual(["q1", "q2", "q4"]);
  });

  test("follows a choice, and from there the newest way on", () => {
    expect(ids(path(tree, { q1: "q2" }))).toEqual(["q1", "q2", "q3"]);
    expect(ids(path(tree, { q1: "gone" }))).toEqual(["q1", "q4", "q5"]);
  });

  test("begins anew where the first question was said differently", () => {
    const anew = all(asks("q1"), asks("q2", "q1"), asks("q3"));
    expect(ids(path(anew, {}))).toEqual(["q3"]);
    expect(path(anew, {})[0]?.versions).toEqual(["q1", "q3"]);
    expect(ids(path(anew, { "": "q1" }))).toEqual(["q1", "q2"]);
  });

  test("begins with what is here where earlier messages are not", () => {
    const page = all(answer("a0", "q0", "r0"), asks("q1", "q0"), asks("q2", "q1"));
    expect(ids(path(page, {}))).toEqual(["a0", "q1", "q2"]);
  });

  test("is empty of nothing", () => {
    expect(path([], {})).toEqual([]);
  });
});

test("choices lead to any message, an answer included", () => {
  expect(ids(path(tree, choicesTo(tree, "q3")))).toEqual(["q1", "q2", "q3"]);
  expect(ids(path(tree, choicesTo(tree, "a1")))).toEqual(["q1", "q4", "q5"]);
  expect(choicesTo(tree, "nobody")).toEqual({});
});

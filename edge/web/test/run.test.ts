import { describe, expect, test } from "vitest";
import { applyDelta, begin, finish, merge, newRun, type Run } from "../src/state/run";
import { chance, snapshot } from "./make";

const streaming = (attempt = 1): Run => begin(newRun("r1", "m2", "m1"), attempt);
const delta = (from_seq: number, seq: number, text: string, attempt = 1) => ({
  attempt,
  from_seq,
  seq,
  text,
});

function after(run: Run, ...deltas: ReturnType<typeof delta>[]): Run {
  return deltas.reduce(applyDelta, run);
}

describe("the text of an answer", () => {
  test("is its deltas in order, several of which may share a frame", () => {
    const run = after(streaming(), delta(1, 1, "The "), delta(2, 4, "sea is "), delta(5, 5, "calm"));

    expect(run).toMatchObject({ text: "The sea is calm", seq: 5, hole: false });
  });

  test("does not repeat what comes twice", () => {
    const once = after(streaming(), delta(1, 1, "The "), delta(2, 3, "sea"));

    expect(after(once, delta(1, 1, "The "), delta(2, 3, "sea"))).toEqual(once);
  });

  test("is cut exactly where an overlapping frame begins", () => {
    const run = after(streaming(), delta(1, 2, "The "), delta(3, 4, "sea "), delta(3, 6, "sea is calm"));

    expect(run).toMatchObject({ text: "The sea is calm", seq: 6, hole: false });
  });

  test("is replaced by a frame that holds all of it", () => {
    const run = after(streaming(), delta(1, 2, "The "), delta(1, 4, "The sea"));

    expect(run).toMatchObject({ text: "The sea", seq: 4, hole: false });
  });

  test("is not guessed at where a delta is missing: the hole is named, and closed by what was missing", () => {
    const holed = after(streaming(), delta(1, 1, "The "), delta(3, 3, "calm"));
    expect(holed).toMatchObject({ text: "The ", seq: 1, hole: true });

    expect(after(holed, delta(2, 3, "sea is calm"))).toMatchObject({
      text: "The sea is calm",
      seq: 3,
      hole: false,
    });
  });

  test("is not guessed at where an overlap begins inside a frame", () => {
    const run = after(streaming(), delta(1, 3, "abc"), delta(3, 5, "cde"));

    expect(run).toMatchObject({ text: "abc", seq: 3, hole: true });
  });

  test("is the same whatever frames a connection repeats, cuts anew or loses and fetches again", () => {
    const seed = Date.now() % 1_000_000;
    const random = chance(seed);
    const pieces = Array.from({ length: 60 }, (_, n) => `w${n} `);
    const frame = (from: number, to: number) => delta(from, to, pieces.slice(from - 1, to).join(""));
    for (let round = 0; round < 60; round += 1) {
      let run = streaming();
      for (let steps = 0; run.seq < pieces.length && steps < 2_000; steps += 1) {
        const from = 1 + Math.floor(random() * Math.min(run.seq + 4, pieces.length));
        const to = Math.min(pieces.length, from + Math.floor(random() * 5));
        run = applyDelta(run, frame(from, to));
        if (run.hole) run = applyDelta(run, frame(run.seq + 1, Math.min(pieces.length, run.seq + 3)));

        expect(run.text, `seed ${seed}`).toBe(pieces.slice(0, run.seq).join(""));
      }
      expect(run.seq, `seed ${seed}`).toBe(pieces.length);
    }
  });
});

describe("another attempt", () => {
  test("forgets the text of the one before", () => {
    const run = after(begin(after(streaming(), delta(1, 2, "wrong")), 2), delta(1, 1, "right", 2));

    expect(run).toMatchObject({ text: "right", attempt: 2, seq: 1 });
  });

  test("is begun by its first delta, when the news of it was missed", () => {
    expect(after(streaming(), delta(1, 2, "wrong"), delta(1, 1, "right", 2))).toMatchObject({
      text: "right",
      attempt: 2,
    });
  });

  test("whose beginning was missed has a hole and no text", () => {
    expect(after(streaming(), delta(1, 2, "wrong"), delta(4, 4, "late", 2))).toMatchObject({
      text: "",
      seq: 0,
      attempt: 2,
      hole: true,
    });
  });

  test("is not disturbed by what is left of the one before", () => {
    const run = after(streaming(2), delta(1, 1, "right", 2));

    expect(after(run, delta(2, 2, "wrong", 1))).toBe(run);
    expect(begin(run, 1)).toBe(run);
  });

  test("told of twice keeps its text", () => {
    const run = after(streaming(2), delta(1, 1, "right", 2));

    expect(begin(run, 2)).toBe(run);
  });
});

describe("the end of a run", () => {
  const end = { attempt: 1, last_seq: 2, status: "completed", finish_reason: "stop" } as const;

  test("is final: nothing that comes later changes it", () => {
    const run = finish(after(streaming(), delta(1, 2, "done")), end);

    expect(run).toMatchObject({ status: "done", text: "done", hole: false });
    expect(applyDelta(run, delta(3, 3, "more"))).toBe(run);
    expect(begin(run, 2)).toBe(run);
    expect(finish(run, { ...end, status: "failed" })).toBe(run);
  });

  test("says when deltas are missing", () => {
    expect(finish(after(streaming(), delta(1, 1, "do")), end).hole).toBe(true);
  });

  test("of a run that never started is an end like any other", () => {
    const run = finish(newRun("r1", "m2", "m1"), { ...end, attempt: 0, last_seq: 0, status: "cancelled" });

    expect(run).toMatchObject({ status: "cancelled", hole: false });
  });
});

describe("a run in the reply of subscribe", () => {
  test("goes on where this page was, if the attempt is the same", () => {
    const run = merge(
      after(streaming(), delta(1, 2, "The ")),
      snapshot({ from_seq: 3, seq: 4, text: "sea" }),
    );

    expect(run).toMatchObject({ text: "The sea", seq: 4, status: "streaming" });
  });

  test("brings the whole text of another attempt", () => {
    const run = merge(
      after(streaming(), delta(1, 2, "wrong")),
      snapshot({ attempt: 2, seq: 3, text: "right" }),
    );

    expect(run).toMatchObject({ text: "right", attempt: 2, seq: 3 });
  });

  test("closes a hole", () => {
    const holed = after(streaming(), delta(1, 1, "a"), delta(3, 3, "c"));

    expect(merge(holed, snapshot({ from_seq: 2, seq: 3, text: "bc" }))).toMatchObject({
      text: "abc",
      hole: false,
    });
  });

  test("with nothing new changes no text", () => {
    const run = after(streaming(), delta(1, 2, "The "));

    expect(merge(run, snapshot({ from_seq: 3, seq: 2, text: "" }))).toMatchObject({
      text: "The ",
      seq: 2,
      hole: false,
    });
  });

  test("knows a queued one and one that has ended", () => {
    expect(merge(undefined, snapshot({ status: "queued", attempt: 0 })).status).toBe("queued");
    expect(merge(undefined, snapshot({ status: "failed", seq: 1, text: "a" }))).toMatchObject({
      status: "failed",
      text: "a",
    });
  });
});

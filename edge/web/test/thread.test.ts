import { describe, expect, test } from "vitest";
import type { Push } from "../src/net/protocol";
import {
  EMPTY_THREAD,
  olderLoaded,
  pushed,
  resumePoint,
  stoppable,
  subscribed,
  type Thread,
  turns,
} from "../src/state/thread";
import { answer, CONVERSATION, pushes, question, reply, snapshot } from "./make";

type ThreadPush = Extract<Push, { conversation_id: string }>;

const open = subscribed(EMPTY_THREAD, reply());
const told = (thread: Thread, ...list: ThreadPush[]): Thread => list.reduce(pushed, thread);
const asked = told(open, pushes.created(2, question("m1")), pushes.queued(), pushes.started());

/** What a person reads: each question with the texts and states of its answers. */
function screen(thread: Thread) {
  return turns(thread).map((turn) => [
    turn.question?.id ?? null,
    ...turn.answers.map((one) => `${one.status}: ${one.text}`),
  ]);
}

describe("an answer", () => {
  test("streams under its question and ends as its message", () => {
    const streaming = told(asked, pushes.delta(1, 1, "The "), pushes.delta(2, 2, "sea"));
    expect(screen(streaming)).toEqual([["m1", "streaming: The sea"]]);

    const message = answer("m2", "m1", "r1", { content: "The sea" });
    expect(screen(told(streaming, pushes.created(3, message), pushes.finished(2)))).toEqual([
      ["m1", "done: The sea"],
    ]);
  });

  test("looks the same whether its message or its end comes first", () => {
    const streaming = told(asked, pushes.delta(1, 2, "The sea"));
    const message = pushes.created(3, answer("m2", "m1", "r1", { content: "The sea" }));

    const one = told(streaming, message, pushes.finished(2));
    const other = told(streaming, pushes.finished(2), message);

    expect(turns(one)).toEqual(turns(other));
    expect([one.hole, other.hole]).toEqual([false, false]);
    expect([stoppable(one), stoppable(other)]).toEqual([null, null]);
  });

  test("whose message is here needs none of the deltas that did not come", () => {
    const message = pushes.created(3, answer("m2", "m1", "r1", { content: "The sea" }));

    expect(told(asked, pushes.delta(1, 1, "The "), message, pushes.finished(2)).hole).toBe(false);
  });

  test("that ends with deltas missing and no message asks for them", () => {
    expect(told(asked, pushes.delta(1, 1, "The "), pushes.finished(2)).hole).toBe(true);
  });

  test("that is told twice is there once", () => {
    const message = pushes.created(3, answer("m2", "m1", "r1", { content: "The sea" }));
    const whole = told(asked, pushes.delta(1, 2, "The sea"), message, pushes.finished(2));
    const twice = told(
      whole,
      pushes.queued(),
      pushes.started(),
      pushes.delta(1, 2, "The sea"),
      message,
      pushes.finished(2),
    );

    expect(turns(twice)).toEqual(turns(whole));
  });

  test("of a second attempt replaces the first, and says so", () => {
    const again = told(
      asked,
      pushes.delta(1, 2, "wrong"),
      pushes.restarted(2),
      pushes.delta(1, 1, "right", 2),
    );

    expect(screen(again)).toEqual([["m1", "streaming: right"]]);
    expect(turns(again)[0]?.answers[0]?.attempt).toBe(2);
  });

  test("that was taken back leaves no text", () => {
    const cut = told(asked, pushes.delta(1, 1, "The "), pushes.finished(1, "cancelled"));

    expect(screen(cut)).toEqual([["m1", "cancelled: "]]);
  });

  test("that failed keeps what there is of it, and why", () => {
    const failed = told(
      asked,
      pushes.delta(1, 1, "The "),
      pushes.finished(1, "failed", { error: { code: "agent_unavailable", message: "It does not answer." } }),
    );

    expect(turns(failed)[0]?.answers[0]).toMatchObject({
      status: "failed",
      text: "The ",
      reason: "agent_unavailable",
      detail: "It does not answer.",
    });
  });

  test("stands beside its elder siblings, oldest first", () => {
    const again = told(
      asked,
      pushes.created(3, answer("m2", "m1", "r1", { content: "one" })),
      pushes.finished(1),
      pushes.queued("r2", "m3"),
    );
    const done = told(again, pushes.created(4, answer("m3", "m1", "r2", { content: "two" })));

    expect(screen(again)).toEqual([["m1", "done: one", "queued: "]]);
    expect(screen(done)).toEqual([["m1", "done: one", "done: two"]]);
  });

  test("follows its question, though the next question was posted before it", () => {
    const busy = told(
      asked,
      pushes.created(3, question("m3")),
      pushes.queued("r2", "m4", "m3"),
      pushes.created(4, answer("m2", "m1", "r1", { content: "one" })),
    );

    expect(screen(busy)).toEqual([
      ["m1", "done: one"],
      ["m3", "queued: "],
    ]);
  });

  test("whose question nobody named belongs to the newest", () => {
    const thread = told(open, pushes.created(2, question("m1")), pushes.queued("r1", "m2", null));

    expect(screen(thread)).toEqual([["m1", "queued: "]]);
  });

  test("whose question is on an earlier page stands alone", () => {
    const thread = subscribed(EMPTY_THREAD, reply({ messages: [answer("m2", "m1", "r1"), question("m3")] }));

    expect(screen(thread)).toEqual([[null, "done: text of m2"], ["m3"]]);
  });
});

describe("a hole", () => {
  test("is noticed, and closed by the next subscription, which names how far this page got", () => {
    const holed = told(asked, pushes.delta(1, 1, "a"), pushes.delta(3, 3, "c"));
    expect(holed.hole).toBe(true);
    expect(resumePoint(CONVERSATION, holed)).toEqual({
      conversation_id: CONVERSATION,
      cursor: "e1:2",
      runs: { r1: { attempt: 1, seq: 1 } },
    });

    const mended = subscribed(
      holed,
      reply({ cursor: "e1:2", recovered: true, runs: [snapshot({ from_seq: 2, seq: 3, text: "bc" })] }),
    );
    expect(screen(mended)).toEqual([["m1", "streaming: abc"]]);
    expect(mended.hole).toBe(false);
  });

  test("is what a delta of an unknown run is", () => {
    expect(told(open, pushes.delta(1, 1, "a")).hole).toBe(true);
  });
});

describe("the reply of subscribe", () => {
  test("that recovered adds what is new to what is here", () => {
    const back = subscribed(
      told(asked, pushes.delta(1, 1, "The ")),
      reply({
        cursor: "e1:4",
        recovered: true,
        messages: [question("m3")],
        runs: [
          snapshot({ from_seq: 2, seq: 2, text: "sea" }),
          snapshot({ run_id: "r2", message_id: "m4", question_id: "m3", status: "queued", attempt: 0 }),
        ],
      }),
    );

    expect(screen(back)).toEqual([
      ["m1", "streaming: The sea"],
      ["m3", "queued: "],
    ]);
    expect(back.cursor).toBe("e1:4");
  });

  test("that did not recover takes the place of everything, and of no delta twice", () => {
    const anew = subscribed(
      told(asked, pushes.delta(1, 1, "The ")),
      reply({
        cursor: "e2:9",
        messages: [question("m1"), question("m8")],
        runs: [snapshot({ seq: 2, text: "The sea" })],
      }),
    );

    expect(screen(anew)).toEqual([["m1", "streaming: The sea"], ["m8"]]);
    expect(anew.cursor).toBe("e2:9");
  });

  test("that does not name a run which was open here says that it has ended", () => {
    // The connection broke between the two frames of one record: the message had come, the end had not.
    const cut = told(asked, pushes.created(3, answer("m2", "m1", "r1", { content: "The sea" })));
    const back = subscribed(cut, reply({ cursor: "e1:3", recovered: true }));

    expect(screen(back)).toEqual([["m1", "done: The sea"]]);
    expect(stoppable(back)).toBeNull();

    const unknown = subscribed(asked, reply({ cursor: "e1:3", recovered: true }));
    expect(stoppable(unknown)).toBeNull();
  });

  test("repeats no message that is here", () => {
    const back = subscribed(
      asked,
      reply({ cursor: "e1:2", recovered: true, messages: [question("m1")], runs: [snapshot()] }),
    );

    expect(screen(back)).toEqual([["m1", "streaming: "]]);
  });

  test("with a full page says that there may be more", () => {
    const many = Array.from({ length: 50 }, (_, n) => question(`q${n}`));

    expect(subscribed(EMPTY_THREAD, reply({ messages: many })).older).toBe(true);
    expect(subscribed(EMPTY_THREAD, reply({ messages: many.slice(1) })).older).toBe(false);
  });
});

test("earlier messages come before those that are here, none of them twice", () => {
  const page = [question("m0"), question("m1")];

  expect(olderLoaded(asked, page, "e1:1")).toMatchObject({ older: true, oldest: "e1:1" });
  const thread = olderLoaded(asked, page, null);

  expect(thread.messages.map((message) => message.id)).toEqual(["m0", "m1"]);
  expect(thread.older).toBe(false);
});

test("a cursor never goes back", () => {
  expect(told(asked, pushes.created(9, question("m5")), pushes.created(3, question("m4"))).cursor).toBe(
    "e1:9",
  );
});

describe("Stop", () => {
  test("stops the answer being written before one that waits", () => {
    expect(stoppable(told(asked, pushes.queued("r2", "m4", "m1")))?.id).toBe("r1");
  });

  test("stops one that waits when none is being written", () => {
    expect(stoppable(told(open, pushes.created(2, question("m1")), pushes.queued()))?.id).toBe("r1");
  });

  test("has nothing to stop in a conversation at rest", () => {
    expect(stoppable(open)).toBeNull();
  });
});

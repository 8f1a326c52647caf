import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ConnectionLost, Refused } from "../src/net/connection";
import { Deliveries } from "../src/net/deliveries";
import type { Command } from "../src/net/protocol";
import { Timers } from "../src/net/timers";
import { type Chat, EMPTY_CHAT, reduce } from "../src/state/chat";
import { Store } from "../src/state/store";

const refusal = (code: string, retryable: boolean) => new Refused({ code, message: "", retryable });
const born = vi.fn<(id: string) => void>();

let chat: Store<Chat>;
let online: boolean;
/** What reached the server, and how it answers: by default it accepts. */
let asked: Command[];
let answers: (Error | "never")[];
let deliveries: Deliveries;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("window", globalThis);
  born.mockReset();
  chat = new Store<Chat>(reduce(EMPTY_CHAT, { type: "project", projectId: "p1" }));
  online = true;
  asked = [];
  answers = [];
  deliveries = new Deliveries({
    chat,
    timers: new Timers(),
    dispatch: (action) => chat.set(reduce(chat.get(), action)),
    online: () => online,
    request: <T>(command: Command): Promise<T> => {
      asked.push(command);
      const answer = answers.shift();
      if (answer === "never") return new Promise<T>(() => undefined);
      if (answer !== undefined) return Promise.reject(answer);
      return Promise.resolve({ message_id: `m${asked.length}` } as T);
    },
    born,
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const settled = () => vi.advanceTimersByTimeAsync(0);
const texts = () => asked.map((one) => ("content" in one ? one.content : one.type));
const ids = () => asked.flatMap((one) => (one.type === "message.send" ? [one.client_message_id] : []));
const states = () => chat.get().outbox.map((entry) => entry.status);

describe("what was written", () => {
  test("makes its conversation first, and is then shown there", async () => {
    const id = deliveries.write(null, "# Tide\nwhen?", "enqueue");
    await settled();

    expect(asked).toMatchObject([
      { type: "conversation.create", conversation_id: id, project_id: "p1" },
      { type: "message.send", conversation_id: id, content: "# Tide\nwhen?", when_busy: "enqueue" },
    ]);
    expect(born.mock.calls).toEqual([[id]]);
    expect(states()).toEqual(["sent"]);
  });

  test("goes out one by one in the order of writing", async () => {
    answers = ["never"];
    deliveries.write("c1", "one", "enqueue");
    deliveries.write("c1", "two", "enqueue");
    deliveries.write("c2", "elsewhere", "enqueue");
    await settled();

    expect(texts()).toEqual(["one", "elsewhere"]);
  });

  test("goes out again under the same id after a lost connection, and what was behind it follows", async () => {
    answers = [new ConnectionLost()];
    deliveries.write("c1", "one", "enqueue");
    online = false;
    deliveries.write("c1", "two", "enqueue");
    await settled();
    expect(states()).toEqual(["waiting", "waiting"]);

    online = true;
    deliveries.flush();
    await settled();
    expect(texts()).toEqual(["one", "one", "two"]);
    expect(ids()[0]).toBe(ids()[1]);
    expect(states()).toEqual(["sent", "sent"]);
  });

  test("does not make its conversation twice when only the message was lost", async () => {
    deliveries.write(null, "one", "enqueue");
    expect(texts()).toEqual(["conversation.create"]);
    asked.splice(0);
    answers = [new ConnectionLost()];
    await settled();
    deliveries.flush();
    await settled();

    expect(texts()).toEqual(["one", "one"]);
  });

  test("is tried again when the server cannot take it now, as soon as it said", async () => {
    answers = [new Refused({ code: "rate_limited", message: "", retryable: true, retry_after_ms: 4_000 })];
    deliveries.write("c1", "one", "enqueue");
    await vi.advanceTimersByTimeAsync(3_900);
    expect(texts()).toEqual(["one"]);

    await vi.advanceTimersByTimeAsync(200);
    expect([texts(), states()]).toEqual([["one", "one"], ["sent"]]);
  });

  test("stays on the screen with the reason when it is refused, and holds up nothing behind it", async () => {
    answers = [refusal("insufficient_credits", false)];
    deliveries.write("c1", "one", "enqueue");
    deliveries.write("c1", "two", "enqueue");
    await settled();

    expect(chat.get().outbox).toMatchObject([
      { content: "one", status: "refused", code: "insufficient_credits" },
      { content: "two", status: "sent" },
    ]);
  });

  test("and was refused goes out under another id when the person sends it again", async () => {
    answers = [refusal("conversation_busy", false)];
    deliveries.write("c1", "one", "reject");
    await settled();
    const [entry] = chat.get().outbox;
    if (entry !== undefined) deliveries.resend(entry);
    await settled();

    expect(texts()).toEqual(["one", "one"]);
    expect(ids()[0]).not.toBe(ids()[1]);
    expect(states()).toEqual(["sent"]);
  });

  test("and would break the connection is refused here", async () => {
    deliveries.write("c1", "\u0001".repeat(16_000), "enqueue");
    await settled();

    expect(asked).toEqual([]);
    expect(chat.get().outbox).toMatchObject([{ status: "refused", code: "too_large" }]);
  });

  test("and discarded takes the conversation that it would have made with it", async () => {
    answers = [refusal("forbidden", false)];
    const id = deliveries.write(null, "one", "enqueue");
    await settled();
    expect(Object.keys(chat.get().conversations)).toEqual([id]);

    const [entry] = chat.get().outbox;
    if (entry !== undefined) deliveries.discard(entry);
    expect([chat.get().conversations, chat.get().outbox]).toEqual([{}, []]);
  });
});

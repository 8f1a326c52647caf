import { describe, expect, test } from "vitest";
import type { Push } from "../src/net/protocol";
import { type Action, type Chat, EMPTY_CHAT, reduce, shelf, titleFrom, titleOf } from "../src/state/chat";
import { nextToSend, worthKeeping } from "../src/state/outbox";
import { CONVERSATION, conversation, outgoing, pushes, question, reply } from "./make";

const after = (chat: Chat, ...actions: Action[]): Chat => actions.reduce(reduce, chat);
const push = (one: Push): Action => ({ type: "push", push: one });
const list = (
  conversations = [conversation()],
  change: Partial<Extract<Action, { type: "listed" }>> = {},
): Action => ({
  type: "listed",
  projectId: "p1",
  archived: false,
  first: true,
  conversations,
  nextCursor: null,
  ...change,
});
const titles = (chat: Chat, archived = false) => shelf(chat, archived).map((one) => titleOf(chat, one));
const HERE = after(EMPTY_CHAT, { type: "project", projectId: "p1" });

const opened = after(
  HERE,
  list(),
  { type: "opened", id: CONVERSATION },
  { type: "subscribed", id: CONVERSATION, reply: reply() },
);
const written = after(opened, { type: "written", entry: outgoing() });
const acknowledged: Action = { type: "acknowledged", clientMessageId: "k1", messageId: "m1" };

describe("a message on its way", () => {
  test("leaves the outbox when the conversation shows it, whether that or the acknowledgement comes first", () => {
    const created = push(pushes.created(2, question("m1")));

    expect(after(written, acknowledged).outbox).toMatchObject([{ status: "sent", messageId: "m1" }]);
    expect(after(written, acknowledged, created).outbox).toEqual([]);
    expect(after(written, created, acknowledged).outbox).toEqual([]);
  });

  test("is known by its own id before any acknowledgement", () => {
    const created = push(pushes.created(2, question("m1", { client_message_id: "k1" })));

    expect(after(written, created).outbox).toEqual([]);
  });

  test("leaves the outbox when a subscription shows it", () => {
    const again: Action = {
      type: "subscribed",
      id: CONVERSATION,
      reply: reply({ messages: [question("m1")] }),
    };

    expect(after(written, acknowledged, again).outbox).toEqual([]);
  });

  test("comes back with a reason when it is rejected after the acknowledgement", () => {
    const rejected = push({
      type: "message.rejected",
      conversation_id: CONVERSATION,
      message_id: "m1",
      client_message_id: "k1",
      code: "conversation_archived",
    });

    expect(after(written, acknowledged, rejected).outbox).toMatchObject([
      { status: "refused", code: "conversation_archived", content: "hello" },
    ]);
  });

  test("comes back too when the rejection is told on resuming", () => {
    const resumed: Action = {
      type: "subscribed",
      id: CONVERSATION,
      reply: reply({ rejected: [{ message_id: "m1", client_message_id: "k1", code: "forbidden" }] }),
    };

    expect(after(written, acknowledged, resumed).outbox).toMatchObject([
      { status: "refused", code: "forbidden" },
    ]);
  });

  test("stays where it is when another text holds its id", () => {
    const mismatch = push({
      type: "message.rejected",
      conversation_id: CONVERSATION,
      message_id: "m1",
      client_message_id: "k1",
      code: "idempotency_mismatch",
    });

    expect(after(written, acknowledged, mismatch)).toEqual(after(written, acknowledged));
  });

  test("is in the outbox once, however often it is read back", () => {
    expect(after(written, { type: "written", entry: outgoing() }).outbox).toHaveLength(1);
  });

  test("brings its conversation onto the list before the server knows it, and once its message came it stays", () => {
    const entry = outgoing({ conversationId: "new", content: "Tide", opens: { projectId: "p1" } });
    const early = after(opened, { type: "written", entry });

    expect(titles(early)).toEqual(["Tide", "Sea"]);
    // A list that was asked for before does not know it.
    expect(titles(after(early, list()))).toEqual(["Tide", "Sea"]);
  });
});

describe("sending", () => {
  test("goes one by one in each conversation, in the order of writing", () => {
    const outbox = [
      outgoing(),
      outgoing({ clientMessageId: "k2" }),
      outgoing({ clientMessageId: "k3", conversationId: "c2" }),
    ];
    const ids = (busy: string[]) => nextToSend(outbox, new Set(busy)).map((entry) => entry.clientMessageId);

    expect(ids([])).toEqual(["k1", "k3"]);
    expect(ids([CONVERSATION])).toEqual(["k3"]);
  });

  test("passes over what was refused or has arrived", () => {
    const outbox = [
      outgoing({ status: "refused" }),
      outgoing({ clientMessageId: "k2", status: "sent" }),
      outgoing({ clientMessageId: "k3" }),
    ];

    expect(nextToSend(outbox, new Set()).map((entry) => entry.clientMessageId)).toEqual(["k3"]);
  });

  test("keeps through a reload what is not known to be stored", () => {
    expect(
      (["waiting", "refused", "sent"] as const).map((status) => worthKeeping(outgoing({ status }))),
    ).toEqual([true, true, false]);
  });
});

describe("the list", () => {
  test("has the newest activity first", () => {
    const chat = after(
      HERE,
      list([conversation(), conversation({ id: "c2", title: "Later", updated_at: "2026-01-02T00:00:00Z" })]),
      {
        type: "opened",
        id: CONVERSATION,
      },
    );
    expect(titles(chat)).toEqual(["Later", "Sea"]);

    const spoken = after(
      chat,
      push(pushes.created(2, question("m1", { created_at: "2026-01-03T00:00:00Z" }))),
    );
    expect(titles(spoken)).toEqual(["Sea", "Later"]);
  });

  test("follows what other windows create, rename, archive and delete", () => {
    const other = conversation({ id: "c2", title: "Elsewhere", updated_at: "2026-01-02T00:00:00Z" });
    const created = after(
      opened,
      push({ type: "conversation.created", cursor: "e1:1", conversation: other }),
    );
    expect(titles(created)).toEqual(["Elsewhere", "Sea"]);

    const archived = after(
      created,
      push({ type: "conversation.updated", cursor: "e1:2", conversation: { ...other, archived: true } }),
    );
    expect([titles(archived), titles(archived, true)]).toEqual([["Sea"], ["Elsewhere"]]);

    const deleted = after(
      archived,
      push({ type: "conversation.deleted", cursor: "e1:3", conversation: other }),
    );
    expect(titles(deleted, true)).toEqual([]);
  });

  test("forgets on a fresh first page what is gone, and adds what a further page brings", () => {
    const two = after(
      HERE,
      list([
        conversation({ id: "c8", title: "Gone" }),
        conversation({ id: "c9", title: "Put away", archived: true }),
      ]),
    );
    const fresh = after(two, list([conversation()], { nextCursor: "n" }));
    expect([titles(fresh), titles(fresh, true)]).toEqual([["Sea"], ["Put away"]]);

    const more = after(
      fresh,
      list([conversation({ id: "c2", title: "Old", updated_at: "2025-01-01T00:00:00Z" })], { first: false }),
    );
    expect(titles(more)).toEqual(["Sea", "Old"]);
    expect(more.shelves.active).toEqual({ loaded: true, nextCursor: null });
  });

  test("hides what is being deleted, and shows it again when that is undone", () => {
    const removing = after(opened, { type: "removing", id: CONVERSATION, removing: true });
    expect(titles(removing)).toEqual([]);

    expect(titles(after(removing, { type: "removing", id: CONVERSATION, removing: false }))).toEqual(["Sea"]);
  });

  test("and the thread of a deleted conversation are gone together", () => {
    const gone = after(
      written,
      push({ type: "conversation.deleted", cursor: "e1:2", conversation: conversation() }),
    );

    expect([gone.conversations, gone.threads, gone.outbox]).toEqual([{}, {}, []]);
  });
});

describe("a conversation", () => {
  test("that the server refuses to show is missing; one that it could not show now is asked for again", () => {
    const refused = (retryable: boolean) =>
      after(
        opened,
        push({
          type: "subscribed",
          conversation_id: CONVERSATION,
          error: { code: retryable ? "unavailable" : "not_found", message: "", retryable },
        }),
      ).threads[CONVERSATION];

    expect(refused(false)).toMatchObject({ missing: true, hole: false });
    expect(refused(true)).toMatchObject({ missing: false, hole: true });
  });

  test("takes its name and state from the subscription", () => {
    const renamed: Action = {
      type: "subscribed",
      id: CONVERSATION,
      reply: reply({ state: conversation({ title: "Ocean" }) }),
    };

    expect(titles(after(opened, renamed))).toEqual(["Ocean"]);
  });

  test("that nobody looks at takes no messages, and a push of an unknown kind changes nothing", () => {
    const unseen = after(EMPTY_CHAT, push(pushes.created(2, question("m1"))));
    expect(unseen.threads).toEqual({});

    expect(after(opened, push({ type: "agent.status" } as unknown as Push))).toBe(opened);
  });
});

test("a run that was asked to stop is stopping until it ends", () => {
  const stopping = after(opened, push(pushes.started()), { type: "stopping", runId: "r1", stopping: true });
  expect(stopping.stopping).toEqual({ r1: true });

  expect(after(stopping, push(pushes.finished(0, "cancelled"))).stopping).toEqual({});
});

describe("the title of a new conversation", () => {
  test.each([
    ["How deep is the sea?", "How deep is the sea?"],
    ["\n\n  # A heading\nand more", "A heading"],
    ["`code` and **bold**", "code and bold"],
    [
      "Một câu hỏi dài về biển và những con sóng lúc bình minh ở miền Trung Việt Nam",
      "Một câu hỏi dài về biển và những con sóng lúc bình minh ở…",
    ],
    ["x".repeat(80), `${"x".repeat(60)}…`],
    ["🌊".repeat(70), `${"🌊".repeat(60)}…`],
    ["```", ""],
  ])("is how its first message begins: %j", (content, title) => {
    expect(titleFrom(content)).toBe(title);
  });
});

describe("other people", () => {
  const typing = (userId: string): Action =>
    push({ type: "typing", conversation_id: CONVERSATION, user_id: userId, expires_in_ms: 5_000 });
  const writers = (chat: Chat) => Object.keys(chat.typing[CONVERSATION] ?? {});

  test("write until their message comes, or until they have not said so for a while", () => {
    const two = after(opened, typing("u2"), typing("u3"));
    expect(writers(two)).toEqual(["u2", "u3"]);

    const sent = after(two, push(pushes.created(2, question("m1", { author_id: "u2" }))));
    expect(writers(sent)).toEqual(["u3"]);
    expect(writers(after(sent, { type: "tick", now: Date.now() }))).toEqual(["u3"]);
    expect(writers(after(sent, { type: "tick", now: Date.now() + 6_000 }))).toEqual([]);
  });

  test("are there as the subscription says, and come and go", () => {
    const there = after(opened, {
      type: "subscribed",
      id: CONVERSATION,
      reply: reply({ present: [{ user_id: "u2", status: "online" }] }),
    });
    const seen = (user_id: string, status: string): Action =>
      push({ type: "presence", conversation_id: CONVERSATION, user_id, status });

    expect(after(there, seen("u3", "away")).present[CONVERSATION]).toEqual({ u2: "online", u3: "away" });
    expect(after(there, seen("u2", "offline")).present[CONVERSATION]).toEqual({});
  });
});

describe("a project", () => {
  const elsewhere = conversation({ id: "c7", project_id: "p2", title: "There" });

  test("shows its own conversations only, though all projects' are told of", () => {
    const told = after(
      opened,
      push({ type: "conversation.created", cursor: "e1:1", conversation: elsewhere }),
    );
    expect(titles(told)).toEqual(["Sea"]);
    expect(titles(after(told, { type: "project", projectId: "p2" }))).toEqual(["There"]);
  });

  test("that is no longer on the screen keeps the other's list as it is", () => {
    const late = after(
      opened,
      { type: "project", projectId: "p2" },
      list([conversation({ id: "c5" })], { nextCursor: "more" }),
    );
    expect(late.shelves.active).toEqual({ loaded: false, nextCursor: null });
  });

  test("keeps a pin of one's own when others change the conversation", () => {
    const pinned = after(
      opened,
      { type: "changed", id: CONVERSATION, change: { pinned: true } },
      push({ type: "conversation.updated", cursor: "e1:2", conversation: conversation({ title: "Ocean" }) }),
    );
    expect(pinned.conversations[CONVERSATION]).toMatchObject({ title: "Ocean", pinned: true });
  });
});

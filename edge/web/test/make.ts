/** Frames for the tests, with everything that a test does not care about filled in. */
import type { Conversation, Message, Push, RunSnapshot, SubscribeReply } from "../src/net/protocol";
import type { Outgoing } from "../src/state/outbox";

export const CONVERSATION = "c1";
export const AT = "2026-01-01T00:00:00Z";

export function conversation(change: Partial<Conversation> = {}): Conversation {
  return {
    id: CONVERSATION,
    project_id: "p1",
    title: "Sea",
    archived: false,
    agent_id: "a1",
    created_at: AT,
    updated_at: AT,
    ...change,
  };
}

export function question(id: string, change: Partial<Message> = {}): Message {
  return {
    id,
    role: "user",
    author_id: "u1",
    agent_id: null,
    content: `text of ${id}`,
    run_id: null,
    parent_message_id: null,
    created_at: AT,
    finish_reason: null,
    ...change,
  };
}

export function answer(
  id: string,
  questionId: string,
  runId: string,
  change: Partial<Message> = {},
): Message {
  return question(id, {
    role: "assistant",
    author_id: null,
    agent_id: "a1",
    run_id: runId,
    parent_message_id: questionId,
    finish_reason: "stop",
    ...change,
  });
}

export function snapshot(change: Partial<RunSnapshot> = {}): RunSnapshot {
  return {
    run_id: "r1",
    message_id: "m2",
    agent_id: "a1",
    question_id: "m1",
    status: "in_progress",
    attempt: 1,
    from_seq: 1,
    seq: 0,
    text: "",
    ...change,
  };
}

export function reply(change: Partial<SubscribeReply> = {}): SubscribeReply {
  return {
    cursor: "e1:1",
    recovered: false,
    state: conversation(),
    messages: [],
    runs: [],
    rejected: [],
    ...change,
  };
}

export function outgoing(change: Partial<Outgoing> = {}): Outgoing {
  return {
    clientMessageId: "k1",
    conversationId: CONVERSATION,
    content: "hello",
    whenBusy: "enqueue",
    writtenAt: Date.parse(AT) + 1_000,
    opens: null,
    edits: null,
    status: "waiting",
    messageId: null,
    code: null,
    ...change,
  };
}

export const pushes = {
  created: (position: number, message: Message) =>
    ({
      type: "message.created",
      conversation_id: CONVERSATION,
      cursor: `e1:${position}`,
      message,
    }) satisfies Push,
  queued: (runId = "r1", messageId = "m2", questionId: string | null = "m1") =>
    ({
      type: "run.queued",
      run_id: runId,
      conversation_id: CONVERSATION,
      message_id: messageId,
      agent_id: "a1",
      attempt: 0,
      question_id: questionId,
    }) satisfies Push,
  started: (attempt = 1, runId = "r1", messageId = "m2", questionId: string | null = "m1") =>
    ({
      type: "run.started",
      run_id: runId,
      conversation_id: CONVERSATION,
      message_id: messageId,
      agent_id: "a1",
      attempt,
      question_id: questionId,
    }) satisfies Push,
  delta: (from_seq: number, seq: number, text: string, attempt = 1, runId = "r1") =>
    ({
      type: "run.delta",
      run_id: runId,
      conversation_id: CONVERSATION,
      attempt,
      from_seq,
      seq,
      text,
    }) satisfies Push,
  restarted: (attempt: number, runId = "r1") =>
    ({ type: "run.restarted", run_id: runId, conversation_id: CONVERSATION, attempt }) satisfies Push,
  finished: (last_seq: number, status = "completed", change: object = {}) =>
    ({
      type: "run.finished",
      run_id: "r1",
      conversation_id: CONVERSATION,
      attempt: 1,
      last_seq,
      status,
      finish_reason: status === "completed" ? "stop" : status === "cancelled" ? "cancelled" : "error",
      ...change,
    }) satisfies Push,
};

/** A repeatable source of chance (mulberry32). */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

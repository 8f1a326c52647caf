/** One conversation on the screen: its messages, its runs, and how far it got. */
import {
  further,
  type Message,
  type Push,
  type ResumePoint,
  type RunCursor,
  type SubscribeReply,
} from "../net/protocol";
import { applyDelta, begin, finish, isOpen, merge, newRun, type Run, type RunStatus } from "./run";

export interface Thread {
  /** Null until the first reply of `subscribe`. */
  cursor: string | null;
  /** In the conversation's own order. */
  messages: readonly Message[];
  /** In the order in which they became known. */
  runs: Readonly<Record<string, Run>>;
  /** Whether there may be messages before the first one. */
  older: boolean;
  /** Where the earliest page began that was read; null while none was. */
  oldest: string | null;
  /** Something is missing that only a new subscription brings. */
  hole: boolean;
  /** The server refused to show it: deleted, or not this person's. */
  missing: boolean;
}

export const EMPTY_THREAD: Thread = {
  cursor: null,
  messages: [],
  runs: {},
  older: false,
  oldest: null,
  hole: false,
  missing: false,
};

/** As many messages as a reply without a cursor holds at most. */
export const SNAPSHOT_MESSAGES = 50;

export function subscribed(thread: Thread, reply: SubscribeReply): Thread {
  const from = reply.recovered ? thread : { ...EMPTY_THREAD, runs: thread.runs };
  const runs: Record<string, Run> = {};
  const told = new Map(reply.runs.map((run) => [run.run_id, run]));
  for (const run of Object.values(from.runs)) {
    // A run that was open here and is not told of has ended before the cursor: the reply names every open one.
    if (told.has(run.id)) continue;
    if (reply.recovered && !isOpen(run)) runs[run.id] = run;
    else if (reply.recovered) runs[run.id] = { ...run, status: "cancelled", hole: false };
  }
  for (const snapshot of reply.runs) runs[snapshot.run_id] = merge(from.runs[snapshot.run_id], snapshot);
  return {
    cursor: reply.cursor,
    messages: added(from.messages, reply.messages),
    runs,
    older: reply.recovered ? thread.older : reply.messages.length >= SNAPSHOT_MESSAGES,
    oldest: from.oldest,
    hole: Object.values(runs).some((run) => run.hole && isOpen(run)),
    missing: false,
  };
}

/**
 * A page of earlier messages, put before those that are here. `oldest` is the page's first cursor; null where the
 * page was the last. The first page overlaps: the messages of a subscription do not say where they stand.
 */
export function olderLoaded(thread: Thread, page: readonly Message[], oldest: string | null): Thread {
  const known = new Set(thread.messages.map((message) => message.id));
  return {
    ...thread,
    messages: [...page.filter((message) => !known.has(message.id)), ...thread.messages],
    older: oldest !== null,
    oldest: oldest ?? thread.oldest,
  };
}

type ThreadPush = Extract<Push, { conversation_id: string }>;

export function pushed(thread: Thread, push: ThreadPush): Thread {
  switch (push.type) {
    case "message.created":
      return {
        ...thread,
        cursor: further(thread.cursor, push.cursor),
        messages: added(thread.messages, [push.message]),
      };
    case "run.queued":
      return push.run_id in thread.runs
        ? thread
        : withRun(thread, newRun(push.run_id, push.message_id, push.question_id ?? null));
    case "run.started": {
      const run = thread.runs[push.run_id] ?? newRun(push.run_id, push.message_id, push.question_id ?? null);
      return withRun(thread, begin(run, push.attempt));
    }
    case "run.restarted": {
      const run = thread.runs[push.run_id];
      return run === undefined ? { ...thread, hole: true } : withRun(thread, begin(run, push.attempt));
    }
    case "run.delta": {
      const run = thread.runs[push.run_id];
      return run === undefined ? { ...thread, hole: true } : withRun(thread, applyDelta(run, push));
    }
    case "run.finished": {
      const run = thread.runs[push.run_id];
      if (run === undefined) return thread;
      const ended = finish(run, push);
      // The message holds the whole text; without it, what did not arrive is fetched.
      const whole = thread.messages.some((message) => message.id === run.messageId);
      return withRun(thread, whole ? { ...ended, hole: false } : ended);
    }
    default:
      return thread;
  }
}

function withRun(thread: Thread, run: Run): Thread {
  return { ...thread, runs: { ...thread.runs, [run.id]: run }, hole: thread.hole || run.hole };
}

function added(known: readonly Message[], more: readonly Message[]): readonly Message[] {
  const ids = new Set(known.map((message) => message.id));
  const fresh = more.filter((message) => !ids.has(message.id));
  return fresh.length === 0 ? known : [...known, ...fresh];
}

/** What to tell the server so that it sends what this thread lacks, and nothing that it has. */
export function resumePoint(conversationId: string, thread: Thread): ResumePoint {
  if (thread.cursor === null) return { conversation_id: conversationId };
  const runs: Record<string, RunCursor> = {};
  for (const run of Object.values(thread.runs)) {
    if (isOpen(run) && run.attempt > 0) runs[run.id] = { attempt: run.attempt, seq: run.seq };
  }
  return { conversation_id: conversationId, cursor: thread.cursor, runs };
}

export interface Answer {
  /** The message's id, known from the moment the run is. */
  id: string;
  runId: string | null;
  text: string;
  status: RunStatus;
  /** Why it ended early, where it did. */
  reason: string | null;
  /** A sentence of the server's, for a reason that this page has no words for. */
  detail: string | null;
  /** 2 and above: the text of an attempt before was taken back. */
  attempt: number;
  /** What it took, where it was counted. */
  usage: Message["usage"];
}

/** A question and its answers, oldest first. An answer whose question is on an earlier page stands alone. */
export interface Turn {
  id: string;
  question: Message | null;
  answers: readonly Answer[];
}

/**
 * The thread in reading order: each question followed by its answers, though a queued question may have been
 * posted long before the answer to the one before it was.
 */
export function turns(thread: Thread): readonly Turn[] {
  const list: { id: string; question: Message | null; answers: Answer[] }[] = [];
  const byQuestion = new Map<string, { answers: Answer[] }>();
  for (const message of thread.messages) {
    if (message.role !== "user") continue;
    const turn = { id: message.id, question: message, answers: [] };
    byQuestion.set(message.id, turn);
    list.push(turn);
  }
  const answered = new Set<string>();
  const alone: typeof list = [];
  for (const message of thread.messages) {
    if (message.role === "user") continue;
    answered.add(message.id);
    const answer = fromMessage(message, message.run_id ? thread.runs[message.run_id] : undefined);
    const turn = message.parent_message_id ? byQuestion.get(message.parent_message_id) : undefined;
    if (turn) turn.answers.push(answer);
    else alone.push({ id: message.id, question: null, answers: [answer] });
  }
  for (const run of Object.values(thread.runs)) {
    if (answered.has(run.messageId)) continue;
    const turn = (run.questionId ? byQuestion.get(run.questionId) : undefined) ?? list.at(-1);
    if (turn) turn.answers.push(fromRun(run));
    else alone.push({ id: run.messageId, question: null, answers: [fromRun(run)] });
  }
  return [...alone, ...list];
}

function fromMessage(message: Message, run: Run | undefined): Answer {
  const reason = message.finish_reason;
  return {
    id: message.id,
    runId: message.run_id,
    text: message.content,
    status: reason === "cancelled" ? "cancelled" : reason === "error" ? "failed" : "done",
    reason: run?.error?.code ?? (reason === "stop" ? null : reason),
    detail: run?.error?.message ?? null,
    attempt: run?.attempt ?? 1,
    usage: message.usage,
  };
}

function fromRun(run: Run): Answer {
  return {
    id: run.messageId,
    runId: run.id,
    // What was cut and is in no message has been taken back.
    text: run.status === "cancelled" ? "" : run.text,
    status: run.status,
    reason: run.error?.code ?? run.finishReason,
    detail: run.error?.message ?? null,
    attempt: run.attempt,
    usage: null,
  };
}

/** The run that Stop stops: the one being written, else the first that waits. */
export function stoppable(thread: Thread): Run | null {
  const answered = new Set(thread.messages.map((message) => message.id));
  const open = Object.values(thread.runs).filter((run) => isOpen(run) && !answered.has(run.messageId));
  return open.find((run) => run.status === "streaming") ?? open[0] ?? null;
}

/**
 * One answer being written: its text as the sum of numbered deltas.
 *
 * Frames may repeat, overlap, or leave a hole when a connection was lost; the text never shows a word twice or
 * out of place. A hole is not guessed at: `hole` asks for the missing deltas by a new subscription.
 */
import type { FinishReason, RunError, RunSnapshot } from "../net/protocol";

export type RunStatus = "queued" | "streaming" | "done" | "cancelled" | "failed";

export interface Run {
  id: string;
  /** The message that will hold the answer. */
  messageId: string;
  /** The message that is answered; null where nobody said. */
  questionId: string | null;
  status: RunStatus;
  attempt: number;
  /** The last delta in `text`. */
  seq: number;
  text: string;
  /** Where frames ended: pairs of delta number and length of the text, so that an overlap can be cut exactly. */
  marks: readonly (readonly [seq: number, length: number])[];
  /** Deltas after `seq` exist that did not arrive. */
  hole: boolean;
  finishReason: FinishReason | null;
  error: RunError | null;
}

export interface Delta {
  attempt: number;
  from_seq: number;
  seq: number;
  text: string;
}

export function newRun(id: string, messageId: string, questionId: string | null): Run {
  return {
    id,
    messageId,
    questionId,
    status: "queued",
    attempt: 0,
    seq: 0,
    text: "",
    marks: [],
    hole: false,
    finishReason: null,
    error: null,
  };
}

export function isOpen(run: Run): boolean {
  return run.status === "queued" || run.status === "streaming";
}

/** An attempt begins, or takes the place of an earlier one, whose text is forgotten. */
export function begin(run: Run, attempt: number): Run {
  if (!isOpen(run) || attempt < run.attempt) return run;
  if (attempt === run.attempt) return run.status === "streaming" ? run : { ...run, status: "streaming" };
  return { ...run, status: "streaming", attempt, seq: 0, text: "", marks: [], hole: false };
}

export function applyDelta(before: Run, delta: Delta): Run {
  if (!isOpen(before) || delta.attempt < before.attempt) return before;
  const run = begin(before, delta.attempt);
  if (delta.seq <= run.seq) return run;
  if (delta.from_seq === 1) return extended({ ...run, text: "", marks: [] }, delta);
  if (delta.from_seq === run.seq + 1) return extended(run, delta);
  const mark = run.marks.find(([seq]) => seq === delta.from_seq - 1);
  if (mark === undefined) return { ...run, hole: true };
  const marks = run.marks.filter(([seq]) => seq <= mark[0]);
  return extended({ ...run, text: run.text.slice(0, mark[1]), marks }, delta);
}

function extended(run: Run, delta: Delta): Run {
  const text = run.text + delta.text;
  return { ...run, text, seq: delta.seq, marks: [...run.marks, [delta.seq, text.length]], hole: false };
}

export function finish(
  run: Run,
  end: {
    attempt: number;
    last_seq: number;
    status: string;
    finish_reason: FinishReason;
    error?: RunError | null;
  },
): Run {
  if (!isOpen(run)) return run;
  const last = end.attempt > run.attempt ? begin(run, end.attempt) : run;
  return {
    ...last,
    status: statusOf(end.status),
    hole: end.attempt === last.attempt && last.seq < end.last_seq,
    finishReason: end.finish_reason,
    error: end.error ?? null,
  };
}

/** A run as the reply of `subscribe` tells it, joined with what is here already. */
export function merge(known: Run | undefined, snapshot: RunSnapshot): Run {
  const run = known ?? newRun(snapshot.run_id, snapshot.message_id, snapshot.question_id ?? null);
  if (!isOpen(run)) return run;
  const status = statusOf(snapshot.status);
  const read =
    snapshot.attempt > 0 ? applyDelta(begin({ ...run, hole: false }, snapshot.attempt), snapshot) : run;
  return {
    ...read,
    questionId: run.questionId ?? snapshot.question_id ?? null,
    status,
    finishReason: snapshot.finish_reason ?? null,
    error: snapshot.error ?? null,
  };
}

function statusOf(status: string): RunStatus {
  switch (status) {
    case "queued":
    case "cancelled":
    case "failed":
      return status;
    case "completed":
      return "done";
    default:
      return "streaming";
  }
}

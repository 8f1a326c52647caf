/**
 * The frames of the WebSocket and the bodies of REST, as the server writes them.
 *
 * A reader ignores fields and pushes that it does not know: the interface only ever grows.
 */

import type * as described from "./described";

export type { Member, Project, User } from "./described";
export type { ErrorCode } from "./words";

/** What a frame may leave out. */
type Optional<T, Names extends keyof T> = Omit<T, Names> & Partial<Pick<T, Names>>;

export type WhenBusy = NonNullable<described.NewMessage["when_busy"]>;

export type FinishReason = "stop" | "length" | "cancelled" | "error" | "budget_exhausted" | "content_filter";

/** What is shown of an agent's configuration: `has_secret` stands for the secret. */
export type AgentConfig = { kind: string; has_secret?: boolean } & Partial<
  Omit<described.OpenAIConfig, "kind" | "secret">
>;

export type Agent = Omit<described.Agent, "config"> & { config: AgentConfig };
export type AgentVersion = Omit<described.AgentVersion, "config"> & { config: AgentConfig };

export interface Present {
  user_id: string;
  status: string;
}

/** `pinned` is the reader's own; pushes do not tell it. */
export type Conversation = Optional<described.Conversation, "deleted" | "created_by">;

/** `deleted`: the text is gone with its owner's key. */
export type Message = Optional<Omit<described.Message, "cursor">, "usage" | "deleted" | "client_message_id">;

export type RunError = described.RunError;

/** A run in the reply of `subscribe`: `text` is deltas `from_seq` … `seq` of `attempt`. */
export interface RunSnapshot {
  run_id: string;
  message_id: string;
  agent_id: string | null;
  question_id?: string | null;
  status: string;
  attempt: number;
  from_seq: number;
  seq: number;
  text: string;
  finish_reason?: FinishReason;
  error?: RunError | null;
}

export interface Rejected {
  message_id: string;
  client_message_id: string;
  code: string;
}

export interface RunCursor {
  attempt: number;
  seq: number;
}

export interface ResumePoint {
  conversation_id: string;
  cursor?: string;
  runs?: Record<string, RunCursor>;
}

export interface SubscribeReply {
  cursor: string;
  recovered: boolean;
  state: Conversation;
  messages: Message[];
  runs: RunSnapshot[];
  rejected: Rejected[];
  present?: Present[];
}

export interface HelloReply {
  session_id: string;
  /** Seconds. */
  token_expires_in: number;
  /** Seconds. */
  ping_interval: number;
  reconnect_jitter_ms: number;
  limits?: Record<string, number>;
}

export interface ReplyError {
  code: string;
  message: string;
  retryable: boolean;
  retry_after_ms?: number;
}

export type Reply = { id: number; ok: true } | { id: number; ok: false; error: ReplyError };

interface RunPush {
  run_id: string;
  conversation_id: string;
  message_id: string;
  agent_id: string | null;
  attempt: number;
  question_id?: string | null;
}

export type Push =
  | ({ type: "subscribed"; conversation_id: string } & (SubscribeReply | { error: ReplyError }))
  | { type: "message.created"; conversation_id: string; cursor: string; message: Message }
  | {
      type: "conversation.created" | "conversation.updated" | "conversation.deleted";
      cursor: string;
      conversation: Conversation;
    }
  | ({ type: "message.rejected"; conversation_id: string } & Rejected)
  | ({ type: "run.queued" } & RunPush)
  | ({ type: "run.started" } & RunPush)
  | {
      type: "run.delta";
      run_id: string;
      conversation_id: string;
      attempt: number;
      from_seq: number;
      seq: number;
      text: string;
    }
  | { type: "run.restarted"; run_id: string; conversation_id: string; attempt: number }
  | {
      type: "run.finished";
      run_id: string;
      conversation_id: string;
      attempt: number;
      last_seq: number;
      status: string;
      finish_reason: FinishReason;
      usage?: described.Usage | null;
      error?: RunError | null;
    }
  | { type: "presence"; conversation_id: string; user_id: string; status: string; last_seen?: string }
  | { type: "typing"; conversation_id: string; user_id: string; expires_in_ms: number }
  | { type: "notification.created"; notification: described.Notification; unread: number }
  | { type: "notifications.read"; up_to: string; unread: number }
  | { type: "ping" }
  | { type: "goodbye"; reason: string; reconnect_in_ms: number };

/** What a page asks; the connection numbers it. */
export type Command =
  | { type: "token.refresh"; token: string }
  | ({ type: "subscribe" } & ResumePoint)
  | { type: "unsubscribe"; conversation_id: string }
  | { type: "conversation.create"; conversation_id: string; project_id: string; agent_id?: string | null }
  | {
      type: "conversation.update";
      conversation_id: string;
      title?: string;
      archived?: boolean;
      agent_id?: string | null;
    }
  | { type: "conversation.delete"; conversation_id: string }
  | {
      type: "message.send";
      conversation_id: string;
      client_message_id: string;
      content: string;
      when_busy: WhenBusy;
      agent_id?: string | null;
      edits?: string;
    }
  | { type: "message.regenerate"; conversation_id: string; message_id: string; client_request_id: string }
  | { type: "run.cancel"; conversation_id: string; run_id?: string; client_message_id?: string }
  | { type: "typing"; conversation_id: string }
  | { type: "presence.set"; status: "online" | "away" }
  | { type: "ping" };

export const MAX_CONTENT_CHARACTERS = 16_000;
export const MAX_TITLE_CHARACTERS = 200;
export const MAX_FRAME_BYTES = 64 * 1024;

/** Characters as the server counts them: code points, not UTF-16 units. */
export function characters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** What the server would refuse in a text and no person meant: NUL and halves of surrogate pairs. */
export function sanitised(text: string): string {
  return text.replaceAll("\0", "").replace(/\p{Surrogate}/gu, "\ufffd");
}

export interface Cursor {
  epoch: string;
  position: number;
}

export function parseCursor(text: string): Cursor {
  const colon = text.lastIndexOf(":");
  return { epoch: text.slice(0, colon), position: Number(text.slice(colon + 1)) };
}

/** The further of two cursors; a new epoch always wins, since positions of another log say nothing here. */
export function further(known: string | null, next: string): string {
  if (known === null) return next;
  const a = parseCursor(known);
  const b = parseCursor(next);
  return a.epoch === b.epoch && a.position >= b.position ? known : next;
}

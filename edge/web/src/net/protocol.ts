/**
 * The frames of the WebSocket and the bodies of REST, as the server writes them.
 *
 * A reader ignores fields and pushes that it does not know: the interface only ever grows.
 */

export type ErrorCode =
  | "unauthenticated"
  | "token_expired"
  | "forbidden_origin"
  | "not_found"
  | "forbidden"
  | "invalid"
  | "too_large"
  | "idempotency_mismatch"
  | "precondition_failed"
  | "conversation_busy"
  | "conversation_archived"
  | "run_ended"
  | "insufficient_credits"
  | "rate_limited"
  | "agent_unavailable"
  | "unavailable"
  | "internal";

export type WhenBusy = "enqueue" | "reject" | "interrupt" | "rollback";

export type FinishReason = "stop" | "length" | "cancelled" | "error" | "budget_exhausted" | "content_filter";

export interface Usage {
  input_tokens: number;
  output_tokens: number;
}

export interface User {
  id: string;
  /** Null where a provider told of none. */
  email: string | null;
  display_name: string;
  email_verified?: boolean;
}

export interface Project {
  id: string;
  name: string;
  /** The reader's own. */
  role: string;
  default_agent_id: string | null;
  deleted_at?: string | null;
}

export interface Member {
  status?: "active";
  user_id: string;
  email: string | null;
  display_name: string;
  role: string;
}

/** `secret` is only ever written; `has_secret` says that there is one. */
export interface AgentConfig {
  kind: string;
  url?: string | null;
  model?: string | null;
  system_prompt?: string | null;
  params?: Record<string, unknown>;
  secret?: string | null;
  has_secret?: boolean;
  [more: string]: unknown;
}

export interface Agent {
  id: string;
  project_id: string;
  name: string;
  version: number;
  config: AgentConfig;
}

export interface Present {
  user_id: string;
  status: string;
}

export interface Conversation {
  id: string;
  project_id: string;
  title: string | null;
  archived: boolean;
  deleted?: boolean;
  agent_id: string | null;
  created_by?: string;
  created_at: string;
  updated_at: string;
  deleted_at?: string | null;
  /** The reader's own; not told by pushes. */
  pinned?: boolean;
}

export interface Message {
  id: string;
  role: string;
  author_id: string | null;
  agent_id: string | null;
  content: string;
  run_id: string | null;
  parent_message_id: string | null;
  created_at: string;
  finish_reason: FinishReason | null;
  usage?: Usage | null;
  /** The text is gone with its owner's key. */
  deleted?: boolean;
  client_message_id?: string | null;
}

export interface RunError {
  code: string;
  message: string;
}

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
      usage?: Usage | null;
      error?: RunError | null;
    }
  | { type: "presence"; conversation_id: string; user_id: string; status: string; last_seen?: string }
  | { type: "typing"; conversation_id: string; user_id: string; expires_in_ms: number }
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

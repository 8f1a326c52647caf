/** Gets what was written to the server: in order, each under its one id, again after every lost connection. */
import type { Action, Chat } from "../state/chat";
import { nextToSend, type Outgoing } from "../state/outbox";
import type { Store } from "../state/store";
import { Refused } from "./connection";
import { type Command, MAX_FRAME_BYTES, sanitised, type WhenBusy } from "./protocol";
import type { Timers } from "./timers";
import { newId } from "./uuid";

const RETRY_MS = 1_500;
/** What the number of a command adds to its frame, at most. */
const NUMBER_BYTES = 64;

export interface Way {
  chat: Store<Chat>;
  timers: Timers;
  dispatch(action: Action): void;
  online(): boolean;
  request<T>(command: Command): Promise<T>;
  /** The conversation exists now. */
  born(conversationId: string): void;
}

export interface More {
  /** One's own earlier message, to be said differently. */
  edits?: string;
  /** Who answers; null: nobody. */
  agentId?: string | null | undefined;
}

const agentIn = (agentId: string | null | undefined) => (agentId === undefined ? {} : { agentId });

export class Deliveries {
  /** Conversations with a message on the wire. */
  private readonly busy = new Set<string>();

  constructor(private readonly way: Way) {}

  /** Write a message, in a new conversation where `conversationId` is null. Returns the conversation's id. */
  write(conversationId: string | null, text: string, whenBusy: WhenBusy, more: More = {}): string | null {
    const { projectId } = this.way.chat.get();
    if (conversationId === null && projectId === null) return null;
    const content = sanitised(text);
    const id = conversationId ?? newId();
    const opens =
      conversationId === null && projectId !== null ? { projectId, ...agentIn(more.agentId) } : null;
    const entry: Outgoing = {
      clientMessageId: newId(),
      conversationId: id,
      content,
      whenBusy,
      writtenAt: Date.now(),
      opens,
      edits: more.edits ?? null,
      ...(opens === null ? agentIn(more.agentId) : {}),
      status: "waiting",
      messageId: null,
      code: null,
    };
    this.way.dispatch({ type: "written", entry });
    this.flush();
    return id;
  }

  /** Send again what was refused, under a new id: the refusal was final for the old one. */
  resend(entry: Outgoing): void {
    const again: Outgoing = {
      ...entry,
      clientMessageId: newId(),
      status: "waiting",
      messageId: null,
      code: null,
    };
    this.way.dispatch({ type: "withdrawn", clientMessageId: entry.clientMessageId });
    this.way.dispatch({ type: "written", entry: again });
    this.flush();
  }

  discard(entry: Outgoing): void {
    this.way.dispatch({ type: "withdrawn", clientMessageId: entry.clientMessageId });
    if (entry.opens !== null) this.way.dispatch({ type: "removed", id: entry.conversationId });
  }

  flush(): void {
    if (!this.way.online()) return;
    for (const entry of nextToSend(this.way.chat.get().outbox, this.busy)) void this.deliver(entry);
  }

  private async deliver(entry: Outgoing): Promise<void> {
    const { clientMessageId, conversationId } = entry;
    this.busy.add(conversationId);
    try {
      await this.send(entry);
    } catch (error) {
      if (!(error instanceof Refused)) return; // Sent again, under the same id, once there is a connection.
      const { code, retryable, retry_after_ms } = error.error;
      if (retryable) {
        this.way.timers.later(retry_after_ms ?? RETRY_MS, () => this.flush());
        return;
      }
      this.way.dispatch({ type: "refused", clientMessageId, code });
    } finally {
      this.busy.delete(conversationId);
    }
    this.flush();
  }

  private async send(entry: Outgoing): Promise<void> {
    const { clientMessageId, conversationId, content, whenBusy, opens, edits, agentId } = entry;
    const { dispatch, request, born } = this.way;
    if (opens !== null) {
      await request({
        type: "conversation.create",
        conversation_id: conversationId,
        project_id: opens.projectId,
        ...(opens.agentId === undefined ? {} : { agent_id: opens.agentId }),
      });
      dispatch({ type: "created", clientMessageId });
      born(conversationId);
    }
    const command: Command = {
      type: "message.send",
      conversation_id: conversationId,
      client_message_id: clientMessageId,
      content,
      when_busy: whenBusy,
      ...(edits ? { edits } : {}),
      ...(agentId === undefined ? {} : { agent_id: agentId }),
    };
    // Such a frame would cost the connection, again and again.
    if (new TextEncoder().encode(JSON.stringify(command)).length > MAX_FRAME_BYTES - NUMBER_BYTES) {
      dispatch({ type: "refused", clientMessageId, code: "too_large" });
      return;
    }
    const { message_id } = await request<{ message_id: string }>(command);
    dispatch({ type: "acknowledged", clientMessageId, messageId: message_id });
  }
}

/** What this person wrote and the server has not yet shown: kept through a reload until it is acknowledged. */
import type { WhenBusy } from "../net/protocol";

export interface Outgoing {
  clientMessageId: string;
  conversationId: string;
  content: string;
  whenBusy: WhenBusy;
  /** Milliseconds since 1970; the order of sending. */
  writtenAt: number;
  /** The conversation to create first, where this message opens it. */
  opens: { projectId: string; agentId?: string | null } | null;
  /** One's own earlier message that this one says differently. */
  edits: string | null;
  /** Who answers this one; undefined: whoever answers in the conversation. */
  agentId?: string | null;
  /** `waiting`: not known to be stored. `sent`: stored, not yet seen in the thread. `refused`: nobody has it. */
  status: "waiting" | "sent" | "refused";
  messageId: string | null;
  /** Why it was refused: an error code. */
  code: string | null;
}

/** The next one to put on the wire: one at a time for each conversation, in the order of writing. */
export function nextToSend(outbox: readonly Outgoing[], inFlight: ReadonlySet<string>): readonly Outgoing[] {
  const first = new Map<string, Outgoing>();
  for (const entry of outbox) {
    if (entry.status === "waiting" && !first.has(entry.conversationId))
      first.set(entry.conversationId, entry);
  }
  return [...first.values()].filter((entry) => !inFlight.has(entry.conversationId));
}

/** Only what is not known to be stored is worth keeping through a reload. */
export function worthKeeping(entry: Outgoing): boolean {
  return entry.status !== "sent";
}

/**
 * The outbox on disk. One key for each entry, so that two windows never overwrite each other's; both may send the
 * same entry, which is harmless: its id makes it one message.
 */
import { type Outgoing, worthKeeping } from "../state/outbox";

const prefix = (userId: string) => `chorus.outbox.${userId}.`;

export function load(userId: string): Outgoing[] {
  const entries: Outgoing[] = [];
  for (const key of Object.keys(localStorage)) {
    if (key.startsWith(prefix(userId))) entries.push(JSON.parse(localStorage.getItem(key) ?? "") as Outgoing);
  }
  return entries.sort((a, b) => a.writtenAt - b.writtenAt);
}

/** Write what changed between two outboxes. */
export function save(userId: string, before: readonly Outgoing[], after: readonly Outgoing[]): void {
  const kept = new Set<string>();
  for (const entry of after) {
    if (!worthKeeping(entry)) continue;
    kept.add(entry.clientMessageId);
    if (!before.includes(entry))
      localStorage.setItem(prefix(userId) + entry.clientMessageId, JSON.stringify(entry));
  }
  for (const { clientMessageId } of before) {
    if (!kept.has(clientMessageId)) localStorage.removeItem(prefix(userId) + clientMessageId);
  }
}

export function clear(userId: string): void {
  for (const entry of load(userId)) localStorage.removeItem(prefix(userId) + entry.clientMessageId);
}

import type { Conversation } from "../net/protocol";

export type Age = "today" | "yesterday" | "week" | "earlier";

/** Conversations, newest first, under the headings that have any. Days are the person's own, not UTC's. */
export function byAge(
  conversations: readonly Conversation[],
  now: Date,
): readonly (readonly [Age, readonly Conversation[]])[] {
  const midnight = (daysAgo: number) =>
    new Date(now.getFullYear(), now.getMonth(), now.getDate() - daysAgo).getTime();
  const groups: Record<Age, Conversation[]> = { today: [], yesterday: [], week: [], earlier: [] };
  for (const one of conversations) {
    const at = Date.parse(one.updated_at);
    const age =
      at >= midnight(0) ? "today" : at >= midnight(1) ? "yesterday" : at >= midnight(7) ? "week" : "earlier";
    groups[age].push(one);
  }
  return (Object.entries(groups) as [Age, Conversation[]][]).filter(([, list]) => list.length > 0);
}

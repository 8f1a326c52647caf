/** What somebody was told of, on this screen. Pure: an action in, a state out. */
import type { Notification, Notifications } from "../net/described";

export interface Inbox {
  /** The first page has come. */
  loaded: boolean;
  /** As the server lists them: the newest first. */
  list: readonly Notification[];
  /** Of all, also of those that are not in `list`. */
  unread: number;
  nextCursor: string | null;
}

export const EMPTY_INBOX: Inbox = { loaded: false, list: [], unread: 0, nextCursor: null };

export function firstPage(page: Notifications): Inbox {
  return { loaded: true, list: page.data, unread: page.unread, nextCursor: page.next_cursor };
}

export function olderPage(inbox: Inbox, page: Notifications): Inbox {
  return { ...inbox, list: sorted([...inbox.list, ...page.data]), nextCursor: page.next_cursor };
}

/** It may come twice, and late: its place is by the time at which it was told. */
export function told(inbox: Inbox, one: Notification, unread: number): Inbox {
  return { ...inbox, list: sorted([...inbox.list, one]), unread };
}

/** Everything from this one down is read. One that is not listed stands below all that are, unless nothing is left. */
export function readUpTo(inbox: Inbox, upTo: string, unread: number): Inbox {
  const at = unread === 0 ? 0 : inbox.list.findIndex((one) => one.id === upTo);
  const list =
    at < 0
      ? inbox.list
      : inbox.list.map((one, nth) => (nth >= at && !one.read ? { ...one, read: true } : one));
  return { ...inbox, list, unread };
}

function sorted(list: readonly Notification[]): readonly Notification[] {
  const byId = new Map(list.map((one) => [one.id, one]));
  return [...byId.values()].sort(
    (a, b) => Date.parse(b.created_at) - Date.parse(a.created_at) || (a.id < b.id ? 1 : -1),
  );
}

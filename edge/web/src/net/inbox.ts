/** The person's notifications on this screen, kept as the server has them. */
import { EMPTY_INBOX, firstPage, type Inbox, olderPage, readUpTo, told } from "../state/inbox";
import { Store } from "../state/store";
import * as api from "./notifications";
import { members } from "./projects";
import type { Push } from "./protocol";

type Rest = <T>(work: (token: string) => Promise<T>) => Promise<T>;

export class Notified {
  readonly inbox = new Store<Inbox>(EMPTY_INBOX);
  /** Of people in projects that this screen does not show. */
  readonly names = new Store<Readonly<Record<string, string>>>({});
  private readonly met = new Set<string>();

  constructor(private readonly rest: Rest) {}

  push(push: Push): void {
    const inbox = this.inbox.get();
    if (push.type === "notification.created") this.inbox.set(told(inbox, push.notification, push.unread));
    if (push.type === "notifications.read") this.inbox.set(readUpTo(inbox, push.up_to, push.unread));
  }

  /** The newest, as they are now: also after this page was away. Rejects with `ApiError` or `SignedOut`. */
  async load(): Promise<void> {
    this.inbox.set(firstPage(await this.rest((token) => api.list(token, null))));
  }

  /** Learn who is in these projects, once each. Whom this cannot find out stays somebody. */
  async meet(projectIds: Iterable<string>): Promise<void> {
    for (const id of projectIds) {
      if (this.met.has(id)) continue;
      this.met.add(id);
      const page = await this.rest((token) => members(token, id, null)).catch(() => null);
      const found = (page?.data ?? []).map((one) => [one.user_id, one.display_name]);
      this.names.set({ ...this.names.get(), ...Object.fromEntries(found) });
    }
  }

  /** Rejects with `ApiError` or `SignedOut`. */
  async more(): Promise<void> {
    const { nextCursor } = this.inbox.get();
    if (nextCursor === null) return;
    const page = await this.rest((token) => api.list(token, nextCursor));
    this.inbox.set(olderPage(this.inbox.get(), page));
  }

  /** Shown as read at once, and as it was where the server refuses. */
  async read(upTo: string): Promise<void> {
    const before = this.inbox.get();
    const one = before.list.find((other) => other.id === upTo);
    if (one === undefined || one.read) return;
    const at = before.list.indexOf(one);
    const fewer = before.list.slice(at).filter((other) => !other.read).length;
    this.inbox.set(readUpTo(before, upTo, Math.max(0, before.unread - fewer)));
    try {
      const { unread } = await this.rest((token) => api.read(token, upTo));
      this.inbox.set(readUpTo(this.inbox.get(), upTo, unread));
    } catch (error) {
      await this.load().catch(() => this.inbox.set(before));
      throw error;
    }
  }
}

/**
 * What the page can do. Joins the session, the connection and the state; every decision about what a frame means
 * is the state's, every decision about when to come back is the connection's.
 */
import { type Action, type Chat, EMPTY_CHAT, reduce, titleFrom } from "../state/chat";
import { nextToSend, type Outgoing } from "../state/outbox";
import { Store } from "../state/store";
import { resumePoint, stoppable } from "../state/thread";
import * as api from "./api";
import { Connection, ConnectionLost, type Link, Refused } from "./connection";
import * as outboxStorage from "./outboxStorage";
import {
  type Command,
  type Conversation,
  MAX_FRAME_BYTES,
  type ResumePoint,
  type SubscribeReply,
  sanitised,
  type User,
  type WhenBusy,
} from "./protocol";
import { type Session, SignedOut } from "./session";
import { newId } from "./uuid";

/** How long a deletion can be undone. */
const UNDO_MS = 6_000;
/** Conversations that stay subscribed after somebody looked away: going back to one shows it at once. */
const OPEN_THREADS = 5;
/** Between two requests for what is missing in one conversation. */
const MEND_MS = 1_000;
const RETRY_MS = 1_500;
/** As many as the server gives: the first page overlaps with what a subscription brought. */
const OLDER_PAGE = 200;

export interface Notice {
  id: string;
  kind: "deleted" | "archived" | "restored" | "error";
  /** An error code, for `error`. */
  code: string | null;
  undo: (() => void) | null;
}

export class ChatClient {
  readonly chat: Store<Chat>;
  readonly link = new Store<Link>({ phase: "connecting", since: Date.now() });
  readonly notices = new Store<readonly Notice[]>([]);

  private connection: Connection | null = null;
  private readonly sending = new Set<string>();
  private readonly subscribing = new Set<string>();
  private readonly mendedAt = new Map<string, number>();
  /** Most recently looked at last. */
  private looked: string[] = [];
  private readonly deletions = new Map<string, number>();
  private readonly timers = new Set<number>();
  private renewTimer = 0;
  private mendTimer = 0;
  private greetedBefore = false;
  private stopped = false;

  constructor(
    private readonly session: Session,
    readonly user: User,
  ) {
    this.chat = new Store<Chat>(EMPTY_CHAT);
    for (const entry of outboxStorage.load(user.id)) this.dispatch({ type: "written", entry });
  }

  // -- life -----------------------------------------------------------------------------------------------------

  start(): void {
    window.addEventListener("pagehide", this.leaving);
    void this.connect();
    void this.loadLists();
  }

  stop(): void {
    this.stopped = true;
    this.leaving();
    window.removeEventListener("pagehide", this.leaving);
    this.connection?.stop();
    window.clearTimeout(this.renewTimer);
    window.clearTimeout(this.mendTimer);
    for (const timer of this.timers) window.clearTimeout(timer);
  }

  /** On this person's word: nothing of theirs stays in the browser. */
  forgetPerson(): void {
    outboxStorage.clear(this.user.id);
  }

  /** After the server had sent this page away. */
  reconnect(): void {
    this.session.refuse();
    this.connection?.start();
  }

  private async connect(): Promise<void> {
    const config = await this.eventually(() => api.config());
    if (config === null || this.stopped) return;
    const url = config.ws_url || `${location.origin.replace(/^http/, "ws")}/v1/ws`;
    this.connection = new Connection(url, {
      token: () => this.session.token(),
      tokenRefused: () => this.session.refuse(),
      resume: () => this.resumePoints(),
      forget: () => {
        for (const id of Object.keys(this.chat.get().threads)) {
          this.dispatch({ type: "closed", id });
          this.dispatch({ type: "opened", id });
        }
      },
      greeted: () => this.greeted(),
      push: (push) => {
        this.dispatch({ type: "push", push });
        this.mend();
      },
      link: (link) => this.link.set(link),
    });
    this.connection.start();
  }

  private greeted(): void {
    this.subscribing.clear();
    this.renewLater();
    this.flush();
    // Conversations made or changed elsewhere while this page was away.
    if (this.greetedBefore) void this.loadLists();
    this.greetedBefore = true;
  }

  private renewLater(): void {
    window.clearTimeout(this.renewTimer);
    this.renewTimer = window.setTimeout(
      async () => {
        try {
          await this.connection?.request({ type: "token.refresh", token: await this.session.token() });
        } catch (error) {
          if (error instanceof SignedOut) return;
        }
        if (!this.stopped) this.renewLater();
      },
      Math.max(this.session.renewIn(), 10_000),
    );
  }

  private dispatch(action: Action): void {
    const before = this.chat.get();
    const after = reduce(before, action);
    if (before.outbox !== after.outbox) outboxStorage.save(this.user.id, before.outbox, after.outbox);
    this.chat.set(after);
  }

  // -- lists ----------------------------------------------------------------------------------------------------

  private async loadLists(): Promise<void> {
    const page = await this.eventually(async () => api.projects(await this.session.token()));
    const project = page?.data[0];
    if (project === undefined) return;
    this.dispatch({ type: "project", projectId: project.id });
    await Promise.all([this.loadShelf(project.id, false), this.loadShelf(project.id, true)]);
  }

  private async loadShelf(projectId: string, archived: boolean, cursor: string | null = null): Promise<void> {
    const page = await this.eventually(async () =>
      api.conversations(await this.session.token(), projectId, archived, cursor),
    );
    if (page === null) return;
    this.dispatch({
      type: "listed",
      archived,
      first: cursor === null,
      conversations: page.data.filter((one) => one.archived === archived),
      nextCursor: page.next_cursor,
    });
  }

  async loadMore(archived: boolean): Promise<void> {
    const { projectId, shelves } = this.chat.get();
    const { nextCursor } = archived ? shelves.archived : shelves.active;
    if (projectId !== null && nextCursor !== null) await this.loadShelf(projectId, archived, nextCursor);
  }

  // -- threads --------------------------------------------------------------------------------------------------

  look(id: string): void {
    this.looked = [...this.looked.filter((one) => one !== id), id];
    this.dispatch({ type: "opened", id });
    for (const old of this.looked.splice(0, this.looked.length - OPEN_THREADS)) {
      this.dispatch({ type: "closed", id: old });
      void this.ask({ type: "unsubscribe", conversation_id: old }).catch(() => undefined);
    }
    if (this.chat.get().threads[id]?.cursor === null) void this.subscribe(id);
  }

  private resumePoints(): ResumePoint[] {
    const { threads } = this.chat.get();
    return Object.entries(threads)
      .filter(([id, thread]) => !thread.missing && !this.unborn(id))
      .map(([id, thread]) => resumePoint(id, thread));
  }

  /** Its first message is still on its way, and it with it. */
  private unborn(id: string): boolean {
    return this.chat.get().outbox.some((entry) => entry.conversationId === id && entry.opens !== null);
  }

  private async subscribe(id: string): Promise<void> {
    const thread = this.chat.get().threads[id];
    if (thread === undefined || this.subscribing.has(id) || this.unborn(id)) return;
    if (this.link.get().phase !== "online") return; // The greeting resumes it.
    this.subscribing.add(id);
    try {
      const reply = await this.connection?.request<SubscribeReply>({
        type: "subscribe",
        ...resumePoint(id, thread),
      });
      if (reply !== undefined) this.dispatch({ type: "subscribed", id, reply });
    } catch (error) {
      if (!(error instanceof Refused)) return;
      if (error.error.retryable)
        this.later(error.error.retry_after_ms ?? RETRY_MS, () => void this.subscribe(id));
      else this.dispatch({ type: "unavailable", id });
    } finally {
      this.subscribing.delete(id);
    }
  }

  /** Fetch what is missing in the middle of a conversation. */
  private mend(): void {
    for (const [id, thread] of Object.entries(this.chat.get().threads)) {
      if (!thread.hole || this.subscribing.has(id)) continue;
      const wait = (this.mendedAt.get(id) ?? 0) + MEND_MS - Date.now();
      if (wait > 0) {
        window.clearTimeout(this.mendTimer);
        this.mendTimer = window.setTimeout(() => this.mend(), wait);
      } else {
        this.mendedAt.set(id, Date.now());
        void this.subscribe(id);
      }
    }
  }

  async loadOlder(id: string): Promise<void> {
    for (;;) {
      const thread = this.chat.get().threads[id];
      const before = thread?.oldest ?? thread?.cursor;
      if (thread === undefined || before === undefined || before === null) return;
      const page = await this.eventually(async () =>
        api.messagesBefore(await this.session.token(), id, before, OLDER_PAGE),
      );
      if (page === null) return;
      const oldest = page.data.length === OLDER_PAGE ? (page.data[0]?.cursor ?? null) : null;
      this.dispatch({ type: "older", id, messages: page.data, oldest });
      // A page may hold only what is here already.
      const now = this.chat.get().threads[id];
      if (oldest === null || now === undefined || now.messages.length > thread.messages.length) return;
    }
  }

  // -- messages -------------------------------------------------------------------------------------------------

  /** Write a message, in a new conversation where `conversationId` is null. Returns the conversation's id. */
  send(conversationId: string | null, text: string, whenBusy: WhenBusy): string | null {
    const { projectId } = this.chat.get();
    const content = sanitised(text);
    if (conversationId === null && projectId === null) return null;
    const id = conversationId ?? newId();
    const opens =
      conversationId === null && projectId !== null ? { projectId, title: titleFrom(content) } : null;
    const entry: Outgoing = {
      clientMessageId: newId(),
      conversationId: id,
      content,
      whenBusy,
      writtenAt: Date.now(),
      opens,
      status: "waiting",
      messageId: null,
      code: null,
    };
    this.dispatch({ type: "written", entry });
    this.flush();
    return id;
  }

  /** Send again what was refused: the refusal was final for its id. */
  resend(entry: Outgoing): void {
    const again: Outgoing = {
      ...entry,
      clientMessageId: newId(),
      status: "waiting",
      messageId: null,
      code: null,
    };
    this.dispatch({ type: "withdrawn", clientMessageId: entry.clientMessageId });
    this.dispatch({ type: "written", entry: again });
    this.flush();
  }

  discard(entry: Outgoing): void {
    this.dispatch({ type: "withdrawn", clientMessageId: entry.clientMessageId });
    if (entry.opens !== null) this.dispatch({ type: "removed", id: entry.conversationId });
  }

  private flush(): void {
    if (this.link.get().phase !== "online") return;
    for (const entry of nextToSend(this.chat.get().outbox, this.sending)) void this.deliver(entry);
  }

  private async deliver(entry: Outgoing): Promise<void> {
    const { clientMessageId, conversationId, opens } = entry;
    this.sending.add(conversationId);
    try {
      if (opens !== null) {
        await this.request({
          type: "conversation.create",
          conversation_id: conversationId,
          project_id: opens.projectId,
          ...(opens.title === "" ? {} : { title: opens.title }),
        });
        this.dispatch({ type: "created", clientMessageId });
        if (conversationId in this.chat.get().threads) void this.subscribe(conversationId);
      }
      const command: Command = {
        type: "message.send",
        conversation_id: conversationId,
        client_message_id: clientMessageId,
        content: entry.content,
        when_busy: entry.whenBusy,
      };
      if (bytes(command) > MAX_FRAME_BYTES - 64) {
        this.dispatch({ type: "refused", clientMessageId, code: "too_large" });
        return;
      }
      const { message_id } = await this.request<{ message_id: string }>(command);
      this.dispatch({ type: "acknowledged", clientMessageId, messageId: message_id });
      this.nameIt(conversationId, entry.content);
    } catch (error) {
      if (!(error instanceof Refused)) return; // Sent again, under the same id, once there is a connection.
      const { code, retryable, retry_after_ms } = error.error;
      if (!retryable) this.dispatch({ type: "refused", clientMessageId, code });
      else this.later(retry_after_ms ?? RETRY_MS, () => this.flush());
      return;
    } finally {
      this.sending.delete(conversationId);
    }
    this.flush();
  }

  private nameIt(id: string, content: string): void {
    const conversation = this.chat.get().conversations[id];
    const title = titleFrom(content);
    if (conversation !== undefined && !conversation.title && title !== "") this.rename(id, title);
  }

  /** Stop the answer being written, or the first that waits. */
  async cancel(conversationId: string): Promise<void> {
    const { threads, outbox } = this.chat.get();
    const run = threads[conversationId] ? stoppable(threads[conversationId]) : null;
    const sent = outbox.find((entry) => entry.conversationId === conversationId && entry.status === "sent");
    if (run === null && sent === undefined) return;
    const target = run ? { run_id: run.id } : { client_message_id: sent?.clientMessageId ?? "" };
    if (run) this.dispatch({ type: "stopping", runId: run.id, stopping: true });
    try {
      await this.ask({ type: "run.cancel", conversation_id: conversationId, ...target });
    } catch (error) {
      if (run) this.dispatch({ type: "stopping", runId: run.id, stopping: false });
      if (!(error instanceof Refused && error.error.code === "run_ended")) this.complain(error);
    }
  }

  /** Answer again: `messageId` is the question or one of its answers. */
  async regenerate(conversationId: string, messageId: string): Promise<void> {
    await this.ask({
      type: "message.regenerate",
      conversation_id: conversationId,
      message_id: messageId,
      client_request_id: newId(),
    }).catch((error) => this.complain(error));
  }

  // -- conversations --------------------------------------------------------------------------------------------

  rename(id: string, title: string): void {
    void this.change(id, { title });
  }

  archive(id: string, archived: boolean): void {
    void this.change(id, { archived });
    this.notify(archived ? "archived" : "restored", () => void this.change(id, { archived: !archived }));
  }

  /** Shown at once, taken back where the server refuses. */
  private async change(
    id: string,
    change: Partial<Pick<Conversation, "archived">> & { title?: string },
  ): Promise<void> {
    const before = this.chat.get().conversations[id];
    if (before === undefined) return;
    this.dispatch({ type: "changed", id, change });
    try {
      await this.ask({ type: "conversation.update", conversation_id: id, ...change });
    } catch (error) {
      this.dispatch({ type: "changed", id, change: { title: before.title, archived: before.archived } });
      this.complain(error);
    }
  }

  /** Gone from the screen now, from the server when the time to undo has passed. */
  remove(id: string): void {
    this.dispatch({ type: "removing", id, removing: true });
    const undo = () => {
      window.clearTimeout(this.deletions.get(id));
      this.deletions.delete(id);
      this.dispatch({ type: "removing", id, removing: false });
    };
    this.notify("deleted", undo);
    this.deletions.set(
      id,
      window.setTimeout(() => void this.finishRemoving(id), UNDO_MS),
    );
  }

  private async finishRemoving(id: string): Promise<void> {
    this.deletions.delete(id);
    try {
      await this.ask({ type: "conversation.delete", conversation_id: id });
      this.dispatch({ type: "removed", id });
    } catch (error) {
      if (error instanceof Refused && error.error.code === "not_found")
        this.dispatch({ type: "removed", id });
      else {
        this.dispatch({ type: "removing", id, removing: false });
        this.complain(error);
      }
    }
  }

  /** Nobody can undo once the page is gone: what was deleted on it is deleted. */
  private readonly leaving = (): void => {
    const token = this.session.tokenAtHand();
    for (const [id, timer] of this.deletions) {
      window.clearTimeout(timer);
      if (token !== null) void api.deleteConversation(token, id, true).catch(() => undefined);
    }
    this.deletions.clear();
  };

  // -- asking ---------------------------------------------------------------------------------------------------

  private request<T>(command: Command): Promise<T> {
    return this.connection?.request<T>(command) ?? Promise.reject(new ConnectionLost());
  }

  /** Ask again after a lost connection: every command says the same thing twice without harm. */
  private async ask(command: Command): Promise<object> {
    for (let attempt = 1; ; attempt += 1) {
      await this.whenOnline();
      try {
        return await this.request(command);
      } catch (error) {
        if (!(error instanceof ConnectionLost) || attempt === 3) throw error;
      }
    }
  }

  private whenOnline(): Promise<void> {
    if (this.link.get().phase === "online") return Promise.resolve();
    return new Promise((resolve) => {
      const unsubscribe = this.link.subscribe(() => {
        if (this.link.get().phase !== "online") return;
        unsubscribe();
        resolve();
      });
    });
  }

  /** Until it works; null where it never will. */
  private async eventually<T>(work: () => Promise<T>): Promise<T | null> {
    for (let failures = 0; !this.stopped; failures += 1) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof SignedOut) return null;
        if (!(error instanceof api.ApiError)) throw error;
        const { status, code } = error;
        if (status === 401) this.session.refuse();
        else if (status > 0 && status < 500 && status !== 429) {
          this.notify("error", null, code);
          return null;
        }
        await new Promise((resolve) =>
          this.later(Math.min(RETRY_MS * 2 ** failures, 15_000), () => resolve(null)),
        );
      }
    }
    return null;
  }

  private later(ms: number, work: () => void): void {
    const timer = window.setTimeout(() => {
      this.timers.delete(timer);
      work();
    }, ms);
    this.timers.add(timer);
  }

  // -- notices --------------------------------------------------------------------------------------------------

  private complain(error: unknown): void {
    if (error instanceof SignedOut) return;
    this.notify("error", null, error instanceof Refused ? error.error.code : "unreachable");
  }

  private notify(kind: Notice["kind"], undo: (() => void) | null, code: string | null = null): void {
    const notice: Notice = { id: newId(), kind, code, undo };
    this.notices.set([...this.notices.get().slice(-2), notice]);
    this.later(UNDO_MS, () => this.dismiss(notice.id));
  }

  dismiss(id: string): void {
    this.notices.set(this.notices.get().filter((notice) => notice.id !== id));
  }
}

function bytes(command: Command): number {
  return new TextEncoder().encode(JSON.stringify(command)).length;
}

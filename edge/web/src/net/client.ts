/**
 * What the page can do. Joins the session, the connection and the state; every decision about what a frame means
 * is the state's, every decision about when to come back is the connection's.
 */
import { type Action, type Chat, EMPTY_CHAT, reduce, roleIn } from "../state/chat";
import { Store } from "../state/store";
import { resumePoint, stoppable } from "../state/thread";
import * as accountApi from "./account";
import * as api from "./api";
import { Connection, ConnectionLost, type Link, Refused } from "./connection";
import { Conversations } from "./conversations";
import { Deliveries } from "./deliveries";
import type { Receipt } from "./described";
import { ApiError } from "./http";
import { Notified } from "./inbox";
import { Lists } from "./lists";
import { Notices } from "./notices";
import * as outboxStorage from "./outboxStorage";
import { forgetPreferred } from "./preferred";
import type { Command, ResumePoint, SubscribeReply, User } from "./protocol";
import { type Session, SignedOut } from "./session";
import { Timers } from "./timers";
import { newId } from "./uuid";
import { CLOSE_CODES } from "./words";

/** Conversations that stay subscribed after somebody looked away: going back to one shows it at once. */
const OPEN_THREADS = 5;
/** Between two requests for what is missing in one conversation. */
const MEND_MS = 1_000;
const RETRY_MS = 1_500;
/** As many as the server gives: the first page overlaps with what a subscription brought. */
const OLDER_PAGE = 200;
/** Between two looks at who has stopped writing. */
const QUIET_MS = 1_000;
/** Others are told no more often. */
const TYPING_EVERY_MS = 3_000;

export class ChatClient {
  readonly chat = new Store<Chat>(EMPTY_CHAT);
  readonly link = new Store<Link>({ phase: "connecting", since: Date.now() });
  /** Whether credit and prices are for people whom the installation names; null: not known yet. */
  readonly treasurers = new Store<boolean | null>(null);
  private readonly timers = new Timers();
  readonly notices = new Notices(this.timers);
  readonly lists: Lists;
  readonly conversations: Conversations;
  readonly deliveries: Deliveries;
  readonly notified = new Notified((work) => this.rest(work));

  private connection: Connection | null = null;
  private readonly subscribing = new Set<string>();
  private readonly mendedAt = new Map<string, number>();
  /** Most recently looked at last. */
  private looked: string[] = [];
  private renewTimer = 0;
  private mendTimer = 0;
  private quietTimer = 0;
  private typedAt = 0;
  private greetedBefore = false;
  private stopped = false;
  private farewell = false;

  constructor(
    private readonly session: Session,
    readonly user: User,
    /** The server has ended this sign-in. */
    private readonly ended: () => void = () => undefined,
  ) {
    this.lists = new Lists({
      userId: user.id,
      chat: this.chat,
      dispatch: (action) => this.dispatch(action),
      token: () => this.session.token(),
      rest: (work) => this.rest(work),
      eventually: (work) => this.eventually(work),
    });
    this.conversations = new Conversations({
      chat: this.chat,
      notices: this.notices,
      dispatch: (action) => this.dispatch(action),
      ask: (command) => this.ask(command),
      rest: (work) => this.rest(work),
      tokenAtHand: () => this.session.tokenAtHand(),
      reload: () => this.lists.load(),
    });
    this.deliveries = new Deliveries({
      chat: this.chat,
      timers: this.timers,
      dispatch: (action) => this.dispatch(action),
      online: () => this.link.get().phase === "online",
      request: (command) => this.request(command),
      born: (id) => void this.subscribe(id),
    });
    for (const entry of outboxStorage.load(user.id)) this.dispatch({ type: "written", entry });
  }

  // -- life -----------------------------------------------------------------------------------------------------

  start(): void {
    window.addEventListener("pagehide", this.conversations.leaving);
    document.addEventListener("visibilitychange", this.looking);
    this.quietTimer = window.setInterval(() => {
      if (Object.keys(this.chat.get().typing).length > 0) this.dispatch({ type: "tick", now: Date.now() });
    }, QUIET_MS);
    void this.connect();
    void this.lists.load();
  }

  stop(): void {
    this.stopped = true;
    this.conversations.leaving();
    window.removeEventListener("pagehide", this.conversations.leaving);
    document.removeEventListener("visibilitychange", this.looking);
    window.clearInterval(this.quietTimer);
    this.connection?.stop();
    window.clearTimeout(this.renewTimer);
    window.clearTimeout(this.mendTimer);
    this.timers.stop();
  }

  /** On this person's word: nothing of theirs stays in the browser. */
  forgetPerson(): void {
    outboxStorage.clear(this.user.id);
    forgetPreferred(this.user.id);
  }

  /** After the server had sent this page away. */
  reconnect(): void {
    this.session.refuse();
    this.connection?.start();
  }

  /** The account goes, and its sign-ins with it: being told of that here is no news. */
  async removeAccount(confirm: string): Promise<Receipt> {
    this.farewell = true;
    try {
      const receipt = await this.rest((token) => accountApi.remove(token, confirm));
      this.stop();
      return receipt;
    } catch (error) {
      this.farewell = false;
      this.tellIfEnded();
      throw error;
    }
  }

  private tellIfEnded(): void {
    const link = this.link.get();
    const revoked = link.phase === "stopped" && link.code === CLOSE_CODES.REVOKED;
    if (revoked && !this.farewell) this.ended();
  }

  private async connect(): Promise<void> {
    const config = await this.eventually(() => api.config());
    if (config === null || this.stopped) return;
    this.treasurers.set(config.treasurers);
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
        this.notified.push(push);
        // Somebody was let in: the project is to stand among theirs.
        if (push.type === "notification.created" && !this.lists.knows(push.notification.project_id))
          void this.lists.load();
        if (push.type === "message.created") this.lists.meet(push.message.author_id);
        this.mend();
      },
      link: (link) => {
        this.link.set(link);
        this.tellIfEnded();
      },
    });
    this.connection.start();
  }

  private greeted(): void {
    this.subscribing.clear();
    this.renewLater();
    this.deliveries.flush();
    this.looking();
    void this.eventually(() => this.notified.load());
    // Conversations made or changed elsewhere while this page was away.
    if (this.greetedBefore) void this.lists.load();
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

  /** What is asked over REST with a token that is good now. Rejects with `ApiError` or `SignedOut`. */
  async rest<T>(work: (token: string) => Promise<T>): Promise<T> {
    const token = await this.session.token();
    try {
      return await work(token);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      this.session.refuse();
      return work(await this.session.token());
    }
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
      if (reply === undefined) return;
      this.dispatch({ type: "subscribed", id, reply });
      for (const { user_id } of reply.present ?? []) this.lists.meet(user_id);
    } catch (error) {
      if (!(error instanceof Refused)) return;
      if (error.error.retryable)
        this.timers.later(error.error.retry_after_ms ?? RETRY_MS, () => void this.subscribe(id));
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

  /** The person is writing here. */
  typing(conversationId: string): void {
    if (Date.now() - this.typedAt < TYPING_EVERY_MS || this.unborn(conversationId)) return;
    this.typedAt = Date.now();
    void this.request({ type: "typing", conversation_id: conversationId }).catch(() => undefined);
  }

  /** Whether anybody looks at this window. */
  private readonly looking = (): void => {
    if (this.link.get().phase !== "online") return;
    const status = document.visibilityState === "visible" ? "online" : "away";
    void this.request({ type: "presence.set", status }).catch(() => undefined);
  };

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
      if (!(error instanceof Refused && error.error.code === "run_ended")) this.notices.complain(error);
    }
  }

  /** Answer again: `messageId` is the question or one of its answers. */
  async regenerate(conversationId: string, messageId: string): Promise<void> {
    await this.ask({
      type: "message.regenerate",
      conversation_id: conversationId,
      message_id: messageId,
      client_request_id: newId(),
    }).catch((error) => this.notices.complain(error));
  }

  role(): string | undefined {
    return roleIn(this.chat.get());
  }

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
        if (!(error instanceof ApiError)) throw error;
        const { status, code } = error;
        if (status === 401) this.session.refuse();
        else if (status > 0 && status < 500 && status !== 429) {
          this.notices.fail(code);
          return null;
        }
        await new Promise((resolve) =>
          this.timers.later(Math.min(RETRY_MS * 2 ** failures, 15_000), () => resolve(null)),
        );
      }
    }
    return null;
  }
}

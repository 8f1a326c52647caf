/**
 * One WebSocket that comes back by itself. Knows frames and time, nothing about conversations.
 */
import type { Command, HelloReply, Push, Reply, ReplyError, ResumePoint } from "./protocol";
import { afterClose, delayBefore } from "./reconnect";
import { CLOSE_CODES } from "./words";

export type Link =
  /** `since` is when the connection was lost or first wanted, in milliseconds since 1970. */
  | { phase: "connecting"; since: number }
  | { phase: "online" }
  /** The server does not want this page back until a person did something. */
  | { phase: "stopped"; code: number };

export interface Owner {
  /** A token that is good now. Rejects when none can be had at the moment. */
  token(): Promise<string>;
  /** The token was refused: do not offer it again. */
  tokenRefused(): void;
  /** What to resume; asked on every attempt. */
  resume(): ResumePoint[];
  /** The server cannot go on from there. */
  forget(): void;
  greeted(hello: HelloReply): void;
  push(push: Push): void;
  link(link: Link): void;
}

/** The command may or may not have been carried out. */
export class ConnectionLost extends Error {}

/** The server said no. */
export class Refused extends Error {
  constructor(readonly error: ReplyError) {
    super(error.code);
  }
}

interface Waiting {
  resolve(reply: unknown): void;
  reject(error: Error): void;
  timer: number;
}

/** The server's own longest wait is 5 s; a reply that takes this long will not come. */
const REPLY_MS = 12_000;
/** To open the socket and be greeted. */
const OPENING_MS = 15_000;
/** After a sleep or a change of network a live server answers much faster than this. */
const PROBE_MS = 5_000;
const WATCH_MS = 5_000;
/** A connection that held this long was a good one: the next loss starts from the smallest delay. */
const HELD_MS = 5_000;

export class Connection {
  private socket: WebSocket | null = null;
  private waiting = new Map<number, Waiting>();
  private lastId = 0;
  private online = false;
  private closed = true;
  private failures = 0;
  /** Tokens refused in a row. */
  private refusals = 0;
  private jitterMs = 1_000;
  private reconnectInMs: number | null = null;
  private pingIntervalMs = 25_000;
  private heardAt = 0;
  private greetedAt = 0;
  private retryTimer = 0;
  private watchTimer = 0;
  private watchedAt = 0;

  constructor(
    private readonly url: string,
    private readonly owner: Owner,
  ) {}

  start(): void {
    if (!this.closed) return;
    this.closed = false;
    this.failures = 0;
    this.refusals = 0;
    this.watchedAt = Date.now();
    this.watchTimer = window.setInterval(this.watch, WATCH_MS);
    window.addEventListener("online", this.hurry);
    window.addEventListener("offline", this.hurry);
    document.addEventListener("visibilitychange", this.seen);
    this.owner.link({ phase: "connecting", since: Date.now() });
    void this.attempt();
  }

  stop(): void {
    this.closed = true;
    window.clearInterval(this.watchTimer);
    window.clearTimeout(this.retryTimer);
    window.removeEventListener("online", this.hurry);
    window.removeEventListener("offline", this.hurry);
    document.removeEventListener("visibilitychange", this.seen);
    this.drop();
  }

  /** Ask and wait for the one reply. Rejects with `Refused` or `ConnectionLost`. */
  request<T = object>(command: Command): Promise<T> {
    if (!this.online) return Promise.reject(new ConnectionLost());
    return this.ask<T>(command, REPLY_MS);
  }

  private ask<T>(command: object, patienceMs: number): Promise<T> {
    const socket = this.socket;
    if (socket?.readyState !== WebSocket.OPEN) return Promise.reject(new ConnectionLost());
    this.lastId += 1;
    const id = this.lastId;
    return new Promise<T>((resolve, reject) => {
      const timer = window.setTimeout(() => this.lost(socket), patienceMs);
      this.waiting.set(id, { resolve: resolve as (reply: unknown) => void, reject, timer });
      socket.send(JSON.stringify({ id, ...command }));
    });
  }

  private async attempt(): Promise<void> {
    let token: string;
    try {
      token = await this.owner.token();
    } catch {
      if (!this.closed) this.retry();
      return;
    }
    if (this.closed || this.socket !== null) return;
    const socket = new WebSocket(this.url, ["chorus.v1"]);
    this.socket = socket;
    const opening = window.setTimeout(() => this.lost(socket), OPENING_MS);
    socket.onopen = () => {
      this.heard();
      this.ask<HelloReply>({ type: "hello", token, resume: this.owner.resume() }, OPENING_MS).then(
        (hello) => {
          window.clearTimeout(opening);
          this.greeted(hello);
        },
        (error: Error) => {
          // The server says no and closes with a code; if it does not close, the timer above does.
          if (!(error instanceof Refused)) return;
          if (error.error.code === "token_expired" || error.error.code === "unauthenticated") {
            this.refusals += 1;
            this.owner.tokenRefused();
          }
        },
      );
    };
    socket.onmessage = (event) => {
      this.heard();
      this.received(JSON.parse(event.data as string) as { id?: number; type?: string });
    };
    socket.onclose = (event) => {
      window.clearTimeout(opening);
      if (this.socket === socket) this.lost(socket, event.code);
    };
  }

  private greeted(hello: HelloReply): void {
    this.online = true;
    this.greetedAt = Date.now();
    this.refusals = 0;
    this.reconnectInMs = null;
    this.pingIntervalMs = hello.ping_interval * 1000;
    this.jitterMs = hello.reconnect_jitter_ms;
    this.owner.link({ phase: "online" });
    this.owner.greeted(hello);
  }

  private received(frame: { id?: number; type?: string }): void {
    if (frame.type === undefined) {
      const reply = frame as Reply;
      const waiting = this.waiting.get(reply.id);
      if (waiting === undefined) return;
      this.waiting.delete(reply.id);
      window.clearTimeout(waiting.timer);
      if (reply.ok) waiting.resolve(reply);
      else waiting.reject(new Refused(reply.error));
      return;
    }
    const push = frame as Push;
    if (push.type === "ping") void this.ask({ type: "ping" }, REPLY_MS).catch(() => undefined);
    else if (push.type === "goodbye") this.reconnectInMs = push.reconnect_in_ms;
    else this.owner.push(push);
  }

  private lost(socket: WebSocket, code = 1006): void {
    if (this.socket !== socket) return;
    const held = this.online && Date.now() - this.greetedAt >= HELD_MS;
    this.drop();
    if (this.closed) return;
    // A token may be refused that was good a moment ago, as when the server's key has changed: one more is tried.
    const then = code === CLOSE_CODES.BAD_TOKEN && this.refusals === 1 ? "new-token" : afterClose(code);
    if (then === "stop") {
      this.stop();
      this.owner.link({ phase: "stopped", code });
      return;
    }
    if (then === "new-token") this.owner.tokenRefused();
    if (then === "anew") this.owner.forget();
    if (held) this.failures = 0;
    this.owner.link({ phase: "connecting", since: Date.now() });
    this.retry();
  }

  /** Let go of the socket at once: a closing handshake with a dead server takes a minute. */
  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    this.online = false;
    for (const { reject, timer } of this.waiting.values()) {
      window.clearTimeout(timer);
      reject(new ConnectionLost());
    }
    this.waiting.clear();
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private retry(): void {
    const delay = delayBefore(
      { failures: this.failures, reconnectInMs: this.reconnectInMs, jitterMs: this.jitterMs },
      Math.random(),
    );
    this.failures += 1;
    this.reconnectInMs = null;
    window.clearTimeout(this.retryTimer);
    this.retryTimer = window.setTimeout(() => void this.attempt(), delay);
  }

  private heard(): void {
    this.heardAt = Date.now();
  }

  /** A browser tells a page nothing about a server that went silent; its pings that stop coming do. */
  private readonly watch = (): void => {
    const now = Date.now();
    const slept = now - this.watchedAt > 4 * WATCH_MS;
    this.watchedAt = now;
    if (!this.online || this.socket === null) return;
    if (slept) this.probe();
    else if (now - this.heardAt > 2 * this.pingIntervalMs) this.lost(this.socket);
  };

  private probe(): void {
    void this.ask({ type: "ping" }, PROBE_MS).catch(() => undefined);
  }

  private readonly seen = (): void => {
    if (document.visibilityState === "visible") this.hurry();
  };

  /** The network has changed, or somebody looks: do not wait out a silence or a long delay. */
  readonly hurry = (): void => {
    if (this.closed) return;
    if (this.online) this.probe();
    else if (this.socket === null) {
      window.clearTimeout(this.retryTimer);
      this.retryTimer = window.setTimeout(() => void this.attempt(), Math.random() * 250);
    }
  };
}

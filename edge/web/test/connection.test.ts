import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Connection, ConnectionLost, type Link, type Owner, Refused } from "../src/net/connection";

/** The server's side of one socket, in the test's hands. */
class FakeSocket {
  static readonly OPEN = 1;
  static opened: FakeSocket[] = [];
  readyState = 0;
  sent: { id: number; type: string; [field: string]: unknown }[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.opened.push(this);
  }

  send(text: string) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  accept() {
    this.readyState = FakeSocket.OPEN;
    this.onopen?.();
  }

  say(frame: object) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  hangUp(code: number) {
    this.readyState = 3;
    this.onclose?.({ code });
  }
}

const HELLO = { session_id: "s", token_expires_in: 3600, ping_interval: 25, reconnect_jitter_ms: 1_000 };

const owner = {
  token: vi.fn<Owner["token"]>(),
  tokenRefused: vi.fn<Owner["tokenRefused"]>(),
  resume: vi.fn<Owner["resume"]>(),
  forget: vi.fn<Owner["forget"]>(),
  greeted: vi.fn<Owner["greeted"]>(),
  push: vi.fn<Owner["push"]>(),
  link: vi.fn<Owner["link"]>(),
};
let connection: Connection;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.opened = [];
  vi.stubGlobal("WebSocket", FakeSocket);
  vi.stubGlobal(
    "window",
    Object.assign(new EventTarget(), {
      setTimeout: globalThis.setTimeout,
      clearTimeout: globalThis.clearTimeout,
      setInterval: globalThis.setInterval,
      clearInterval: globalThis.clearInterval,
    }),
  );
  vi.stubGlobal("document", Object.assign(new EventTarget(), { visibilityState: "visible" }));
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  for (const mock of Object.values(owner)) mock.mockReset();
  owner.token.mockResolvedValue("token-1");
  owner.resume.mockReturnValue([]);
  connection = new Connection("ws://here/v1/ws", owner);
});

afterEach(() => {
  connection.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const sockets = () => FakeSocket.opened;
const socket = () => FakeSocket.opened.at(-1) as FakeSocket;
const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const lastLink = () => owner.link.mock.calls.at(-1)?.[0] as Link;

async function connect(): Promise<FakeSocket> {
  connection.start();
  await wait(0);
  return greet();
}

async function greet(): Promise<FakeSocket> {
  const one = socket();
  one.accept();
  one.say({ id: one.sent[0]?.id, ok: true, ...HELLO });
  await wait(0);
  return one;
}

describe("a connection", () => {
  test("says hello with a token and what to resume, never in the address", async () => {
    owner.resume.mockReturnValue([{ conversation_id: "c1", cursor: "e1:4" }]);
    const one = await connect();

    expect([one.url, one.protocols]).toEqual(["ws://here/v1/ws", ["chorus.v1"]]);
    expect(one.sent).toMatchObject([
      { type: "hello", token: "token-1", resume: [{ conversation_id: "c1", cursor: "e1:4" }] },
    ]);
    expect(lastLink()).toEqual({ phase: "online" });
  });

  test("gives each reply to who asked, and each push to its owner", async () => {
    const one = await connect();
    const first = connection.request({ type: "ping" });
    const second = connection.request({ type: "unsubscribe", conversation_id: "c1" }).catch((error) => error);
    const [, ping, unsubscribe] = one.sent;
    one.say({ id: unsubscribe?.id, ok: false, error: { code: "not_found", message: "", retryable: false } });
    one.say({ type: "run.restarted", run_id: "r1", conversation_id: "c1", attempt: 2 });
    one.say({ id: ping?.id, ok: true });

    await expect(first).resolves.toMatchObject({ ok: true });
    expect(await second).toBeInstanceOf(Refused);
    expect(owner.push.mock.calls).toEqual([
      [{ type: "run.restarted", run_id: "r1", conversation_id: "c1", attempt: 2 }],
    ]);
  });

  test("answers the server's pings", async () => {
    const one = await connect();
    one.say({ type: "ping" });

    expect(one.sent.at(-1)).toMatchObject({ type: "ping" });
  });

  test("tells who waits when it is lost, and comes back with what is to be resumed then", async () => {
    const one = await connect();
    const asked = connection.request({ type: "ping" }).catch((error) => error);
    one.hangUp(1006);
    expect(await asked).toBeInstanceOf(ConnectionLost);
    expect(lastLink().phase).toBe("connecting");

    owner.resume.mockReturnValue([{ conversation_id: "c1", cursor: "e1:9" }]);
    await wait(1_000);
    const two = await greet();
    expect(two).not.toBe(one);
    expect(two.sent[0]).toMatchObject({ type: "hello", resume: [{ cursor: "e1:9" }] });
    expect(lastLink()).toEqual({ phase: "online" });
  });

  test("comes back when the server told it to", async () => {
    const one = await connect();
    one.say({ type: "goodbye", reason: "restart", reconnect_in_ms: 4_000 });
    await wait(6_000);
    one.hangUp(1012);

    await wait(3_900);
    expect(sockets()).toHaveLength(1);
    await wait(200);
    expect(sockets()).toHaveLength(2);
  });

  test("backs off while there is nobody, and starts small again after one that held", async () => {
    const one = await connect();
    await wait(6_000);
    one.hangUp(1006);
    const gaps: number[] = [];
    for (let attempt = 0; attempt < 4; attempt += 1) {
      const before = Date.now();
      const count = sockets().length;
      while (sockets().length === count) await wait(50);
      gaps.push(Date.now() - before);
      socket().hangUp(1006);
    }
    expect(gaps).toEqual([500, 500, 1_000, 2_000]);

    await wait(10_000);
    const back = await greet();
    await wait(6_000);
    back.hangUp(1006);
    await wait(500);
    expect(socket()).not.toBe(back);
  });

  test("does not come back to a server that sent it away, until a person wants to", async () => {
    const one = await connect();
    one.hangUp(4503);
    await wait(120_000);
    expect([sockets().length, lastLink()]).toEqual([1, { phase: "stopped", code: 4503 }]);

    connection.start();
    await wait(0);
    expect(sockets()).toHaveLength(2);
  });

  test("offers another token when the one before has expired", async () => {
    (await connect()).hangUp(4005);

    expect(owner.tokenRefused).toHaveBeenCalledTimes(1);
    await wait(1_000);
    expect(sockets()).toHaveLength(2);
  });

  test("tries one more token when one is refused, and then leaves it to the person", async () => {
    const refuse = () => {
      socket().accept();
      const error = { code: "unauthenticated", message: "", retryable: false };
      socket().say({ id: socket().sent[0]?.id, ok: false, error });
    };
    connection.start();
    await wait(0);
    refuse();
    await wait(0);
    socket().hangUp(4500);
    await wait(2_000);
    expect([sockets().length, owner.tokenRefused.mock.calls.length]).toEqual([2, 2]);

    refuse();
    await wait(0);
    socket().hangUp(4500);
    await wait(60_000);
    expect([sockets().length, lastLink()]).toEqual([2, { phase: "stopped", code: 4500 }]);
  });

  test("that was turned away at the door does what the code says", async () => {
    connection.start();
    await wait(0);
    socket().accept();
    socket().say({ id: 1, ok: false, error: { code: "rate_limited", message: "", retryable: true } });
    await wait(0);
    socket().hangUp(4504);

    expect(lastLink()).toEqual({ phase: "stopped", code: 4504 });
  });

  test("forgets where it was when the server cannot go on from there", async () => {
    (await connect()).hangUp(4010);

    expect(owner.forget).toHaveBeenCalledTimes(1);
  });

  test("notices a server that went silent", async () => {
    const one = await connect();
    await wait(45_000);
    expect(sockets()).toHaveLength(1);

    await wait(12_000);
    expect(one.readyState).toBe(3);
    expect(sockets()).toHaveLength(2);
  });

  test("stays with a server that only pings", async () => {
    const one = await connect();
    for (let n = 0; n < 8; n += 1) {
      await wait(25_000);
      one.say({ type: "ping" });
      one.say({ id: one.sent.at(-1)?.id, ok: true });
    }

    expect(sockets()).toHaveLength(1);
  });

  test("gives up on a reply that does not come, and on the socket with it", async () => {
    const one = await connect();
    const asked = connection.request({ type: "ping" }).catch((error) => error);
    await wait(13_000);

    expect(await asked).toBeInstanceOf(ConnectionLost);
    expect(one.readyState).toBe(3);
  });

  test("gives up on a server that accepts and does not greet", async () => {
    connection.start();
    await wait(0);
    const one = socket();
    one.accept();
    await wait(16_000);

    expect([one.readyState, sockets().length]).toEqual([3, 2]);
  });

  test("tries again when no token can be had at the moment", async () => {
    owner.token.mockRejectedValueOnce(new Error("unreachable"));
    connection.start();
    await wait(0);
    expect(sockets()).toHaveLength(0);

    await wait(1_000);
    expect(sockets()).toHaveLength(1);
  });

  test("does not wait out a long delay when the network is back", async () => {
    connection.start();
    await wait(0);
    for (let n = 0; n < 7; n += 1) {
      socket().hangUp(1006);
      await wait(16_000);
    }
    socket().hangUp(1006);
    const count = sockets().length;
    window.dispatchEvent(new Event("online"));
    await wait(250);

    expect(sockets()).toHaveLength(count + 1);
  });

  test("does nothing any more once it is stopped", async () => {
    const one = await connect();
    connection.stop();
    await wait(120_000);

    expect([sockets().length, one.readyState]).toEqual([1, 3]);
  });
});

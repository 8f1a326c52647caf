/** When to come back after a connection was lost. Pure. */
import { CLOSE_CODES } from "./words";

/** First delay of a lost connection that never was one; doubled each time, at most `CEILING_MS`. */
const FLOOR_MS = 500;
const CEILING_MS = 30_000;

export type AfterClose = "reconnect" | "new-token" | "anew" | "stop";

/**
 * What a close code asks for: the range decides (4500–4999 wait for a person), and three codes ask for more.
 * 4005: come back with a new token. 4010: come back without what was remembered. Codes below 4000 are the
 * network's.
 */
export function afterClose(code: number): AfterClose {
  if (code >= 4500 && code <= 4999) return "stop";
  if (code === CLOSE_CODES.TOKEN_EXPIRED) return "new-token";
  if (code === CLOSE_CODES.CANNOT_RESUME) return "anew";
  return "reconnect";
}

export interface Loss {
  /** Attempts since the last connection that held. */
  failures: number;
  /** What the server said before it closed, in milliseconds. */
  reconnectInMs: number | null;
  /** Over how long the server wants its clients to come back, in milliseconds. */
  jitterMs: number;
}

/**
 * Milliseconds to wait before the next attempt; `random` is in [0, 1).
 *
 * A server that said when to come back is obeyed: it spreads its clients itself. After a sudden loss all of them
 * come at once, so the first attempt is spread over the server's own width, and the rest back off exponentially,
 * each anywhere between nothing and the full width ("full jitter").
 */
export function delayBefore({ failures, reconnectInMs, jitterMs }: Loss, random: number): number {
  if (failures === 0) return reconnectInMs ?? random * jitterMs;
  return random * Math.min(CEILING_MS, FLOOR_MS * 2 ** Math.min(failures, 10));
}

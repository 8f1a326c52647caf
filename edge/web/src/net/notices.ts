/** What the page tells a person in passing, for as long as it can be undone. */
import { Store } from "../state/store";
import { Refused } from "./connection";
import { ApiError } from "./http";
import { SignedOut } from "./session";
import type { Timers } from "./timers";
import { newId } from "./uuid";

/** How long a notice stays, and with it the chance to undo. */
export const NOTICE_MS = 6_000;
const MOST = 3;

export interface Notice {
  id: string;
  kind: "deleted" | "archived" | "restored" | "error";
  /** An error code, for `error`. */
  code: string | null;
  undo: (() => void) | null;
}

export class Notices {
  readonly shown = new Store<readonly Notice[]>([]);

  constructor(private readonly timers: Timers) {}

  tell(kind: Exclude<Notice["kind"], "error">, undo: () => void): void {
    this.show({ id: newId(), kind, code: null, undo });
  }

  fail(code: string): void {
    this.show({ id: newId(), kind: "error", code, undo: null });
  }

  /** Say why something that was asked did not happen. Being signed out shows by itself. */
  complain(error: unknown): void {
    if (error instanceof SignedOut) return;
    this.fail(
      error instanceof Refused ? error.error.code : error instanceof ApiError ? error.code : "unreachable",
    );
  }

  readonly dismiss = (id: string): void => {
    this.shown.set(this.shown.get().filter((notice) => notice.id !== id));
  };

  private show(notice: Notice): void {
    this.shown.set([...this.shown.get().slice(1 - MOST), notice]);
    this.timers.later(NOTICE_MS, () => this.dismiss(notice.id));
  }
}

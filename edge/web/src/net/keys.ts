/** Idempotency keys: what was asked for and not answered is asked for again with the same key, and done once. */
import { newId } from "./uuid";

export class Keys {
  readonly #open = new Map<string, string>();

  /** The key of this request, the same until it has been answered. */
  of(what: string): string {
    const key = this.#open.get(what) ?? newId();
    this.#open.set(what, key);
    return key;
  }

  /** Whoever asks for the same now means another one. */
  answered(what: string): void {
    this.#open.delete(what);
  }
}

/**
 * Who is signed in, and a token that is good now.
 *
 * The access token lives in memory only. The refresh token is rotated on every use and all windows share one, so
 * they take turns: a used token offered twice looks like theft to the server.
 */
import * as api from "./api";
import type { User } from "./protocol";

const KEY = "chorus.refresh-token";
/** A token is renewed when this much of its life has passed: enough left for an hour-long token to retry. */
const RENEW_AFTER = 0.8;

export class SignedOut extends Error {}

export class Session {
  private access: { token: string; renewAt: number } | null = null;
  private renewing: Promise<string> | null = null;

  /** `ended` is called when the server, or another window, has ended the session. */
  constructor(private readonly ended: () => void) {
    window.addEventListener("storage", (event) => {
      if (event.key === KEY && event.newValue === null) this.forget();
    });
  }

  static remembered(): boolean {
    return localStorage.getItem(KEY) !== null;
  }

  async signUp(email: string, password: string, displayName: string): Promise<User> {
    const answer = await api.register(email, password, displayName);
    this.keep(answer);
    return answer.user;
  }

  async signIn(email: string, password: string): Promise<User> {
    this.keep(await api.login(email, password));
    return this.me();
  }

  async me(): Promise<User> {
    return api.me(await this.token());
  }

  async signOut(): Promise<void> {
    const refreshToken = localStorage.getItem(KEY);
    this.access = null;
    localStorage.removeItem(KEY);
    // Signing out works without a server too: the token then ends by its age.
    if (refreshToken !== null) await api.logout(refreshToken).catch(() => undefined);
  }

  /** Rejects with `SignedOut`, or with an `ApiError` when the server cannot be asked now. */
  async token(): Promise<string> {
    if (this.access !== null && Date.now() < this.access.renewAt) return this.access.token;
    this.renewing ??= exclusively(() => this.renew()).finally(() => {
      this.renewing = null;
    });
    return this.renewing;
  }

  /** The token in memory, for a request on the way out that cannot wait. */
  tokenAtHand(): string | null {
    return this.access?.token ?? null;
  }

  refuse(): void {
    this.access = null;
  }

  /** Milliseconds until the token should be renewed. */
  renewIn(): number {
    return Math.max(0, (this.access?.renewAt ?? 0) - Date.now());
  }

  private async renew(): Promise<string> {
    const refreshToken = localStorage.getItem(KEY);
    if (refreshToken === null) throw new SignedOut();
    try {
      return this.keep(await api.refresh(refreshToken));
    } catch (error) {
      if (error instanceof api.ApiError && (error.status === 401 || error.status === 403)) {
        // Another window was faster, and this one could not see it coming.
        if (localStorage.getItem(KEY) !== refreshToken) return this.renew();
        this.forget();
        throw new SignedOut();
      }
      throw error;
    }
  }

  private keep(tokens: api.Tokens): string {
    localStorage.setItem(KEY, tokens.refresh_token);
    this.access = {
      token: tokens.access_token,
      renewAt: Date.now() + tokens.expires_in * 1000 * RENEW_AFTER,
    };
    return tokens.access_token;
  }

  private forget(): void {
    this.access = null;
    localStorage.removeItem(KEY);
    this.ended();
  }
}

/** One window at a time, where the browser can tell (it cannot on plain HTTP away from this machine). */
function exclusively<T>(work: () => Promise<T>): Promise<T> {
  return "locks" in navigator ? navigator.locks.request("chorus.refresh", work) : work();
}

/**
 * Who is signed in, and a token that is good now.
 *
 * The access token lives in memory only. The refresh token is rotated on every use and all windows share one, so
 * they take turns: a used token offered twice looks like theft to the server.
 */
import * as api from "./api";
import type { SignedIn } from "./described";
import { ApiError } from "./http";
import type { User } from "./protocol";

const KEY = "chorus.refresh-token";
/** Stands for a refresh token that only the browser can see. */
const IN_COOKIE = "cookie";
/** Left here by a page that goes to a provider: whoever comes back finds a cookie. */
const AWAY_KEY = "chorus.signing-in";
/** A token is renewed when this much of its life has passed: enough left for an hour-long token to retry. */
const RENEW_AFTER = 0.8;

/** What the sign-in page says first. */
export type Farewell = "signedOut" | "reset" | "farewell";

export class SignedOut extends Error {}

export class Session {
  private access: { token: string; renewAt: number } | null = null;
  private renewing: Promise<string> | null = null;

  /** `ended` is called when the server, or another window, has ended the session. */
  constructor(private readonly ended: (why: Farewell) => void) {
    window.addEventListener("storage", (event) => {
      if (event.key === KEY && event.newValue === null) this.forget("signedOut");
    });
  }

  static remembered(): boolean {
    if (sessionStorage.getItem(AWAY_KEY) !== null) {
      sessionStorage.removeItem(AWAY_KEY);
      localStorage.setItem(KEY, IN_COOKIE);
    }
    return localStorage.getItem(KEY) !== null;
  }

  /** Where a provider's sign-in begins. `next` is an address of this page. */
  static leaveFor(provider: string, next: string): void {
    sessionStorage.setItem(AWAY_KEY, provider);
    location.assign(`/v1/auth/oauth/${provider}/start?${new URLSearchParams({ next })}`);
  }

  /** The return from a provider failed: there is no cookie to look for. */
  static cameBackEmpty(): void {
    sessionStorage.removeItem(AWAY_KEY);
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

  async signOutEverywhere(): Promise<void> {
    await api.logoutEverywhere(await this.token());
    this.access = null;
    localStorage.removeItem(KEY);
  }

  /** This sign-in is over, by the server's word or by what was done here. */
  end(why: Farewell): void {
    this.forget(why);
  }

  async me(): Promise<User> {
    return api.me(await this.token());
  }

  async signOut(): Promise<void> {
    const refreshToken = localStorage.getItem(KEY);
    this.access = null;
    localStorage.removeItem(KEY);
    // Signing out works without a server too: the token then ends by its age.
    if (refreshToken !== null) await api.logout(given(refreshToken)).catch(() => undefined);
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
      return this.keep(await api.refresh(given(refreshToken)));
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) {
        // Another window was faster, and this one could not see it coming.
        if (localStorage.getItem(KEY) !== refreshToken) return this.renew();
        this.forget("signedOut");
        throw new SignedOut();
      }
      throw error;
    }
  }

  private keep(tokens: SignedIn): string {
    localStorage.setItem(KEY, tokens.refresh_token ?? IN_COOKIE);
    this.access = {
      token: tokens.access_token,
      renewAt: Date.now() + tokens.expires_in * 1000 * RENEW_AFTER,
    };
    return tokens.access_token;
  }

  private forget(why: Farewell): void {
    this.access = null;
    localStorage.removeItem(KEY);
    this.ended(why);
  }
}

const given = (kept: string): string | null => (kept === IN_COOKIE ? null : kept);

/** One window at a time, where the browser can tell (it cannot on plain HTTP away from this machine). */
function exclusively<T>(work: () => Promise<T>): Promise<T> {
  return "locks" in navigator ? navigator.locks.request("chorus.refresh", work) : work();
}

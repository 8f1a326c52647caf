/** REST: one's own account. */
import { call, type Page } from "./http";
import type { User } from "./protocol";

const ME = "/v1/users/me";

export const rename = (token: string, displayName: string) =>
  call<User>(ME, { method: "PATCH", body: { display_name: displayName }, token });

/** `current` is not asked of those who have no password yet. */
export const setPassword = (token: string, current: string | null, next: string) =>
  call<void>(`${ME}/password`, {
    method: "POST",
    body: { new_password: next, ...(current === null ? {} : { current_password: current }) },
    token,
  });

export const sendVerification = (token: string) =>
  call<void>("/v1/auth/email/verify/send", { method: "POST", token });

export interface Identity {
  provider: string;
  email?: string | null;
  created_at: string;
}

export interface Identities {
  data: Identity[];
  has_password?: boolean;
}

export const identities = (token: string) => call<Identities>(`${ME}/identities`, { token });

export const link = (token: string, provider: string, next: string) =>
  call<{ url: string }>(`${ME}/identities/${provider}/start`, { method: "POST", body: { next }, token });

export const unlink = (token: string, provider: string) =>
  call<void>(`${ME}/identities/${provider}`, { method: "DELETE", token });

export interface SignIn {
  id: string;
  created_at: string;
  last_used_at: string;
  current: boolean;
}

export const sessions = (token: string) => call<Page<SignIn>>(`${ME}/sessions`, { token });

export const endSession = (token: string, id: string) =>
  call<void>(`${ME}/sessions/${id}`, { method: "DELETE", token });

export const takeout = (token: string) => call<Blob>(`${ME}/export`, { token, as: "file" });

export interface Receipt {
  id: string;
  at: string;
  done: string[];
  kept: { what: string; why: string }[];
}

export const remove = (token: string, confirm: string) =>
  call<Receipt>(ME, { method: "DELETE", body: { confirm }, token });

/** REST: one's own account. */
import { call, file } from "./http";

export const rename = (token: string, displayName: string) =>
  call("PATCH /v1/users/me", { body: { display_name: displayName }, token });

/** `current` is not asked of those who have no password yet. */
export const setPassword = (token: string, current: string | null, next: string) =>
  call("POST /v1/users/me/password", { body: { current_password: current, new_password: next }, token });

export const sendVerification = (token: string) => call("POST /v1/auth/email/verify/send", { token });

export const identities = (token: string) => call("GET /v1/users/me/identities", { token });

export const link = (token: string, provider: string, next: string) =>
  call("POST /v1/users/me/identities/{provider}/start", { path: { provider }, body: { next }, token });

export const unlink = (token: string, provider: string) =>
  call("DELETE /v1/users/me/identities/{provider}", { path: { provider }, token });

export const sessions = (token: string) => call("GET /v1/users/me/sessions", { token });

export const endSession = (token: string, id: string) =>
  call("DELETE /v1/users/me/sessions/{session_id}", { path: { session_id: id }, token });

export const takeout = (token: string) => file("GET /v1/users/me/export", { token });

export const remove = (token: string, confirm: string) =>
  call("DELETE /v1/users/me", { body: { confirm }, token });

/** REST: signing in, and what the conversations on the screen need. */
import { call, type Page, query } from "./http";
import type { Conversation, Message, Project, User } from "./protocol";

export interface Tokens {
  access_token: string;
  /** None where it came as a cookie. */
  refresh_token?: string | null;
  /** Seconds. */
  expires_in: number;
}

export interface Config {
  ws_url?: string | null;
  oauth_providers?: string[];
}

export type PagedMessage = Message & { cursor: string };

export const config = () => call<Config>("/v1/config");

export const register = (email: string, password: string, displayName: string) =>
  call<Tokens & { user: User }>("/v1/auth/register", {
    method: "POST",
    body: { email, password, display_name: displayName },
  });

export const login = (email: string, password: string) =>
  call<Tokens>("/v1/auth/login", { method: "POST", body: { email, password } });

/** Without a token the browser gives the one in its cookie. */
export const refresh = (refreshToken: string | null) =>
  call<Tokens>("/v1/auth/refresh", {
    method: "POST",
    body: refreshToken === null ? {} : { refresh_token: refreshToken },
  });

export const logout = (refreshToken: string | null) =>
  call<void>("/v1/auth/logout", {
    method: "POST",
    body: refreshToken === null ? {} : { refresh_token: refreshToken },
  });

export const logoutEverywhere = (token: string) =>
  call<void>("/v1/auth/logout", { method: "POST", body: { everywhere: true }, token });

/** Answers the same whether there is such an account or not. */
export const forgot = (email: string) =>
  call<void>("/v1/auth/password/forgot", { method: "POST", body: { email } });

export const reset = (token: string, password: string) =>
  call<void>("/v1/auth/password/reset", { method: "POST", body: { token, password } });

export const verifyEmail = (token: string) =>
  call<void>("/v1/auth/email/verify", { method: "POST", body: { token } });

export const me = (token: string) => call<User>("/v1/users/me", { token });

export const projects = (token: string, cursor: string | null = null) =>
  call<Page<Project>>(`/v1/projects${query({ limit: 200, cursor })}`, { token });

export const conversations = (
  token: string,
  projectId: string,
  which: { archived?: boolean; deleted?: boolean; pinned?: boolean },
  cursor: string | null = null,
) =>
  call<Page<Conversation>>(`/v1/projects/${projectId}/conversations${query({ ...which, cursor })}`, {
    token,
  });

/** The last messages before a cursor, oldest first. */
export const messagesBefore = (token: string, conversationId: string, before: string, limit: number) =>
  call<{ data: PagedMessage[] }>(`/v1/conversations/${conversationId}/messages${query({ before, limit })}`, {
    token,
  });

/** `keepalive` lets it go out while the page is being closed. */
export const deleteConversation = (token: string, conversationId: string, keepalive: boolean) =>
  call<void>(`/v1/conversations/${conversationId}`, { method: "DELETE", token, keepalive });

/** REST: signing in, and what the conversations on the screen need. */
import { call } from "./http";

export const config = () => call("GET /v1/config", {});

export const register = (email: string, password: string, displayName: string) =>
  call("POST /v1/auth/register", { body: { email, password, display_name: displayName } });

export const login = (email: string, password: string) =>
  call("POST /v1/auth/login", { body: { email, password } });

/** Without a token the browser gives the one in its cookie. */
export const refresh = (refreshToken: string | null) =>
  call("POST /v1/auth/refresh", { body: { refresh_token: refreshToken } });

export const logout = (refreshToken: string | null) =>
  call("POST /v1/auth/logout", { body: { refresh_token: refreshToken } });

export const logoutEverywhere = (token: string) =>
  call("POST /v1/auth/logout", { body: { everywhere: true }, token });

/** Answers the same whether there is such an account or not. */
export const forgot = (email: string) => call("POST /v1/auth/password/forgot", { body: { email } });

export const reset = (token: string, password: string) =>
  call("POST /v1/auth/password/reset", { body: { token, password } });

/** `proof` is the mailed link's; only the account itself may say that the address is its own. */
export const verifyEmail = (token: string, proof: string) =>
  call("POST /v1/auth/email/verify", { body: { token: proof }, token });

export const me = (token: string) => call("GET /v1/users/me", { token });

export const projects = (token: string, cursor: string | null = null) =>
  call("GET /v1/projects", { query: { limit: 200, cursor }, token });

export const conversations = (
  token: string,
  projectId: string,
  which: { archived?: boolean; deleted?: boolean; pinned?: boolean },
  cursor: string | null = null,
) =>
  call("GET /v1/projects/{project_id}/conversations", {
    path: { project_id: projectId },
    query: { ...which, cursor },
    token,
  });

/** The last messages before a cursor, oldest first. */
export const messagesBefore = (token: string, conversationId: string, before: string, limit: number) =>
  call("GET /v1/conversations/{conversation_id}/messages", {
    path: { conversation_id: conversationId },
    query: { before, limit },
    token,
  });

/** `keepalive` lets it go out while the page is being closed. */
export const deleteConversation = (token: string, conversationId: string, keepalive: boolean) =>
  call("DELETE /v1/conversations/{conversation_id}", {
    path: { conversation_id: conversationId },
    token,
    keepalive,
  });

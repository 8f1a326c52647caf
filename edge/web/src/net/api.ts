/** REST: one function for each thing the page asks, and one kind of error. */
import type { Conversation, Message, Project, User } from "./protocol";

export interface Tokens {
  access_token: string;
  refresh_token: string;
  /** Seconds. */
  expires_in: number;
}

export interface Config {
  ws_url?: string | null;
}

export interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

/** An answer that is not the one hoped for. `status` 0: none came at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    /** Names of the fields that were refused. */
    readonly fields: readonly string[] = [],
  ) {
    super(`${status} ${code}`);
  }
}

export type PagedMessage = Message & { cursor: string };

interface Problem {
  code?: string;
  errors?: { field?: string; loc?: unknown; pointer?: string }[];
}

interface Call {
  method?: "GET" | "POST" | "PATCH" | "DELETE";
  body?: unknown;
  token?: string;
  /** Let it outlive the page. */
  keepalive?: boolean;
}

/** Longer than the server itself waits for anything (5 s). */
const PATIENCE_MS = 15_000;

async function call<T>(
  path: string,
  { method = "GET", body, token, keepalive = false }: Call = {},
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      keepalive,
      signal: keepalive ? null : AbortSignal.timeout(PATIENCE_MS),
    });
    if (response.ok) return (response.status === 204 ? undefined : await response.json()) as T;
  } catch {
    throw new ApiError(0, "unreachable");
  }
  const problem = (await response.json().catch(() => ({}))) as Problem;
  const fields = (problem.errors ?? []).map(
    (one) => `${one.field ?? ""}${one.pointer ?? ""}${String(one.loc ?? "")}`,
  );
  throw new ApiError(
    response.status,
    problem.code ?? (response.status >= 500 ? "unavailable" : "internal"),
    fields,
  );
}

export const config = () => call<Config>("/v1/config");

export const register = (email: string, password: string, displayName: string) =>
  call<Tokens & { user: User }>("/v1/auth/register", {
    method: "POST",
    body: { email, password, display_name: displayName },
  });

export const login = (email: string, password: string) =>
  call<Tokens>("/v1/auth/login", { method: "POST", body: { email, password } });

export const refresh = (refreshToken: string) =>
  call<Tokens>("/v1/auth/refresh", { method: "POST", body: { refresh_token: refreshToken } });

export const logout = (refreshToken: string) =>
  call<void>("/v1/auth/logout", { method: "POST", body: { refresh_token: refreshToken } });

export const me = (token: string) => call<User>("/v1/users/me", { token });

export const projects = (token: string) => call<Page<Project>>("/v1/projects", { token });

export function conversations(token: string, projectId: string, archived: boolean, cursor: string | null) {
  const query = new URLSearchParams({ archived: String(archived) });
  if (cursor !== null) query.set("cursor", cursor);
  return call<Page<Conversation>>(`/v1/projects/${projectId}/conversations?${query}`, { token });
}

/** The last messages before a cursor, oldest first. */
export function messagesBefore(token: string, conversationId: string, before: string, limit: number) {
  const query = new URLSearchParams({ before, limit: String(limit) });
  return call<{ data: PagedMessage[] }>(`/v1/conversations/${conversationId}/messages?${query}`, {
    token,
  });
}

/** `keepalive` lets it go out while the page is being closed. */
export const deleteConversation = (token: string, conversationId: string, keepalive: boolean) =>
  call<void>(`/v1/conversations/${conversationId}`, { method: "DELETE", token, keepalive });

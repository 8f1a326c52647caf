/** REST: one conversation as a thing to pin, restore, take home and share; and search. */
import { call, type Page, query } from "./http";
import type { Conversation } from "./protocol";

const of = (id: string) => `/v1/conversations/${id}`;

export const pin = (token: string, id: string, pinned: boolean) =>
  call<void>(`${of(id)}/pin`, { method: pinned ? "PUT" : "DELETE", token });

export const restore = (token: string, id: string) =>
  call<Conversation>(`${of(id)}/restore`, { method: "POST", token });

export type ExportFormat = "markdown" | "json";

export const exported = (token: string, id: string, format: ExportFormat) =>
  call<Blob>(`${of(id)}/export${query({ format })}`, { token, as: "file" });

export interface Share {
  id: string;
  created_by: string;
  created_at: string;
}

export const shares = (token: string, id: string) => call<{ data: Share[] }>(`${of(id)}/shares`, { token });

/** `url` is shown this once. */
export const share = (token: string, id: string) =>
  call<Share & { url: string }>(`${of(id)}/shares`, { method: "POST", token });

export const revokeShare = (token: string, id: string, shareId: string) =>
  call<void>(`${of(id)}/shares/${shareId}`, { method: "DELETE", token });

export interface SharedMessage {
  role: string;
  author: string;
  content: string;
  deleted: boolean;
  created_at: string;
}

export interface Shared {
  title: string | null;
  shared_at: string;
  messages: SharedMessage[];
  next_cursor: string | null;
}

/** No account needed. */
export const shared = (link: string, cursor: string | null) =>
  call<Shared>(`/v1/shared/${encodeURIComponent(link)}${query({ cursor })}`);

export interface Hit {
  conversation_id: string;
  conversation_title: string | null;
  project_id: string;
  archived: boolean;
  /** Null: the title matches. */
  message_id: string | null;
  role: string | null;
  author_id: string | null;
  created_at: string;
  snippet: { text: string; match: boolean }[];
}

export const search = (token: string, q: string, projectId: string | null, cursor: string | null) =>
  call<Page<Hit>>(`/v1/search${query({ q, project_id: projectId, cursor })}`, { token });

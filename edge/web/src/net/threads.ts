/** REST: one conversation as a thing to pin, restore, take home and share; and search. */
import type { Operations } from "./described";
import { call, file } from "./http";

const of = (id: string) => ({ conversation_id: id });

export const pin = (token: string, id: string, pinned: boolean) =>
  call(`${pinned ? "PUT" : "DELETE"} /v1/conversations/{conversation_id}/pin`, { path: of(id), token });

export const restore = (token: string, id: string) =>
  call("POST /v1/conversations/{conversation_id}/restore", { path: of(id), token });

export type ExportFormat = NonNullable<
  Operations["GET /v1/conversations/{conversation_id}/export"]["query"]["format"]
>;

export const exported = (token: string, id: string, format: ExportFormat) =>
  file("GET /v1/conversations/{conversation_id}/export", { path: of(id), query: { format }, token });

export const shares = (token: string, id: string) =>
  call("GET /v1/conversations/{conversation_id}/shares", { path: of(id), token });

/** `url` is shown this once. */
export const share = (token: string, id: string) =>
  call("POST /v1/conversations/{conversation_id}/shares", { path: of(id), token });

export const revokeShare = (token: string, id: string, shareId: string) =>
  call("DELETE /v1/conversations/{conversation_id}/shares/{share_id}", {
    path: { ...of(id), share_id: shareId },
    token,
  });

/** No account needed. */
export const shared = (link: string, cursor: string | null) =>
  call("GET /v1/shared/{token}", { path: { token: link }, query: { cursor } });

export const search = (token: string, q: string, projectId: string | null, cursor: string | null) =>
  call("GET /v1/search", { query: { q, project_id: projectId, cursor }, token });

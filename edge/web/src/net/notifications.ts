/** REST: what a person is told of, how, and where else it goes: a project's webhooks. */
import type { NewWebhook, Preferences, WebhookChange } from "./described";
import { call } from "./http";

export type { Channels, Delivery, Kind, Notification, Preferences, Webhook } from "./described";

export const list = (token: string, cursor: string | null) =>
  call("GET /v1/notifications", { query: { limit: 20, cursor }, token });

/** This one is read, and all that stand below it. */
export const read = (token: string, upTo: string) =>
  call("POST /v1/notifications/read", { body: { up_to: upTo }, token });

export const preferences = (token: string) => call("GET /v1/notifications/preferences", { token });

export const prefer = (token: string, body: Preferences) =>
  call("PUT /v1/notifications/preferences", { body, token });

// -- webhooks -----------------------------------------------------------------------------------------------------

const of = (projectId: string) => ({ project_id: projectId });
const one = (projectId: string, webhookId: string) => ({ project_id: projectId, webhook_id: webhookId });

export const webhooks = (token: string, projectId: string, cursor: string | null) =>
  call("GET /v1/projects/{project_id}/webhooks", { path: of(projectId), query: { cursor }, token });

/** `secret` is shown this once. */
export const addWebhook = (token: string, projectId: string, body: NewWebhook) =>
  call("POST /v1/projects/{project_id}/webhooks", { path: of(projectId), body, token });

export const changeWebhook = (token: string, projectId: string, id: string, body: WebhookChange) =>
  call("PATCH /v1/projects/{project_id}/webhooks/{webhook_id}", { path: one(projectId, id), body, token });

export const removeWebhook = (token: string, projectId: string, id: string) =>
  call("DELETE /v1/projects/{project_id}/webhooks/{webhook_id}", { path: one(projectId, id), token });

/** The one before stops being used at once. */
export const newSecret = (token: string, projectId: string, id: string) =>
  call("POST /v1/projects/{project_id}/webhooks/{webhook_id}/secret", { path: one(projectId, id), token });

export const testWebhook = (token: string, projectId: string, id: string) =>
  call("POST /v1/projects/{project_id}/webhooks/{webhook_id}/test", { path: one(projectId, id), token });

export const deliveries = (token: string, projectId: string, id: string, cursor: string | null) =>
  call("GET /v1/projects/{project_id}/webhooks/{webhook_id}/deliveries", {
    path: one(projectId, id),
    query: { limit: 20, cursor },
    token,
  });

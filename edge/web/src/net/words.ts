// Words that the page shares with the server: codes of errors and of closing, and who may do what.
// Written by `python -m clients.generate` from schemas; not by hand.

export type ErrorCode =
  | "unauthenticated"
  | "token_expired"
  | "forbidden_origin"
  | "not_found"
  | "forbidden"
  | "invalid"
  | "too_large"
  | "idempotency_mismatch"
  | "in_progress"
  | "precondition_failed"
  | "conversation_busy"
  | "conversation_archived"
  | "run_ended"
  | "insufficient_credits"
  | "rate_limited"
  | "agent_unavailable"
  | "unavailable"
  | "internal";

/** 4000 to 4499: come back. 4500 and above: not before a person did something. */
export const CLOSE_CODES = {
  GOING_AWAY: 1001,
  TOO_LARGE: 1009,
  SERVICE_RESTART: 1012,
  SHUTTING_DOWN: 4001,
  TOKEN_EXPIRED: 4005,
  TOO_SLOW: 4008,
  CANNOT_RESUME: 4010,
  NO_PONG: 4012,
  TOO_MANY_REQUESTS: 4013,
  BAD_TOKEN: 4500,
  MALFORMED: 4501,
  NO_HELLO: 4502,
  REVOKED: 4503,
  TOO_MANY_CONNECTIONS: 4504,
} as const;

export type Action = "read" | "write" | "share" | "manage_conversations" | "manage_agents" | "manage_webhooks" | "manage_members" | "manage_money" | "read_audit" | "rename_project" | "manage_owners" | "delete_project";

/** What each role allows, from the least to the most. */
export const MATRIX = {
  viewer: ["read"],
  member: ["read", "write", "share"],
  admin: ["read", "write", "share", "manage_conversations", "manage_agents", "manage_webhooks", "manage_members", "manage_money", "read_audit", "rename_project"],
  owner: ["read", "write", "share", "manage_conversations", "manage_agents", "manage_webhooks", "manage_members", "manage_money", "read_audit", "rename_project", "manage_owners", "delete_project"],
} as const satisfies Record<string, readonly Action[]>;

export type Role = keyof typeof MATRIX;

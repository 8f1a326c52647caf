/** Who may do what in a project: what the server decides, so that nothing is offered that it would refuse. */

export const ROLES = ["viewer", "member", "admin", "owner"] as const;
export type Role = (typeof ROLES)[number];

export type Action =
  | "read"
  | "write"
  | "share"
  | "manage_conversations"
  | "manage_agents"
  | "manage_members"
  | "rename_project"
  | "manage_owners"
  | "delete_project";

/** The least role that may. */
const LEAST: Record<Action, Role> = {
  read: "viewer",
  write: "member",
  share: "member",
  manage_conversations: "admin",
  manage_agents: "admin",
  manage_members: "admin",
  rename_project: "admin",
  manage_owners: "owner",
  delete_project: "owner",
};

/** A role that nobody knows allows nothing. */
export function may(role: string | undefined, action: Action): boolean {
  return ROLES.indexOf(role as Role) >= ROLES.indexOf(LEAST[action]);
}

/** Whether a conversation may be archived, deleted and restored. */
export const mayEnd = (role: string | undefined, own: boolean): boolean =>
  may(role, own ? "write" : "manage_conversations");

/** Whether somebody else may be given another role; null: taken out, or not in yet. */
export function maySetRole(role: string | undefined, present: Role | null, wanted: Role | null): boolean {
  return may(role, present === "owner" || wanted === "owner" ? "manage_owners" : "manage_members");
}

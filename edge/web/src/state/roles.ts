/** Who may do what in a project: what the server decides, so that nothing is offered that it would refuse. */

import { type Action, MATRIX, type Role } from "../net/words";

/** From the least to the most. */
export const ROLES = Object.keys(MATRIX) as Role[];

/** A role that nobody knows allows nothing. */
export function may(role: string | undefined, action: Action): boolean {
  const allowed: Readonly<Record<string, readonly Action[]>> = MATRIX;
  return allowed[role ?? ""]?.includes(action) ?? false;
}

/** Whether a conversation may be archived, deleted and restored. */
export const mayEnd = (role: string | undefined, own: boolean): boolean =>
  may(role, own ? "write" : "manage_conversations");

/** Whether somebody else may be given another role; null: taken out, or not in yet. */
export function maySetRole(role: string | undefined, present: Role | null, wanted: Role | null): boolean {
  return may(role, present === "owner" || wanted === "owner" ? "manage_owners" : "manage_members");
}

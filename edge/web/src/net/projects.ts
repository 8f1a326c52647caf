/** REST: projects, who is in them, and the agents that answer there. */

import type { Role } from "../state/roles";
import { call, type Page, query } from "./http";
import type { Agent, AgentConfig, Member, Project } from "./protocol";

const of = (id: string) => `/v1/projects/${id}`;

export const create = (token: string, name: string) =>
  call<Project>("/v1/projects", { method: "POST", body: { name }, token });

export const change = (
  token: string,
  id: string,
  body: { name?: string; default_agent_id?: string | null },
) => call<Project>(of(id), { method: "PATCH", body, token });

/** `confirm` is the project's name: nobody deletes one by mistake. */
export const remove = (token: string, id: string, confirm: string) =>
  call<void>(`${of(id)}${query({ confirm })}`, { method: "DELETE", token });

export const deleted = (token: string) => call<Page<Project>>("/v1/projects?deleted=true", { token });

export const restore = (token: string, id: string) =>
  call<Project>(`${of(id)}/restore`, { method: "POST", token });

export const transfer = (token: string, id: string, userId: string) =>
  call<Member>(`${of(id)}/transfer`, { method: "POST", body: { user_id: userId }, token });

// -- members ------------------------------------------------------------------------------------------------------

export const members = (token: string, id: string, cursor: string | null) =>
  call<Page<Member>>(`${of(id)}/members${query({ limit: 200, cursor })}`, { token });

export interface Invitation {
  invitation_id: string;
  email: string;
  role: Role;
  created_at: string;
  expires_at: string;
}

/** Whoever has an account is a member at once; anybody else is invited by mail. */
export const addMember = (token: string, id: string, email: string, role: Role) =>
  call<Member | (Invitation & { status: "invited" })>(`${of(id)}/members`, {
    method: "POST",
    body: { email, role },
    token,
  });

export const changeRole = (token: string, id: string, userId: string, role: Role) =>
  call<Member>(`${of(id)}/members/${userId}`, { method: "PATCH", body: { role }, token });

/** Oneself: leave. */
export const removeMember = (token: string, id: string, userId: string) =>
  call<void>(`${of(id)}/members/${userId}`, { method: "DELETE", token });

export const invitations = (token: string, id: string, cursor: string | null) =>
  call<Page<Invitation>>(`${of(id)}/invitations${query({ limit: 200, cursor })}`, { token });

export const withdraw = (token: string, id: string, invitationId: string) =>
  call<void>(`${of(id)}/invitations/${invitationId}`, { method: "DELETE", token });

export const accept = (token: string, invitation: string) =>
  call<Project>("/v1/invitations/accept", { method: "POST", body: { token: invitation }, token });

// -- agents -------------------------------------------------------------------------------------------------------

export const agents = (token: string, id: string, cursor: string | null) =>
  call<Page<Agent>>(`${of(id)}/agents${query({ limit: 200, cursor })}`, { token });

export const createAgent = (token: string, id: string, body: { name: string; config: AgentConfig }) =>
  call<Agent>(`${of(id)}/agents`, { method: "POST", body, token });

/** A change of `config` is a new version. */
export const changeAgent = (token: string, agentId: string, body: { name?: string; config?: AgentConfig }) =>
  call<Agent>(`/v1/agents/${agentId}`, { method: "PATCH", body, token });

export const removeAgent = (token: string, agentId: string) =>
  call<void>(`/v1/agents/${agentId}`, { method: "DELETE", token });

export interface AgentVersion {
  version: number;
  config: AgentConfig;
  created_at: string;
}

export const versions = (token: string, agentId: string) =>
  call<Page<AgentVersion>>(`/v1/agents/${agentId}/versions`, { token });

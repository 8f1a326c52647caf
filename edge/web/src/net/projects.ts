/** REST: projects, who is in them, and the agents that answer there. */
import type { AgentChange, NewAgent, ProjectChange } from "./described";
import { call, type Page, type Tagged, tagged } from "./http";
import type { Agent, AgentVersion } from "./protocol";
import type { Role } from "./words";

const of = (id: string) => ({ project_id: id });
const agent = (id: string) => ({ agent_id: id });

export const create = (token: string, name: string) => call("POST /v1/projects", { body: { name }, token });

/** With its tag, without which nobody knows whether it was changed since. */
export const one = (token: string, id: string) =>
  tagged("GET /v1/projects/{project_id}", { path: of(id), token });

/** `seen` is the tag of what the person saw: 412 where somebody else has changed it since. */
export const change = (token: string, id: string, body: ProjectChange, seen: string | null) =>
  call("PATCH /v1/projects/{project_id}", { path: of(id), body, token, ifMatch: seen });

/** `confirm` is the project's name: nobody deletes one by mistake. */
export const remove = (token: string, id: string, confirm: string) =>
  call("DELETE /v1/projects/{project_id}", { path: of(id), query: { confirm }, token });

export const deleted = (token: string) => call("GET /v1/projects", { query: { deleted: true }, token });

export const restore = (token: string, id: string) =>
  call("POST /v1/projects/{project_id}/restore", { path: of(id), token });

export const transfer = (token: string, id: string, userId: string) =>
  call("POST /v1/projects/{project_id}/transfer", { path: of(id), body: { user_id: userId }, token });

// -- members ------------------------------------------------------------------------------------------------------

export const members = (token: string, id: string, cursor: string | null) =>
  call("GET /v1/projects/{project_id}/members", { path: of(id), query: { limit: 200, cursor }, token });

/** Whoever has an account is a member at once; anybody else is invited by mail. */
export const addMember = (token: string, id: string, email: string, role: Role) =>
  call("POST /v1/projects/{project_id}/members", { path: of(id), body: { email, role }, token });

export const changeRole = (token: string, id: string, userId: string, role: Role) =>
  call("PATCH /v1/projects/{project_id}/members/{user_id}", {
    path: { ...of(id), user_id: userId },
    body: { role },
    token,
  });

/** Oneself: leave. */
export const removeMember = (token: string, id: string, userId: string) =>
  call("DELETE /v1/projects/{project_id}/members/{user_id}", { path: { ...of(id), user_id: userId }, token });

export const invitations = (token: string, id: string, cursor: string | null) =>
  call("GET /v1/projects/{project_id}/invitations", { path: of(id), query: { limit: 200, cursor }, token });

export const withdraw = (token: string, id: string, invitationId: string) =>
  call("DELETE /v1/projects/{project_id}/invitations/{invitation_id}", {
    path: { ...of(id), invitation_id: invitationId },
    token,
  });

export const accept = (token: string, invitation: string) =>
  call("POST /v1/invitations/accept", { body: { token: invitation }, token });

// -- agents -------------------------------------------------------------------------------------------------------

export const agents = (token: string, id: string, cursor: string | null) =>
  call("GET /v1/projects/{project_id}/agents", {
    path: of(id),
    query: { limit: 200, cursor },
    token,
  }) as Promise<Page<Agent>>;

export const createAgent = (token: string, id: string, body: NewAgent) =>
  call("POST /v1/projects/{project_id}/agents", { path: of(id), body, token });

export const oneAgent = (token: string, agentId: string) =>
  tagged("GET /v1/agents/{agent_id}", { path: agent(agentId), token }) as Promise<Tagged<Agent>>;

/** A change of `config` is a new version. `seen` as in `change`. */
export const changeAgent = (token: string, agentId: string, body: AgentChange, seen: string | null) =>
  call("PATCH /v1/agents/{agent_id}", { path: agent(agentId), body, token, ifMatch: seen });

export const removeAgent = (token: string, agentId: string) =>
  call("DELETE /v1/agents/{agent_id}", { path: agent(agentId), token });

export const versions = (token: string, agentId: string) =>
  call("GET /v1/agents/{agent_id}/versions", { path: agent(agentId), token }) as Promise<Page<AgentVersion>>;

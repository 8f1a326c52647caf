/** REST: a project's money. */
import type { NewBudget, NewPrice } from "./described";
import { call, file } from "./http";

export type { Budget, LedgerEntry, NewBudget, Price, UsageRow, Wallet } from "./described";

const of = (projectId: string) => ({ project_id: projectId });

export const wallet = (token: string, projectId: string) =>
  call("GET /v1/projects/{project_id}/wallet", { path: of(projectId), token });

export const credit = (
  token: string,
  projectId: string,
  amountMicros: number,
  currency: string,
  note: string | null,
) =>
  call("POST /v1/projects/{project_id}/credits", {
    path: of(projectId),
    body: { amount_micros: amountMicros, currency, note },
    token,
  });

export const ledger = (token: string, projectId: string, cursor: string | null) =>
  call("GET /v1/projects/{project_id}/ledger", { path: of(projectId), query: { limit: 50, cursor }, token });

/** A credit or a charge is taken back, by a transaction that mirrors it. */
export const reverse = (token: string, projectId: string, transactionId: string, note: string) =>
  call("POST /v1/projects/{project_id}/ledger/{transaction_id}/reverse", {
    path: { ...of(projectId), transaction_id: transactionId },
    body: { note },
    token,
  });

export const prices = (token: string, agentId: string) =>
  call("GET /v1/agents/{agent_id}/prices", { path: { agent_id: agentId }, token });

/** From the next question on. */
export const setPrice = (token: string, agentId: string, body: NewPrice) =>
  call("PUT /v1/agents/{agent_id}/price", { path: { agent_id: agentId }, body, token });

// -- usage --------------------------------------------------------------------------------------------------------

export type GroupBy = "day" | "user" | "agent";

const USAGE = "GET /v1/projects/{project_id}/usage";

export const usage = (token: string, projectId: string, from: string, by: GroupBy) =>
  call(USAGE, { path: of(projectId), query: { from, group_by: by }, token });

export const usageFile = (token: string, projectId: string, from: string, by: GroupBy) =>
  file(USAGE, { path: of(projectId), query: { from, group_by: by }, token, accept: "text/csv" });

// -- statements ---------------------------------------------------------------------------------------------------

const STATEMENT = "GET /v1/projects/{project_id}/statements/{month}";

export const statements = (token: string, projectId: string) =>
  call("GET /v1/projects/{project_id}/statements", { path: of(projectId), token });

export const statement = (token: string, projectId: string, month: string) =>
  call(STATEMENT, { path: { ...of(projectId), month }, token });

export const statementFile = (token: string, projectId: string, month: string) =>
  file(STATEMENT, { path: { ...of(projectId), month }, token, accept: "text/csv" });

// -- budgets ------------------------------------------------------------------------------------------------------

export const PERIODS = ["day", "week", "month"] as const;

export const budgets = (token: string, projectId: string) =>
  call("GET /v1/projects/{project_id}/budgets", { path: of(projectId), token });

/** All of them: those that are not in the list are no more. */
export const setBudgets = (token: string, projectId: string, data: readonly NewBudget[]) =>
  call("PUT /v1/projects/{project_id}/budgets", { path: of(projectId), body: { data: [...data] }, token });

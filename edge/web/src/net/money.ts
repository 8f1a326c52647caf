/**
 * REST: a project's money. Usage, statements and budgets have types of their own here until the API describes them;
 * a server that does not know them yet answers 404.
 */
import type { NewPrice } from "./described";
import { call, type Page, undescribed, undescribedFile } from "./http";

export type { LedgerEntry, Price, Wallet } from "./described";

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

export const prices = (token: string, agentId: string) =>
  call("GET /v1/agents/{agent_id}/prices", { path: { agent_id: agentId }, token });

/** From the next question on. */
export const setPrice = (token: string, agentId: string, body: NewPrice) =>
  call("PUT /v1/agents/{agent_id}/price", { path: { agent_id: agentId }, body, token });

// -- usage --------------------------------------------------------------------------------------------------------

export type GroupBy = "day" | "user" | "agent";

export interface UsageRow {
  day: string | null;
  user_id: string | null;
  agent_id: string | null;
  runs: number;
  estimated_runs: number;
  input_tokens: number;
  cached_input_tokens: number;
  output_tokens: number;
  cost_micros: number;
  charged_micros: number;
  currency: string;
}

export interface UsageReport {
  from: string;
  to: string;
  data: UsageRow[];
  /** One for each currency. */
  total: UsageRow[];
}

const USAGE = "GET /v1/projects/{project_id}/usage";

export const usage = (token: string, projectId: string, from: string, by: GroupBy): Promise<UsageReport> =>
  undescribed(USAGE, { path: of(projectId), query: { from, group_by: by }, token });

export const usageFile = (token: string, projectId: string, from: string, by: GroupBy): Promise<Blob> =>
  undescribedFile(USAGE, { path: of(projectId), query: { from, group_by: by }, token, accept: "text/csv" });

// -- statements ---------------------------------------------------------------------------------------------------

export interface Statement {
  month: string;
  currency: string;
  opening_micros: number;
  credits_micros: number;
  charges_micros: number;
  reversals_micros: number;
  closing_micros: number;
  charges: { agent_id: string | null; runs: number; amount_micros: number }[];
}

const STATEMENT = "GET /v1/projects/{project_id}/statements/{month}";

export const statements = (token: string, projectId: string): Promise<Page<{ month: string }>> =>
  undescribed("GET /v1/projects/{project_id}/statements", { path: of(projectId), token });

export const statement = (token: string, projectId: string, month: string): Promise<Statement> =>
  undescribed(STATEMENT, { path: { ...of(projectId), month }, token });

export const statementFile = (token: string, projectId: string, month: string): Promise<Blob> =>
  undescribedFile(STATEMENT, { path: { ...of(projectId), month }, token, accept: "text/csv" });

// -- budgets ------------------------------------------------------------------------------------------------------

export const PERIODS = ["day", "week", "month"] as const;

export interface NewBudget {
  id?: string;
  user_id: string | null;
  agent_id: string | null;
  period: (typeof PERIODS)[number];
  limit_micros: number;
  /** Answers end there; else it is only told. */
  hard: boolean;
}

export interface Budget extends NewBudget {
  id: string;
  spent_micros: number;
  reserved_micros: number;
  starts_at: string;
  ends_at: string;
}

export const budgets = (token: string, projectId: string): Promise<{ data: Budget[] }> =>
  undescribed("GET /v1/projects/{project_id}/budgets", { path: of(projectId), token });

/** All of them: those that are not in the list are no more. */
export const setBudgets = (
  token: string,
  projectId: string,
  data: readonly NewBudget[],
): Promise<{ data: Budget[] }> =>
  undescribed("PUT /v1/projects/{project_id}/budgets", { path: of(projectId), body: { data }, token });

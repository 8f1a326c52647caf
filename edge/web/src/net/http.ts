/** One way to ask over REST, and one kind of error. What an operation takes and answers is the API's own word. */
import type { Operations, Problem } from "./described";

export interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

/** An answer that is not the one hoped for. `status` 0: none came at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    /** Names of the fields that were refused. */
    readonly fields: readonly string[] = [],
  ) {
    super(`${status} ${code}`);
  }
}

export type Operation = keyof Operations;

/** `{project_id}` of `GET /v1/projects/{project_id}`. */
type Names<Path> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never;
/** Null leaves one out. */
type Query<Names> = { [Name in keyof Names]: Names[Name] | null };

interface Always {
  token?: string;
  /** Let it outlive the page. */
  keepalive?: boolean;
}

export type Given<O extends Operation> = Always &
  ([Names<O>] extends [never] ? unknown : { path: Record<Names<O>, string> }) &
  (Operations[O]["query"] extends infer Q
    ? Q extends undefined
      ? unknown
      : Partial<Q> extends Q
        ? { query?: Query<Q> }
        : { query: Query<Q> }
    : never) &
  (Operations[O]["body"] extends undefined
    ? unknown
    : null extends Operations[O]["body"]
      ? { body?: Operations[O]["body"] }
      : { body: Operations[O]["body"] });

interface Asked extends Always {
  path?: Record<string, string>;
  query?: Record<string, string | number | boolean | null | undefined>;
  body?: unknown;
}

/** Longer than the server itself waits for anything (5 s). */
const PATIENCE_MS = 15_000;

/** Pure: the method and the address of an operation with its names filled in. */
export function addressOf(
  operation: Operation,
  { path = {}, query = {} }: Pick<Asked, "path" | "query">,
): [method: string, address: string] {
  const [method = "", template = ""] = operation.split(" ");
  const address = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(path[name] ?? ""));
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === null || value === undefined ? [] : [[name, String(value)]],
  );
  return [method, given.length === 0 ? address : `${address}?${new URLSearchParams(given)}`];
}

/** Every page of a list, one after the other. */
export async function all<T>(page: (cursor: string | null) => Promise<Page<T>>): Promise<T[]> {
  const found: T[] = [];
  for (let cursor: string | null = null; ; ) {
    const one: Page<T> = await page(cursor);
    found.push(...one.data);
    if (one.next_cursor === null) return found;
    cursor = one.next_cursor;
  }
}

/** Rejects with `ApiError`. */
export async function call<O extends Operation>(
  operation: O,
  given: Given<O>,
): Promise<Operations[O]["answer"]> {
  const text = await (await asked(operation, given, AbortSignal.timeout(PATIENCE_MS)))
    .text()
    .catch(unreachable);
  return text === "" ? undefined : JSON.parse(text);
}

/** An answer to keep as it is, however long it takes. */
export async function file<O extends Operation>(operation: O, given: Given<O>): Promise<Blob> {
  return (await asked(operation, given, null)).blob().catch(unreachable);
}

const unreachable = (): never => {
  throw new ApiError(0, "unreachable");
};

async function asked(operation: Operation, given: Asked, signal: AbortSignal | null): Promise<Response> {
  const { body, token, keepalive = false } = given;
  const [method, address] = addressOf(operation, given);
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(address, {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    keepalive,
    signal: keepalive ? null : signal,
  }).catch(unreachable);
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  throw new ApiError(
    response.status,
    problem.code ?? (response.status >= 500 ? "unavailable" : "internal"),
    (problem.errors ?? []).map((one) => one.field),
  );
}

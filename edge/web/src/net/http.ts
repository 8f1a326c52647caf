/** One way to ask over REST, and one kind of error. What an operation takes and answers is the API's own word. */
import type { Operations, Problem } from "./described";
import { Keys } from "./keys";

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
  /** The `ETag` of what the person saw: refused with 412 where somebody else has changed it since. */
  ifMatch?: string | null;
  /** Let it outlive the page. */
  keepalive?: boolean;
  /** The kind of answer, where it is not JSON. */
  accept?: string;
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

export interface Asked extends Always {
  path?: Record<string, string>;
  query?: Record<string, string | number | boolean | null | undefined>;
  body?: unknown;
}

/** Longer than the server itself waits for anything (5 s). */
const PATIENCE_MS = 15_000;

/** Pure: the method and the address of an operation with its names filled in. */
export function addressOf(
  operation: string,
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
  return (await read(operation, given)).value as Operations[O]["answer"];
}

/** With the tag of what was answered, for a later `ifMatch`. */
export async function tagged<O extends Operation>(
  operation: O,
  given: Given<O>,
): Promise<Tagged<Operations[O]["answer"]>> {
  return (await read(operation, given)) as Tagged<Operations[O]["answer"]>;
}

export interface Tagged<T> {
  value: T;
  tag: string | null;
}

async function read(operation: string, given: Asked): Promise<Tagged<unknown>> {
  const response = await asked(operation, given, PATIENCE_MS);
  const text = await response.text().catch(unreachable);
  return { value: text === "" ? undefined : JSON.parse(text), tag: response.headers.get("ETag") };
}

/** An answer to keep as it is, however long it takes. */
export async function file<O extends Operation>(operation: O, given: Given<O>): Promise<Blob> {
  return (await asked(operation, given, null)).blob().catch(unreachable);
}

const unreachable = (): never => {
  throw new ApiError(0, "unreachable");
};

/** Tried once more where no answer came: with its key the server does it once, however often it is asked. */
const AGAIN_MS = 1_000;

/** Looks for the answer to what is being done already, before that is called a failure. */
const LOOKS = 5;
const keys = new Keys();

async function asked(
  operation: string,
  given: Asked,
  patienceMs: number | null,
  looks = LOOKS,
): Promise<Response> {
  const { body, token, keepalive = false, accept = "application/json", ifMatch } = given;
  const [method, address] = addressOf(operation, given);
  const headers: Record<string, string> = { Accept: accept };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  if (ifMatch) headers["If-Match"] = ifMatch;
  const content = body === undefined ? null : JSON.stringify(body);
  // Signing in and out has no caller yet whose key it could be.
  const what = method === "POST" && token !== undefined ? `${address} ${content}` : null;
  if (what !== null) headers["Idempotency-Key"] = keys.of(what);
  const ask = () =>
    fetch(address, {
      method,
      headers,
      body: content,
      keepalive,
      signal: keepalive || patienceMs === null ? null : AbortSignal.timeout(patienceMs),
    });
  const response = await ask()
    .catch(async (error) => {
      if (what === null) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      return ask();
    })
    .catch(unreachable);
  const problem = response.ok ? {} : ((await response.json().catch(() => ({}))) as Partial<Problem>);
  if (problem.code === "in_progress" && looks > 0) {
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    return asked(operation, given, patienceMs, looks - 1);
  }
  if (what !== null && response.status < 500 && problem.code !== "in_progress") keys.answered(what);
  if (response.ok) return response;
  throw new ApiError(
    response.status,
    problem.code ?? (response.status >= 500 ? "unavailable" : "internal"),
    (problem.errors ?? []).map((one) => one.field),
  );
}

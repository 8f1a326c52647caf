/** One way to ask over REST, and one kind of error. */

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

interface Problem {
  code?: string;
  errors?: { field?: string; loc?: unknown; pointer?: string }[];
}

interface Call {
  method?: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  body?: unknown;
  token?: string;
  /** Let it outlive the page. */
  keepalive?: boolean;
  /** What the answer is. */
  as?: "json" | "file";
}

/** Longer than the server itself waits for anything (5 s). */
const PATIENCE_MS = 15_000;

/** `names` with a value each; null leaves one out. */
export function query(names: Record<string, string | number | boolean | null>): string {
  const given = Object.entries(names).filter(([, value]) => value !== null);
  return given.length === 0
    ? ""
    : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
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

export async function call<T>(
  path: string,
  { method = "GET", body, token, keepalive = false, as = "json" }: Call = {},
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      keepalive,
      signal: keepalive || as === "file" ? null : AbortSignal.timeout(PATIENCE_MS),
    });
    if (response.ok) {
      if (as === "file") return (await response.blob()) as T;
      const text = await response.text();
      return (text === "" ? undefined : JSON.parse(text)) as T;
    }
  } catch {
    throw new ApiError(0, "unreachable");
  }
  const problem = (await response.json().catch(() => ({}))) as Problem;
  const fields = (problem.errors ?? []).map(
    (one) => `${one.field ?? ""}${one.pointer ?? ""}${String(one.loc ?? "")}`,
  );
  throw new ApiError(
    response.status,
    problem.code ?? (response.status >= 500 ? "unavailable" : "internal"),
    fields,
  );
}

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { call, tagged } from "../src/net/http";

/** The headers of each request, as they were when it was sent. */
let sent: Record<string, string>[];
/** How the server answers: by default it does what it is asked. */
let answers: (Response | Error)[];
const made = () => new Response(JSON.stringify({ id: "p1" }), { headers: { ETag: '"ab"' } });

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  answers = [];
  vi.stubGlobal("fetch", async (_: string, { headers }: { headers: Record<string, string> }) => {
    sent.push({ ...headers });
    const answer = answers.shift() ?? made();
    if (answer instanceof Error) throw answer;
    return answer;
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("what makes something carries a key of its own, the same when no answer came and the page asks again", async () => {
  answers = [new TypeError("gone")];
  const first = call("POST /v1/projects", { body: { name: "Sea" }, token: "t" });
  await vi.runAllTimersAsync();
  await first;
  await call("POST /v1/projects", { body: { name: "Sea" }, token: "t" });

  const keys = sent.map((headers) => headers["Idempotency-Key"]);
  expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
  expect(keys[1]).toBe(keys[0]);
  expect(keys[2]).not.toBe(keys[0]);
});

test("an answer is taken as it is, also a refusal: only what was not heard is asked again", async () => {
  answers = [new Response("{}", { status: 503 })];

  await expect(call("POST /v1/projects", { body: { name: "Sea" }, token: "t" })).rejects.toMatchObject({
    status: 503,
  });
  expect(sent).toHaveLength(1);
});

test("what only reads has no key, and brings its tag; a change names the tag that it was made from", async () => {
  const seen = await tagged("GET /v1/projects/{project_id}", { path: { project_id: "p1" }, token: "t" });
  await call("PATCH /v1/projects/{project_id}", {
    path: { project_id: "p1" },
    body: { name: "Tide" },
    token: "t",
    ifMatch: seen.tag,
  });

  expect(sent[0]).not.toHaveProperty("Idempotency-Key");
  expect(sent[1]?.["If-Match"]).toBe('"ab"');
});

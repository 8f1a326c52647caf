import { describe, expect, test } from "vitest";
import { fileName } from "../src/net/files";
import { ApiError, addressOf } from "../src/net/http";
import { may, mayEnd, maySetRole } from "../src/state/roles";
import { configFrom } from "../src/ui/AgentsPart";
import { initials } from "../src/ui/Avatar";
import { failureOf } from "../src/ui/forms";
import { routeOf } from "../src/ui/hooks";
import { errorIn } from "../src/ui/providers";

const ID = "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000";

test("an address says what is open", () => {
  expect(routeOf(`#/c/${ID}`)).toEqual({ at: "thread", id: ID, message: null });
  expect(routeOf(`#/c/${ID}/${ID}`)).toEqual({ at: "thread", id: ID, message: ID });
  expect(routeOf("#/settings/data")).toEqual({ at: "settings", section: "data" });
  expect(routeOf("#/project")).toEqual({ at: "project", section: "" });
  for (const other of ["", "#/", "#/c/1", "#/settings/<b>", "#//evil"])
    expect(routeOf(other)).toEqual({ at: "thread", id: null, message: null });
});

describe("a role", () => {
  test("offers what the server allows it", () => {
    expect(["viewer", "member", "admin", "owner"].map((role) => may(role, "write"))).toEqual([
      false,
      true,
      true,
      true,
    ]);
    expect(may("admin", "delete_project")).toBe(false);
    expect(may(undefined, "read")).toBe(false);
    expect(may("stranger", "read")).toBe(false);
    expect([mayEnd("member", true), mayEnd("member", false), mayEnd("admin", false)]).toEqual([
      true,
      false,
      true,
    ]);
  });

  test("of an owner is given and taken by owners", () => {
    expect(maySetRole("admin", "member", "admin")).toBe(true);
    expect(maySetRole("admin", "member", "owner")).toBe(false);
    expect(maySetRole("admin", "owner", null)).toBe(false);
    expect(maySetRole("owner", "owner", "admin")).toBe(true);
    expect(maySetRole("member", null, "viewer")).toBe(false);
  });
});

describe("an agent's form", () => {
  const fields = (given: Record<string, string>) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(given)) form.set(name, value);
    return form;
  };
  const before = {
    kind: "openai",
    url: "https://a.example/v1",
    params: { top_p: 0.5, temperature: 1 },
    context_messages: 4,
    has_secret: true,
  };

  test("keeps what it does not show, and says nothing of a secret that stays", () => {
    expect(configFrom(before, "openai", fields({ url: "https://a.example/v1", model: "m" }))).toEqual({
      kind: "openai",
      url: "https://a.example/v1",
      model: "m",
      system_prompt: "",
      params: { top_p: 0.5 },
      context_messages: 4,
    });
  });

  test("takes nothing over to another kind", () => {
    expect(configFrom(before, "scripted", fields({}))).toEqual({ kind: "scripted" });
  });

  test("gives a new secret", () => {
    expect(configFrom(null, "openai", fields({ secret: "s3" }))).toMatchObject({ secret: "s3" });
  });
});

test("an address has its names filled in, and only what was given behind the question mark", () => {
  expect(
    addressOf("GET /v1/projects/{project_id}/conversations", {
      path: { project_id: "a/b" },
      query: { archived: false, q: "hoá đơn", cursor: null, limit: undefined },
    }),
  ).toEqual(["GET", "/v1/projects/a%2Fb/conversations?archived=false&q=ho%C3%A1+%C4%91%C6%A1n"]);
  expect(addressOf("POST /v1/projects", {})).toEqual(["POST", "/v1/projects"]);
});

test("a failure means in a form what the form says, by field before status", () => {
  const refused = new ApiError(422, "invalid", ["password"]);
  expect(failureOf(refused, { password: "bad_password", 422: "used_link" })).toBe("bad_password");
  expect(failureOf(refused, { 422: "used_link" })).toBe("used_link");
  expect(failureOf(refused)).toBe("invalid");
});

test("the return from a provider says why it failed", () => {
  expect(errorIn("?error=denied&provider=google")).toBe("oauth_denied");
  expect(errorIn("?error=unavailable")).toBe("unavailable");
  expect(errorIn("")).toBeNull();
});

test("a file is named after its conversation, in letters that every system takes", () => {
  expect(fileName("Hoá đơn: tháng 5/2026?")).toBe("Hoá đơn tháng 5 2026");
  expect(fileName("../..")).toBe("chorus");
});

test("initials are of the first and the last name", () => {
  expect(initials("Ada Lovelace King")).toBe("AK");
  expect(initials("đặng")).toBe("Đ");
});

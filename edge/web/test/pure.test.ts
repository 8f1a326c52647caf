import { describe, expect, test } from "vitest";
import { en } from "../src/i18n/en";
import { detect, explain } from "../src/i18n/language";
import { vi } from "../src/i18n/vi";
import { ApiError } from "../src/net/http";
import { characters, further, sanitised } from "../src/net/protocol";
import { afterClose, delayBefore } from "../src/net/reconnect";
import { byAge } from "../src/ui/ages";
import { authFailure } from "../src/ui/authFailure";
import { pace } from "../src/ui/hooks";
import { conversation } from "./make";

describe("a cursor", () => {
  test.each([
    [null, "e1:3", "e1:3"],
    ["e1:3", "e1:10", "e1:10"],
    ["e1:10", "e1:3", "e1:10"],
    ["e1:10", "e2:1", "e2:1"],
  ])("of %j and %j is the further one, and that of a new epoch always", (known, next, expected) => {
    expect(further(known, next)).toBe(expected);
  });
});

describe("a text", () => {
  test("is measured in characters as the server counts them", () => {
    expect([characters("sóng"), characters("🌊🌊"), characters("")]).toEqual([4, 2, 0]);
  });

  test("loses what the server refuses and nobody meant, and nothing else", () => {
    expect(sanitised("a\0b\ud83c c 🌊\n")).toBe("ab\ufffd c 🌊\n");
  });
});

describe("after a close", () => {
  test.each([
    [1006, "reconnect"],
    [1009, "reconnect"],
    [1012, "reconnect"],
    [4001, "reconnect"],
    [4005, "new-token"],
    [4008, "reconnect"],
    [4010, "anew"],
    [4012, "reconnect"],
    [4013, "reconnect"],
    [4499, "reconnect"],
    [4500, "stop"],
    [4501, "stop"],
    [4503, "stop"],
    [4504, "stop"],
    [4999, "stop"],
  ] as const)("with %i the page does this: %s", (code, then) => {
    expect(afterClose(code)).toBe(then);
  });
});

describe("the delay before coming back", () => {
  const loss = { failures: 0, reconnectInMs: null, jitterMs: 2_000 };

  test("after a sudden loss is spread over the width that the server named", () => {
    expect([delayBefore(loss, 0), delayBefore(loss, 0.5)]).toEqual([0, 1_000]);
  });

  test("is what the server said, when it said so", () => {
    expect(delayBefore({ ...loss, reconnectInMs: 750 }, 0.9)).toBe(750);
  });

  test("doubles in width with each failure, up to half a minute, wherever the server is", () => {
    const widths = [1, 2, 3, 4, 5, 6, 50].map((failures) =>
      delayBefore({ ...loss, failures, reconnectInMs: 1 }, 1),
    );

    expect(widths).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  test("may be anywhere in that width", () => {
    expect(delayBefore({ ...loss, failures: 3 }, 0.25)).toBe(1_000);
  });
});

describe("the language", () => {
  test("is the chosen one, else the first that the browser and the page share, else English", () => {
    expect(detect("vi", ["en-GB"])).toBe("vi");
    expect(detect(null, ["fr", "vi-VN", "en"])).toBe("vi");
    expect(detect("xx", ["fr", "de"])).toBe("en");
  });

  test("has no sentence that was left in the other one", () => {
    const same = (a: object, b: object, path = ""): string[] =>
      Object.entries(a).flatMap(([key, value]) => {
        const other = (b as Record<string, unknown>)[key];
        if (typeof value === "object") return same(value, other as object, `${path}${key}.`);
        return value === other ? [`${path}${key}`] : [];
      });

    expect(same(en, vi)).toEqual(["auth.email", "bell.channels.webhook"]);
  });

  test("explains every code, and has words for one it does not know", () => {
    expect(explain(en, "conversation_busy")).toContain("still being written");
    expect(explain(vi, "new_code", "The server's own words.")).toBe("The server's own words.");
    expect(explain(vi, "new_code")).toBe(vi.unknownFailure);
  });
});

describe("a failed sign-in", () => {
  test.each([
    [new ApiError(401, "unauthenticated"), "signIn", "wrong_password"],
    [new ApiError(409, "invalid"), "signUp", "email_taken"],
    [new ApiError(422, "invalid", ["email"]), "signUp", "bad_email"],
    [new ApiError(422, "invalid", ["body,password"]), "signUp", "bad_password"],
    [new ApiError(422, "invalid", ["/display_name"]), "signUp", "bad_name"],
    [new ApiError(0, "unreachable"), "signIn", "unreachable"],
    [new ApiError(429, "rate_limited"), "signUp", "rate_limited"],
  ] as const)("%s when trying to %s is told as %s", (error, mode, code) => {
    expect(authFailure(error, mode)).toBe(code);
    expect(en.failures).toHaveProperty(code);
  });
});

test("conversations are grouped by the person's own days", () => {
  const now = new Date(2026, 0, 20, 9);
  const at = (day: number, hour: number) =>
    conversation({ id: `${day}`, updated_at: new Date(2026, 0, day, hour).toISOString() });
  const groups = byAge([at(20, 1), at(19, 23), at(14, 0), at(13, 0), at(2, 5)], now);

  expect(groups.map(([age, list]) => [age, list.map((one) => one.id)])).toEqual([
    ["today", ["20"]],
    ["yesterday", ["19"]],
    ["week", ["14", "13"]],
    ["earlier", ["2"]],
  ]);
});

test("a growing text takes a small share of the time, and is never far behind", () => {
  for (const cost of [0, 2, 20, 80]) expect(cost / (cost + pace(cost) || 1)).toBeLessThan(0.16);
  expect(pace(5_000)).toBe(1_000);
});

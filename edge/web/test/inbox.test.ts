import { describe, expect, test } from "vitest";
import { en } from "../src/i18n/en";
import type { Notification } from "../src/net/described";
import { EMPTY_CHAT } from "../src/state/chat";
import { firstPage, olderPage, readUpTo, told } from "../src/state/inbox";
import { candidates, mentionAt, mentioned } from "../src/state/mentions";
import { placeOf, sentence } from "../src/ui/BellMenu";
import { conversation } from "./make";

const one = (nth: number, change: Partial<Notification> = {}): Notification => ({
  id: `n${nth}`,
  kind: "mention",
  project_id: "p1",
  data: { conversation_id: "c1", message_id: "m1", by: "u2" },
  occurred_at: `2026-01-01T00:00:0${nth}Z`,
  created_at: `2026-01-01T00:00:0${nth}Z`,
  read: false,
  ...change,
});
const three = firstPage({ data: [one(5), one(4), one(3)], unread: 4, next_cursor: "n3" });
const unread = (inbox: typeof three) => inbox.list.filter((n) => !n.read).map((n) => n.id);

describe("the inbox", () => {
  test("holds what is told twice once, and in its place", () => {
    const twice = told(told(three, one(6), 5), one(6), 5);

    expect(twice.list.map((n) => n.id)).toEqual(["n6", "n5", "n4", "n3"]);
    expect(twice.unread).toBe(5);
    expect(
      olderPage(twice, { data: [one(3), one(1)], unread: 5, next_cursor: null }).list.map((n) => n.id),
    ).toEqual(["n6", "n5", "n4", "n3", "n1"]);
  });

  test("reads on another screen are reads here: from that one down, and nothing above it", () => {
    expect(unread(readUpTo(three, "n4", 1))).toEqual(["n5"]);
    expect(unread(readUpTo(three, "far below", 3))).toEqual(["n5", "n4", "n3"]);
    expect(unread(readUpTo(three, "not listed yet", 0))).toEqual([]);
  });
});

describe("a notification", () => {
  const chat = {
    ...EMPTY_CHAT,
    conversations: { c1: conversation() },
    members: {
      u2: { user_id: "u2", display_name: "Grace", email: null, role: "member", created_at: "" },
    },
  };

  test("says what happened with the names that are known, and without those that are not", () => {
    expect(sentence(one(1), chat, {}, en)).toBe("Grace mentioned you in “Sea”.");
    expect(sentence(one(1), EMPTY_CHAT, {}, en)).toBe("Somebody mentioned you.");
    expect(sentence(one(1), EMPTY_CHAT, { u2: "Grace" }, en)).toBe("Grace mentioned you.");
    expect(
      sentence(one(1, { kind: "answer", data: { conversation_id: "c1", status: "failed" } }), chat, {}, en),
    ).toBe("The question in “Sea” could not be answered.");
    expect(sentence(one(1, { kind: "of tomorrow" }), chat, {}, en)).toBe(en.bell.other);
  });

  test("leads to where it happened", () => {
    expect(placeOf(one(1))).toBe("#/c/c1/m1");
    expect(placeOf(one(1, { kind: "invitation", data: {} }))).toBe("#/project/members");
    expect(placeOf(one(1, { kind: "budget", data: {} }))).toBe("#/project/money");
  });
});

describe("a mention", () => {
  const people = [
    { user_id: "1", display_name: "Ada Lovelace", email: "ada@example.org" },
    { user_id: "2", display_name: "Đặng Thị Ánh", email: "anh@example.org" },
    { user_id: "3", display_name: "Grace Hopper", email: null },
  ];
  const found = (query: string, among = people) => candidates(among, query).map((person) => person.user_id);

  test("begins with an @ at the beginning of a word, up to the caret", () => {
    expect(mentionAt("Hi @Ada Lo", 10)).toEqual({ at: 3, query: "Ada Lo" });
    expect(mentionAt("@", 1)).toEqual({ at: 0, query: "" });
    for (const [text, caret] of [
      ["me@example", 10],
      ["@ada\nnext", 9],
      ["@ ada", 5],
      ["hello", 5],
    ] as const)
      expect(mentionAt(text, caret)).toBeNull();
  });

  test("finds people by any word of their name or by address, accents or not", () => {
    expect([found("dang"), found("ánh"), found("HOP"), found("anh@"), found("xyz")]).toEqual([
      ["2"],
      ["2"],
      ["3"],
      ["2"],
      [],
    ]);
    expect(found("")).toHaveLength(3);
  });

  test("is written as the name, and as the address where two have one name", () => {
    const query = { at: 3, query: "ad" };
    const [ada] = people as [(typeof people)[0]];
    expect(mentioned("Hi @ad, look", query, ada, people)).toEqual(["Hi @Ada Lovelace, look", 16]);
    expect(mentioned("Hi @ad", query, ada, [...people, { ...ada, user_id: "4" }])[0]).toBe(
      "Hi @ada@example.org ",
    );
  });
});

import { describe, expect, test } from "vitest";
import type { LedgerEntry } from "../src/net/described";
import type { UsageRow } from "../src/net/money";
import { canBeReversed, fullness, microsOf, money, movements, perDay, typed } from "../src/state/money";

const entry = (transaction: string, account: string, amount: number, kind = "charge"): LedgerEntry => ({
  id: `${transaction}${account}`,
  transaction_id: transaction,
  account,
  kind,
  amount_micros: amount,
  currency: "USD",
  run_id: null,
  reverses_id: null,
  by_user_id: null,
  note: null,
  occurred_at: "2026-01-01T00:00:00Z",
  recorded_at: "2026-01-01T00:00:00Z",
});

describe("an amount", () => {
  test("is read as it was typed, to the millionth, and in no other way", () => {
    expect(["10", "2.50", "2,5", "0.000001", " 7 "].map(microsOf)).toEqual([
      10_000_000, 2_500_000, 2_500_000, 1, 7_000_000,
    ]);
    expect(["", "-1", "1e3", "0.0000001", "1.", "1,000.00", "NaN"].map(microsOf)).toEqual(
      Array(7).fill(null),
    );
    for (const micros of [0, 1, 100_000, 2_500_000, 123_456_789])
      expect(microsOf(typed(micros))).toBe(micros);
  });

  test("is shown to the last millionth that counts", () => {
    expect(money(2_625, "USD", "en")).toBe("$0.002625");
    expect(money(12_500_000, "USD", "en")).toBe("$12.50");
  });
});

test("a transaction is one line, from where the money went to where, once both sides have come", () => {
  const lines = movements([
    entry("t2", "revenue", 30),
    entry("t2", "wallet", -30),
    entry("t1", "wallet", 500, "credit"),
  ]);

  expect(lines).toMatchObject([{ id: "t2", from: "wallet", to: "revenue", amountMicros: 30 }]);
});

test("a credit and a charge are taken back once, and nothing else is", () => {
  const back = (transaction: string, of: string) =>
    [entry(transaction, "revenue", -30, "reverse"), entry(transaction, "wallet", 30, "reverse")].map(
      (one) => ({
        ...one,
        reverses_id: of,
      }),
    );
  const lines = movements([
    ...back("t4", "t2"),
    ...[entry("t3", "reservation", 9, "reserve"), entry("t3", "wallet", -9, "reserve")],
    ...[entry("t2", "revenue", 30), entry("t2", "wallet", -30)],
    ...[entry("t1", "wallet", 500, "credit"), entry("t1", "funding", -500, "credit")],
  ]);

  expect(lines.filter((line) => canBeReversed(line, lines)).map((line) => line.id)).toEqual(["t1"]);
});

test("the plot has every day of its time, also those without anything, and one currency", () => {
  const row = (day: string, charged_micros: number, currency = "USD") =>
    ({ day, charged_micros, currency }) as UsageRow;
  const rows = [
    row("2026-02-28", 5),
    row("2026-03-01", 7),
    row("2026-03-01", 1),
    row("2026-03-01", 9, "EUR"),
  ];

  expect(perDay(rows, "2026-02-27T00:00:00Z", "2026-03-02", "USD")).toEqual([
    ["2026-02-27", 0],
    ["2026-02-28", 5],
    ["2026-03-01", 8],
  ]);
});

test("a budget is full at its limit and not a micro-unit before", () => {
  expect([fullness(999_999, 1_000_000), fullness(1_000_000, 1_000_000), fullness(0, 0)]).toEqual([
    99, 100, 100,
  ]);
});

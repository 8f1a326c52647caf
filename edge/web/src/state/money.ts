/** Money in millionths of a currency's unit, and what is shown of it. Pure. */
import type { LedgerEntry } from "../net/described";
import type { UsageRow } from "../net/money";

export const MICROS = 1_000_000;

/** As this language writes it, to the last millionth that counts. */
export function money(micros: number, currency: string, language: string): string {
  return new Intl.NumberFormat(language, {
    style: "currency",
    currency,
    minimumFractionDigits: 2,
    maximumFractionDigits: 6,
  }).format(micros / MICROS);
}

/** What somebody typed, without the error that a fraction of two would bring; null where it is no such amount. */
export function microsOf(text: string): number | null {
  const parts = /^(\d{1,9})(?:[.,](\d{1,6}))?$/.exec(text.trim());
  if (parts === null) return null;
  return Number(parts[1]) * MICROS + Number((parts[2] ?? "").padEnd(6, "0"));
}

/** For a box to type in: what `microsOf` reads. */
export const typed = (micros: number): string => String(micros / MICROS);

/** One line of the books: the entries of a transaction, from where its amount went to where. */
export interface Movement {
  id: string;
  kind: string;
  from: string;
  to: string;
  amountMicros: number;
  currency: string;
  at: string;
  byUserId: string | null;
  note: string | null;
  /** The transaction that this one takes back. */
  reversesId: string | null;
}

/** In the order of the entries; one whose other side is on the next page is shown with that page. */
export function movements(entries: readonly LedgerEntry[]): readonly Movement[] {
  const sides = new Map<string, LedgerEntry[]>();
  for (const entry of entries) {
    const side = sides.get(entry.transaction_id);
    if (side === undefined) sides.set(entry.transaction_id, [entry]);
    else side.push(entry);
  }
  return [...sides.entries()].flatMap(([id, [...side]]) => {
    const from = side.find((one) => one.amount_micros < 0);
    const to = side.find((one) => one.amount_micros > 0);
    if (from === undefined || to === undefined) return [];
    return {
      id,
      kind: to.kind,
      from: from.account,
      to: to.account,
      amountMicros: side.reduce((sum, one) => sum + Math.max(0, one.amount_micros), 0),
      currency: to.currency,
      at: to.occurred_at,
      byUserId: to.by_user_id,
      note: to.note,
      reversesId: to.reverses_id,
    };
  });
}

/** Whether this can be taken back: credits and charges can, once. */
export function canBeReversed(line: Movement, all: readonly Movement[]): boolean {
  return ["credit", "charge"].includes(line.kind) && !all.some((other) => other.reversesId === line.id);
}

/** What was charged on each day of a stretch, also on those that had nothing; `to` is the day after the last. */
export function perDay(
  rows: readonly UsageRow[],
  from: string,
  to: string,
  currency: string,
): readonly (readonly [day: string, micros: number])[] {
  const charged = new Map<string, number>();
  for (const row of rows) {
    const day = row.day?.slice(0, 10);
    if (day !== undefined && row.currency === currency)
      charged.set(day, (charged.get(day) ?? 0) + row.charged_micros);
  }
  const days: [string, number][] = [];
  const last = Date.parse(to);
  for (let at = Date.parse(`${from.slice(0, 10)}T00:00:00Z`); at < last; at += 86_400_000) {
    const day = new Date(at).toISOString().slice(0, 10);
    days.push([day, charged.get(day) ?? 0]);
  }
  return days;
}

/** How full a budget is, in whole percent: what is held for answers counts. */
export function fullness(spentMicros: number, limitMicros: number): number {
  return limitMicros <= 0 ? 100 : Math.floor((spentMicros * 100) / limitMicros);
}

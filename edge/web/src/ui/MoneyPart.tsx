import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import * as api from "../net/money";
import type { Project } from "../net/protocol";
import { canBeReversed, type Movement, microsOf, money, movements } from "../state/money";
import { may } from "../state/roles";
import { BudgetsPart } from "./BudgetsPart";
import { Failure, Field, Said, Section, useLoaded, useTask, when } from "./forms";
import { useStore } from "./hooks";
import { Again } from "./icons";
import { StatementsPart } from "./StatementsPart";
import { UsagePart } from "./UsagePart";

/** What a project has, what it uses, and where its money went. */
export function MoneyPart({ client, project }: { client: ChatClient; project: Project }) {
  const { text, language } = useSpeech();
  const [turn, setTurn] = useState(0);
  const wallet = useLoaded(() => client.rest((token) => api.wallet(token, project.id)));
  const treasurers = useStore(client.treasurers);
  const manages = may(project.role, "manage_money") && treasurers === false;
  const again = () => {
    wallet.again();
    setTurn((n) => n + 1);
  };
  return (
    <>
      <Section title={text.money.wallet}>
        <Failure code={wallet.failure} />
        <div className="flex flex-wrap items-end gap-x-10 gap-y-3">
          {wallet.value === null ? (
            wallet.failure === null && (
              <div className="skeleton h-12 w-40" role="status" aria-label={text.loading} />
            )
          ) : (
            <dl className="flex flex-wrap gap-x-10 gap-y-3">
              <div>
                <dt className="text-sm text-ink-soft">{text.money.balance}</dt>
                <dd
                  className="text-2xl font-semibold tabular-nums tracking-tight"
                  data-testid="wallet-balance"
                >
                  {money(wallet.value.balance_micros, wallet.value.currency, language)}
                </dd>
              </div>
              <div>
                <dt className="text-sm text-ink-soft">{text.money.held}</dt>
                <dd className="text-2xl tabular-nums tracking-tight text-ink-soft" data-testid="wallet-held">
                  {money(wallet.value.reserved_micros, wallet.value.currency, language)}
                </dd>
              </div>
            </dl>
          )}
          <button type="button" className="quiet-button" data-testid="wallet-again" onClick={again}>
            <Again className="h-4 w-4" />
            {text.money.again}
          </button>
        </div>
        <p className="text-sm text-ink-faint">{text.money.heldNote}</p>
        {wallet.value !== null &&
          (manages ? (
            <Credit client={client} project={project} currency={wallet.value.currency} onGiven={again} />
          ) : (
            <p className="text-sm text-ink-faint" data-testid="ask-for-credit">
              {treasurers ? text.money.askTreasurers : text.money.askForCredit}
            </p>
          ))}
      </Section>
      <UsagePart client={client} project={project} key={`usage-${turn}`} />
      <BudgetsPart
        client={client}
        project={project}
        currency={wallet.value?.currency ?? "USD"}
        key={`budgets-${turn}`}
      />
      <StatementsPart client={client} project={project} key={`statements-${turn}`} />
      <Ledger client={client} project={project} manages={manages} onReversed={again} key={`ledger-${turn}`} />
    </>
  );
}

function Credit({
  client,
  project,
  currency,
  onGiven,
}: {
  client: ChatClient;
  project: Project;
  currency: string;
  onGiven(): void;
}) {
  const { text } = useSpeech();
  const task = useTask();
  const [amount, setAmount] = useState("");
  const [note, setNote] = useState("");
  const micros = microsOf(amount);
  return (
    <form
      className="space-y-3"
      onSubmit={(event) => {
        event.preventDefault();
        if (!micros) return;
        void task.run(async () => {
          await client.rest((token) => api.credit(token, project.id, micros, currency, note.trim() || null));
          setAmount("");
          setNote("");
          onGiven();
        });
      }}
    >
      <div className="flex flex-col gap-2.5 sm:flex-row sm:items-end">
        <div className="sm:w-40">
          <Field label={text.money.amount} hint={currency}>
            <input
              className="field tabular-nums"
              inputMode="decimal"
              autoComplete="off"
              placeholder="10.00"
              aria-invalid={amount !== "" && !micros}
              value={amount}
              data-testid="credit-amount"
              onChange={(event) => setAmount(event.target.value)}
            />
          </Field>
        </div>
        <div className="flex-1">
          <Field label={text.money.note} hint={text.money.optional}>
            <input
              className="field"
              maxLength={80}
              value={note}
              data-testid="credit-note"
              onChange={(event) => setNote(event.target.value)}
            />
          </Field>
        </div>
        <button
          type="submit"
          className="solid-button h-[2.875rem]"
          disabled={!micros || task.busy}
          data-testid="credit-add"
        >
          {text.money.addCredit}
        </button>
      </div>
      {amount !== "" && !micros && <p className="text-sm text-danger">{text.money.badAmount}</p>}
      <Failure code={task.failure} />
      <Said>{task.done && text.money.added}</Said>
    </form>
  );
}

function Ledger({
  client,
  project,
  manages,
  onReversed,
}: {
  client: ChatClient;
  project: Project;
  manages: boolean;
  onReversed(): void;
}) {
  const { text } = useSpeech();
  const page = (cursor: string | null) => client.rest((token) => api.ledger(token, project.id, cursor));
  const first = useLoaded(() => page(null));
  const task = useTask();
  const lines = movements(first.value?.data ?? []);
  const next = first.value?.next_cursor ?? null;
  return (
    <Section title={text.money.ledger} note={text.money.ledgerNote}>
      <Failure code={first.failure} />
      {first.value !== null && lines.length === 0 && (
        <p className="text-sm text-ink-faint">{text.money.noLedger}</p>
      )}
      <ul className="divide-y divide-line text-sm">
        {lines.map((line) => (
          <Line
            key={line.id}
            client={client}
            line={line}
            onReverse={
              manages && canBeReversed(line, lines)
                ? async (note) => {
                    await client.rest((token) => api.reverse(token, project.id, line.id, note));
                    onReversed();
                  }
                : null
            }
          />
        ))}
      </ul>
      <Failure code={task.failure} />
      {next !== null && (
        <button
          type="button"
          className="quiet-button w-full justify-center"
          data-testid="ledger-more"
          disabled={task.busy}
          onClick={() =>
            void task.run(async () => {
              const more = await page(next);
              first.set({ ...more, data: [...(first.value?.data ?? []), ...more.data] });
            })
          }
        >
          {text.list.more}
        </button>
      )}
    </Section>
  );
}

function Line({
  client,
  line,
  onReverse,
}: {
  client: ChatClient;
  line: Movement;
  /** Null where it cannot be taken back, or not by this person. */
  onReverse: ((note: string) => Promise<void>) | null;
}) {
  const { text, language } = useSpeech();
  const [asking, setAsking] = useState(false);
  const { members } = useStore(client.chat);
  const by = line.byUserId === null ? null : members[line.byUserId]?.display_name;
  const sign = line.to === "wallet" ? "+" : line.from === "wallet" ? "−" : "";
  const account = (name: string) => (text.money.accounts as Readonly<Record<string, string>>)[name] ?? name;
  return (
    <li className="py-2" data-testid="ledger-line" data-kind={line.kind}>
      <div className="flex items-baseline gap-3">
        <span className="min-w-0 flex-1">
          <span className="block truncate font-medium">
            {(text.money.kinds as Readonly<Record<string, string>>)[line.kind] ?? line.kind}
            {line.note && <span className="font-normal text-ink-soft"> · {line.note}</span>}
          </span>
          <span className="block truncate text-xs text-ink-faint">
            {[when(line.at, language), `${account(line.from)} → ${account(line.to)}`, by]
              .filter(Boolean)
              .join(" · ")}
          </span>
        </span>
        {onReverse !== null && !asking && (
          <button
            type="button"
            className="quiet-button"
            data-testid="reverse"
            onClick={() => setAsking(true)}
          >
            {text.money.reverse}
          </button>
        )}
        <span className={`shrink-0 tabular-nums ${sign === "+" ? "text-accent" : ""}`}>
          {sign}
          {money(line.amountMicros, line.currency, language)}
        </span>
      </div>
      {onReverse !== null && asking && <Reversal onReverse={onReverse} onLeave={() => setAsking(false)} />}
    </li>
  );
}

/** Why it is taken back, which stands in the books for ever. */
function Reversal({ onReverse, onLeave }: { onReverse(note: string): Promise<void>; onLeave(): void }) {
  const { text } = useSpeech();
  const task = useTask();
  const [note, setNote] = useState("");
  return (
    <form
      className="mt-2 space-y-2"
      onSubmit={(event) => {
        event.preventDefault();
        void task.run(() => onReverse(note.trim()));
      }}
    >
      <div className="flex flex-col gap-2.5 sm:flex-row sm:items-end">
        <div className="flex-1">
          <Field label={text.money.why}>
            <input
              className="field"
              maxLength={80}
              // biome-ignore lint/a11y/noAutofocus: it was just asked for.
              autoFocus
              value={note}
              data-testid="reverse-note"
              onChange={(event) => setNote(event.target.value)}
            />
          </Field>
        </div>
        <button
          type="submit"
          className="danger-button h-[2.875rem]"
          disabled={task.busy || note.trim() === ""}
          data-testid="reverse-do"
        >
          {text.money.reverse}
        </button>
        <button type="button" className="quiet-button h-[2.875rem]" onClick={onLeave}>
          {text.money.keep}
        </button>
      </div>
      <Failure code={task.failure} />
    </form>
  );
}

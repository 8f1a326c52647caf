import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import * as api from "../net/money";
import type { Project } from "../net/protocol";
import { fullness, microsOf, money, typed } from "../state/money";
import { may } from "../state/roles";
import { Dialog } from "./Dialog";
import { Failure, Field, Section, type Task, useLoaded, useTask, when } from "./forms";
import { useStore } from "./hooks";
import { Plus } from "./icons";

/** How much may be spent in a day, a week or a month, by whom and with which agent. */
export function BudgetsPart({
  client,
  project,
  currency,
}: {
  client: ChatClient;
  project: Project;
  currency: string;
}) {
  const { text } = useSpeech();
  const manages = may(project.role, "manage_money");
  const loaded = useLoaded(() => client.rest((token) => api.budgets(token, project.id)), {
    404: "not_offered",
  });
  const task = useTask();
  const [open, setOpen] = useState<api.Budget | "new" | null>(null);
  const list = loaded.value?.data ?? [];

  const keep = (next: readonly api.NewBudget[]) =>
    task.run(async () => {
      loaded.set(await client.rest((token) => api.setBudgets(token, project.id, next)));
      setOpen(null);
    });

  return (
    <Section title={text.budget.title} note={text.budget.note}>
      <Failure code={loaded.failure} testId="budgets-failure" />
      {loaded.value !== null && list.length === 0 && (
        <p className="text-sm text-ink-faint">{text.budget.none}</p>
      )}
      <ul className="space-y-3">
        {list.map((one) => (
          <Row
            key={one.id}
            client={client}
            budget={one}
            currency={currency}
            onEdit={manages ? () => setOpen(one) : null}
          />
        ))}
      </ul>
      {manages && loaded.value !== null && (
        <button type="button" className="line-button" data-testid="budget-new" onClick={() => setOpen("new")}>
          <Plus className="h-4 w-4" />
          {text.budget.add}
        </button>
      )}
      {open !== null && (
        <Editor
          client={client}
          budget={open === "new" ? null : open}
          currency={currency}
          task={task}
          onSave={(next) =>
            void keep(
              open === "new"
                ? [...list.map(uncounted), next]
                : list.map((one) => (one.id === open.id ? next : uncounted(one))),
            )
          }
          onRemove={() =>
            open !== "new" && void keep(list.filter((one) => one.id !== open.id).map(uncounted))
          }
          onClose={() => {
            task.clear();
            setOpen(null);
          }}
        />
      )}
    </Section>
  );
}

/** Without what only the server counts. */
function uncounted({ user_id, agent_id, period, limit_micros, hard }: api.Budget): api.NewBudget {
  return { user_id, agent_id, period, limit_micros, hard };
}

function Row({
  client,
  budget,
  currency,
  onEdit,
}: {
  client: ChatClient;
  budget: api.Budget;
  currency: string;
  onEdit: (() => void) | null;
}) {
  const { text, language } = useSpeech();
  const { agents, members } = useStore(client.chat);
  const full = fullness(budget.spent_micros + budget.reserved_micros, budget.limit_micros);
  const who =
    budget.user_id === null
      ? text.budget.everybody
      : (members[budget.user_id]?.display_name ?? text.usage.gone);
  const what =
    budget.agent_id === null
      ? null
      : (agents.find((one) => one.id === budget.agent_id)?.name ?? text.usage.goneAgent);
  const tone = full >= 100 ? "bg-danger" : full >= 80 ? "bg-warn" : "bg-accent";
  return (
    <li className="rounded-xl border border-line bg-surface px-4 py-3 text-sm" data-testid="budget">
      <div className="flex items-start gap-3">
        <p className="min-w-0 flex-1">
          <span className="font-medium">{[who, what].filter(Boolean).join(" · ")}</span>
          <span className="block text-xs text-ink-faint">
            {[
              text.budget.periods[budget.period],
              budget.hard ? text.budget.hard : text.budget.soft,
              text.budget.until(when(budget.ends_at, language, false)),
            ].join(" · ")}
          </span>
        </p>
        {onEdit && (
          <button type="button" className="quiet-button py-1" data-testid="budget-edit" onClick={onEdit}>
            {text.budget.change}
          </button>
        )}
      </div>
      <div
        className="mt-2 h-2 overflow-hidden rounded-full bg-ink/10"
        role="progressbar"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.min(100, full)}
        aria-label={text.budget.full(full)}
      >
        <div className={`h-full rounded-full ${tone}`} style={{ width: `${Math.min(100, full)}%` }} />
      </div>
      <p className="mt-1.5 flex justify-between gap-3 text-xs tabular-nums text-ink-soft">
        <span>
          {text.budget.spent(
            money(budget.spent_micros, currency, language),
            money(budget.limit_micros, currency, language),
          )}
        </span>
        <span>{full} %</span>
      </p>
    </li>
  );
}

function Editor({
  client,
  budget,
  currency,
  task,
  onSave,
  onRemove,
  onClose,
}: {
  client: ChatClient;
  budget: api.Budget | null;
  currency: string;
  task: Task;
  onSave(budget: api.NewBudget): void;
  onRemove(): void;
  onClose(): void;
}) {
  const { text } = useSpeech();
  const { agents, members } = useStore(client.chat);
  const [limit, setLimit] = useState(budget === null ? "" : typed(budget.limit_micros));
  const micros = microsOf(limit);
  return (
    <Dialog
      title={budget === null ? text.budget.add : text.budget.change}
      testId="budget-dialog"
      onClose={onClose}
    >
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          const fields = new FormData(event.currentTarget);
          if (!micros) return;
          onSave({
            user_id: String(fields.get("user")) || null,
            agent_id: String(fields.get("agent")) || null,
            period: api.PERIODS.find((one) => one === fields.get("period")) ?? "month",
            limit_micros: micros,
            hard: fields.get("hard") === "on",
          });
        }}
      >
        <Field label={text.budget.limit} hint={currency}>
          <input
            className="field tabular-nums"
            inputMode="decimal"
            autoComplete="off"
            value={limit}
            aria-invalid={limit !== "" && !micros}
            data-testid="budget-limit"
            onChange={(event) => setLimit(event.target.value)}
          />
        </Field>
        {limit !== "" && !micros && <p className="text-sm text-danger">{text.money.badAmount}</p>}
        <Field label={text.budget.period}>
          <select
            className="field"
            name="period"
            defaultValue={budget?.period ?? "month"}
            data-testid="budget-period"
          >
            {api.PERIODS.map((one) => (
              <option key={one} value={one}>
                {text.budget.periods[one]}
              </option>
            ))}
          </select>
        </Field>
        <Field label={text.budget.who}>
          <select
            className="field"
            name="user"
            defaultValue={budget?.user_id ?? ""}
            data-testid="budget-user"
          >
            <option value="">{text.budget.everybody}</option>
            {Object.values(members).map((one) => (
              <option key={one.user_id} value={one.user_id}>
                {one.display_name}
              </option>
            ))}
          </select>
        </Field>
        <Field label={text.budget.agent}>
          <select
            className="field"
            name="agent"
            defaultValue={budget?.agent_id ?? ""}
            data-testid="budget-agent"
          >
            <option value="">{text.budget.anyAgent}</option>
            {agents.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name}
              </option>
            ))}
          </select>
        </Field>
        <label className="flex items-start gap-2.5 text-sm">
          <input
            type="checkbox"
            name="hard"
            className="mt-0.5 h-5 w-5 accent-accent"
            defaultChecked={budget?.hard ?? true}
            data-testid="budget-hard"
          />
          <span>
            <span className="block font-medium">{text.budget.hard}</span>
            <span className="block text-ink-soft">{text.budget.hardNote}</span>
          </span>
        </label>
        <Failure code={task.failure} />
        <div className="flex items-center justify-between gap-2">
          {budget === null ? (
            <span />
          ) : (
            <button
              type="button"
              className="quiet-button text-danger hover:text-danger"
              data-testid="budget-remove"
              disabled={task.busy}
              onClick={onRemove}
            >
              {text.budget.remove}
            </button>
          )}
          <button
            type="submit"
            className="solid-button"
            disabled={!micros || task.busy}
            data-testid="budget-save"
          >
            {text.project.save}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

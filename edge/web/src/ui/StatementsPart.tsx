import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import { saveAs } from "../net/files";
import * as api from "../net/money";
import type { Project } from "../net/protocol";
import { money } from "../state/money";
import { Failure, Section, useLoaded, useTask } from "./forms";
import { useStore } from "./hooks";
import { Download } from "./icons";

/** Each month from its first balance to its last. */
export function StatementsPart({ client, project }: { client: ChatClient; project: Project }) {
  const { text, language } = useSpeech();
  const loaded = useLoaded(() => client.rest((token) => api.statements(token, project.id)), {
    404: "not_offered",
  });
  const [chosen, setChosen] = useState<string | null>(null);
  const months = loaded.value?.data ?? [];
  const month = chosen ?? months[0];
  const name = new Intl.DateTimeFormat(language, { month: "long", year: "numeric", timeZone: "UTC" });
  return (
    <Section title={text.statement.title}>
      <Failure code={loaded.failure} testId="statements-failure" />
      {loaded.value !== null && month === undefined && (
        <p className="text-sm text-ink-faint">{text.statement.none}</p>
      )}
      {month !== undefined && (
        <>
          <select
            className="field w-auto py-1.5 text-sm"
            aria-label={text.statement.month}
            value={month}
            data-testid="statement-month"
            onChange={(event) => setChosen(event.target.value)}
          >
            {months.map((one) => (
              <option key={one} value={one}>
                {name.format(new Date(`${one}-01`))}
              </option>
            ))}
          </select>
          <Month client={client} project={project} month={month} key={month} />
        </>
      )}
    </Section>
  );
}

function Month({ client, project, month }: { client: ChatClient; project: Project; month: string }) {
  const { text, language } = useSpeech();
  const { agents } = useStore(client.chat);
  const task = useTask();
  const loaded = useLoaded(() => client.rest((token) => api.statement(token, project.id, month)));
  const one = loaded.value;
  if (one === null)
    return loaded.failure === null ? (
      <div className="skeleton h-32 w-full" role="status" aria-label={text.loading} />
    ) : (
      <Failure code={loaded.failure} />
    );
  const amount = (micros: number) => money(micros, one.currency, language);
  const line = (label: string, micros: number, strong = false) => (
    <tr className="border-t border-line first:border-0">
      <th scope="row" className={`py-2 pr-2 text-left ${strong ? "font-medium" : "font-normal"}`}>
        {label}
      </th>
      <td className={`py-2 text-right tabular-nums ${strong ? "font-medium" : ""}`}>{amount(micros)}</td>
    </tr>
  );
  return (
    <>
      <table className="w-full text-sm" data-testid="statement">
        <tbody>
          {line(text.statement.opening, one.opening_micros, true)}
          {line(text.statement.credits, one.credit_micros)}
          {line(text.statement.charges, -one.charged_micros)}
          {one.charges.map((charge) => (
            <tr key={charge.agent_id} className="text-ink-soft">
              <th scope="row" className="py-1 pl-4 text-left font-normal">
                {agents.find((agent) => agent.id === charge.agent_id)?.name ?? text.usage.goneAgent}
                {` · ${text.statement.runs(charge.runs)}`}
              </th>
              <td className="py-1 text-right tabular-nums">{amount(-Math.abs(charge.charged_micros))}</td>
            </tr>
          ))}
          {one.reversed_micros !== 0 && line(text.statement.reversals, one.reversed_micros)}
          {line(text.statement.closing, one.closing_micros, true)}
        </tbody>
      </table>
      <button
        type="button"
        className="line-button py-1.5"
        data-testid="statement-csv"
        disabled={task.busy}
        onClick={() =>
          void task.run(async () =>
            saveAs(
              await client.rest((token) => api.statementFile(token, project.id, month)),
              `chorus-statement-${month}.csv`,
            ),
          )
        }
      >
        <Download className="h-4 w-4" />
        CSV
      </button>
      <Failure code={task.failure} />
    </>
  );
}

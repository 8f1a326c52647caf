import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import { saveAs } from "../net/files";
import * as api from "../net/money";
import type { Project } from "../net/protocol";
import { money, perDay } from "../state/money";
import { Failure, Section, useLoaded, useTask } from "./forms";
import { useStore } from "./hooks";
import { Download } from "./icons";

const SPANS = [7, 30, 90] as const;
const GROUPS = ["day", "user", "agent"] as const;
const DAY_MS = 86_400_000;

/** What was used, by day, person or agent: a picture, and a table with the same numbers. */
export function UsagePart({ client, project }: { client: ChatClient; project: Project }) {
  const { text } = useSpeech();
  const [days, setDays] = useState<number>(30);
  const [by, setBy] = useState<api.GroupBy>("day");
  const task = useTask();
  const from = new Date(Date.now() - (days - 1) * DAY_MS).toISOString().slice(0, 10);
  return (
    <Section title={text.usage.title} note={text.usage.note}>
      <div className="flex flex-wrap items-center gap-2">
        <select
          className="field w-auto py-1.5 text-sm"
          aria-label={text.usage.span}
          value={days}
          data-testid="usage-days"
          onChange={(event) => setDays(Number(event.target.value))}
        >
          {SPANS.map((span) => (
            <option key={span} value={span}>
              {text.usage.days(span)}
            </option>
          ))}
        </select>
        <select
          className="field w-auto py-1.5 text-sm"
          aria-label={text.usage.group}
          value={by}
          data-testid="usage-by"
          onChange={(event) => setBy(event.target.value as api.GroupBy)}
        >
          {GROUPS.map((group) => (
            <option key={group} value={group}>
              {text.usage.by[group]}
            </option>
          ))}
        </select>
        <button
          type="button"
          className="line-button py-1.5"
          data-testid="usage-csv"
          disabled={task.busy}
          onClick={() =>
            void task.run(
              async () =>
                saveAs(
                  await client.rest((token) => api.usageFile(token, project.id, from, by)),
                  `chorus-usage-${from}.csv`,
                ),
              { 404: "not_offered" },
            )
          }
        >
          <Download className="h-4 w-4" />
          CSV
        </button>
      </div>
      <Failure code={task.failure} />
      <Report client={client} project={project} from={from} by={by} key={`${from} ${by}`} />
    </Section>
  );
}

function Report({
  client,
  project,
  from,
  by,
}: {
  client: ChatClient;
  project: Project;
  from: string;
  by: api.GroupBy;
}) {
  const { text, language } = useSpeech();
  const { agents, members } = useStore(client.chat);
  const loaded = useLoaded(() => client.rest((token) => api.usage(token, project.id, from, by)), {
    404: "not_offered",
  });
  const report = loaded.value;
  if (report === null)
    return loaded.failure === null ? (
      <div className="skeleton h-40 w-full" role="status" aria-label={text.loading} />
    ) : (
      <Failure code={loaded.failure} testId="usage-failure" />
    );
  if (report.data.length === 0) return <p className="text-sm text-ink-faint">{text.usage.none}</p>;

  const count = (n: number) => n.toLocaleString(language);
  const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: "UTC" });
  const nameOf = (row: api.UsageRow) => {
    if (by === "day") return row.day === null ? "" : day.format(new Date(row.day));
    if (by === "user") return members[row.user_id ?? ""]?.display_name ?? text.usage.gone;
    return agents.find((one) => one.id === row.agent_id)?.name ?? text.usage.goneAgent;
  };
  const most = Math.max(1, ...report.data.map((row) => row.charged_micros));
  const number = "px-2 py-2 text-right tabular-nums";
  const cells = (row: api.UsageRow) => (
    <>
      <td className={number}>
        {count(row.runs)}
        {row.estimated_runs > 0 && (
          <span className="block text-xs text-ink-faint">{text.usage.estimated(row.estimated_runs)}</span>
        )}
      </td>
      <td className={`${number} hidden sm:table-cell`}>{count(row.input_tokens)}</td>
      <td className={`${number} hidden sm:table-cell`}>{count(row.output_tokens)}</td>
      <td className={`${number} pr-0`}>{money(row.charged_micros, row.currency, language)}</td>
    </>
  );
  return (
    <>
      {by === "day" &&
        report.total
          .filter((one) => one.charged_micros > 0)
          .map(({ currency }) => (
            <Columns
              key={currency}
              days={perDay(report.data, report.starts_at, report.ends_at, currency)}
              label={text.usage.plot(currency)}
              amount={(micros) => money(micros, currency, language)}
              day={(one) => day.format(new Date(one))}
            />
          ))}
      <div className="thin-scroll max-h-80 overflow-auto">
        <table className="w-full text-sm" data-testid="usage-table">
          <thead>
            <tr className="text-ink-soft">
              <th className="py-2 pr-2 text-left font-medium">{text.usage.heads[by]}</th>
              <th className={`${number} font-medium`}>{text.usage.answers}</th>
              <th className={`${number} hidden font-medium sm:table-cell`}>{text.cost.input}</th>
              <th className={`${number} hidden font-medium sm:table-cell`}>{text.cost.output}</th>
              <th className={`${number} pr-0 font-medium`}>{text.usage.charged}</th>
            </tr>
          </thead>
          <tbody>
            {report.data.map((row) => (
              <tr
                key={`${row.day} ${row.user_id} ${row.agent_id} ${row.currency}`}
                className="border-t border-line"
              >
                <th scope="row" className="max-w-[10rem] py-2 pr-2 text-left font-normal">
                  <span className="block truncate">{nameOf(row)}</span>
                  {by !== "day" && (
                    <span
                      className="mt-1 block h-1.5 rounded-full bg-accent"
                      style={{ width: `${(row.charged_micros * 100) / most}%` }}
                      aria-hidden="true"
                    />
                  )}
                </th>
                {cells(row)}
              </tr>
            ))}
          </tbody>
          <tfoot>
            {report.total.map((row) => (
              <tr key={row.currency} className="border-t-2 border-line font-medium">
                <th scope="row" className="py-2 pr-2 text-left">
                  {text.usage.total}
                </th>
                {cells(row)}
              </tr>
            ))}
          </tfoot>
        </table>
      </div>
    </>
  );
}

const HEIGHT = 120;
const STEP = 10;

/** A column for each day; the table below it says the same in words. */
function Columns({
  days,
  label,
  amount,
  day,
}: {
  days: readonly (readonly [day: string, micros: number])[];
  label: string;
  amount(micros: number): string;
  day(one: string): string;
}) {
  const most = Math.max(...days.map(([, micros]) => micros));
  const width = days.length * STEP;
  return (
    <figure>
      <figcaption className="flex justify-between text-xs text-ink-faint">
        <span>{label}</span>
        <span className="tabular-nums">{amount(most)}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${width} ${HEIGHT}`}
        preserveAspectRatio="none"
        className="mt-1 h-32 w-full border-b border-line"
        role="img"
        aria-label={label}
        data-testid="usage-plot"
      >
        <path
          d={`M0 .5H${width}M0 ${HEIGHT / 2}H${width}`}
          className="stroke-line"
          vectorEffect="non-scaling-stroke"
        />
        {days.map(([one, micros], nth) => {
          const height = (micros * HEIGHT) / most;
          return (
            <rect
              key={one}
              x={nth * STEP + 1}
              y={HEIGHT - height}
              width={STEP - 2}
              height={height}
              className="fill-accent"
            >
              <title>{`${day(one)}: ${amount(micros)}`}</title>
            </rect>
          );
        })}
      </svg>
      <div className="mt-1 flex justify-between text-xs text-ink-faint" aria-hidden="true">
        <span>{day(days[0]?.[0] ?? "")}</span>
        <span>{day(days.at(-1)?.[0] ?? "")}</span>
      </div>
    </figure>
  );
}

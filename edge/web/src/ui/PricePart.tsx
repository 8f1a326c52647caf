import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import * as api from "../net/money";
import type { Agent } from "../net/protocol";
import { microsOf, money, typed } from "../state/money";
import { Failure, Field, Said, useLoaded, useTask, when } from "./forms";

const FIGURES = ["input_micros", "cached_input_micros", "output_micros", "call_micros"] as const;

/** What an agent's answers cost. A price never changes: another one is another version, from the next question on. */
export function PricePart({ client, agent }: { client: ChatClient; agent: Agent }) {
  const { text, language } = useSpeech();
  const loaded = useLoaded(() => client.rest((token) => api.prices(token, agent.id)));
  const task = useTask();
  const [bad, setBad] = useState(false);
  const present = loaded.value?.data[0];
  const figures = present?.price ?? null;
  const currency = figures?.currency ?? "USD";
  if (loaded.value === null) return <Failure code={loaded.failure} />;
  const set = (price: Parameters<typeof api.setPrice>[2]["price"], model: string | null) =>
    task.run(async () => {
      await client.rest((token) => api.setPrice(token, agent.id, { price, model }));
      loaded.again();
    });
  return (
    <details className="mt-5 border-t border-line pt-3 text-sm" data-testid="prices">
      <summary className="cursor-pointer font-medium">
        {text.price.title}
        <span className="font-normal text-ink-faint">
          {" · "}
          {figures === null ? text.price.free : text.agent.version(present?.version ?? 0)}
        </span>
      </summary>
      <p className="mt-1 text-ink-soft">{text.price.note(currency)}</p>
      <form
        className="mt-3 space-y-3"
        key={present?.version}
        onSubmit={(event) => {
          event.preventDefault();
          const fields = new FormData(event.currentTarget);
          const value = (name: string) => microsOf(String(fields.get(name) || "0"));
          const [input, cached, output, call] = FIGURES.map(value);
          const wrong = [input, cached, output, call].some((one) => one === null);
          setBad(wrong);
          if (input == null || output == null || call == null || wrong) return;
          // Left empty, what was in the cache costs as much as the rest of the input.
          const ofCache = fields.get("cached_input_micros") === "" ? null : (cached ?? null);
          const model = String(fields.get("model")).trim() || null;
          void set(
            {
              currency,
              input_micros: input,
              output_micros: output,
              call_micros: call,
              cached_input_micros: ofCache,
            },
            model,
          );
        }}
      >
        <div className="grid grid-cols-2 gap-3">
          {FIGURES.map((name) => (
            <Field key={name} label={text.price[name]}>
              <input
                className="field tabular-nums"
                name={name}
                inputMode="decimal"
                autoComplete="off"
                defaultValue={figures === null ? "" : typed(figures[name])}
                data-testid={`price-${name.replace("_micros", "")}`}
              />
            </Field>
          ))}
        </div>
        <Field label={text.price.model} hint={text.price.anyModel}>
          <input
            className="field"
            name="model"
            maxLength={200}
            autoComplete="off"
            spellCheck={false}
            defaultValue={present?.model ?? ""}
            data-testid="price-model"
          />
        </Field>
        {bad && <p className="text-danger">{text.money.badAmount}</p>}
        <Failure code={task.failure} />
        <Said testId="price-saved">{task.done && text.price.saved}</Said>
        <div className="flex gap-2">
          <button type="submit" className="line-button" disabled={task.busy} data-testid="price-save">
            {text.price.set}
          </button>
          {figures !== null && (
            <button
              type="button"
              className="quiet-button"
              disabled={task.busy}
              data-testid="price-free"
              onClick={() => void set(null, present?.model ?? null)}
            >
              {text.price.makeFree}
            </button>
          )}
        </div>
      </form>
      <ul className="mt-3 space-y-1 text-xs text-ink-soft">
        {loaded.value.data.map((one) => (
          <li key={one.version} className="flex justify-between gap-3">
            <span className="min-w-0 truncate">
              {text.agent.version(one.version)}
              {" · "}
              {one.price === null
                ? text.price.free
                : [one.price.input_micros, one.price.output_micros]
                    .map((micros) => money(micros, one.price?.currency ?? currency, language))
                    .join(" / ")}
              {one.model && ` · ${one.model}`}
            </span>
            <span className="shrink-0 text-ink-faint">{when(one.created_at, language)}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}

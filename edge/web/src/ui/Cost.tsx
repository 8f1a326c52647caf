import { useId, useRef } from "react";
import { useSpeech } from "../i18n/context";
import type { Usage } from "../net/described";
import { money } from "../state/money";

const PLACE = "#/project/money";

/** Where a refusal for lack of money is put right. */
export function ToMoney({ code }: { code: string | null }) {
  const { text } = useSpeech();
  if (code !== "insufficient_credits" && code !== "budget_exhausted") return null;
  return (
    <a href={PLACE} className="quiet-button py-1 text-accent hover:text-accent" data-testid="to-money">
      {text.money.tab}
    </a>
  );
}

/** What an answer cost, and behind it, how that came about. */
export function Cost({ usage }: { usage: Usage }) {
  const { text, language } = useSpeech();
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  if (usage.price_version == null) return null;
  const estimated = usage.source === "estimated";
  const amount = money(usage.cost_micros, usage.currency, language);
  const count = (n: number) => n.toLocaleString(language);
  const rows: [string, string][] = [
    [text.cost.input, count(usage.input_tokens)],
    [text.cost.cached, count(usage.cached_input_tokens)],
    [text.cost.output, count(usage.output_tokens)],
    [text.cost.counted, estimated ? text.cost.byUs : text.cost.byProvider],
    [text.cost.price, text.agent.version(usage.price_version)],
  ];
  function place() {
    if (button.current === null || panel.current === null) return;
    const at = button.current.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = panel.current;
    const below = at.bottom + 4 + height <= window.innerHeight - 8;
    panel.current.style.top = `${below ? at.bottom + 4 : Math.max(8, at.top - 4 - height)}px`;
    panel.current.style.left = `${Math.max(8, Math.min(at.left, window.innerWidth - width - 8))}px`;
  }
  return (
    <>
      <button
        ref={button}
        type="button"
        className="quiet-button px-2 py-1 text-xs tabular-nums text-ink-faint"
        data-testid="cost"
        data-micros={usage.cost_micros}
        title={rows.map((row) => row.join(": ")).join("\n")}
        aria-label={`${text.cost.label(amount)}${estimated ? `, ${text.cost.estimated}` : ""}`}
        popoverTarget={id}
      >
        {amount}
        {estimated && <span>· {text.cost.estimated}</span>}
      </button>
      <div
        ref={panel}
        id={id}
        popover="auto"
        className="fixed inset-auto m-0 rounded-xl border border-line bg-raised p-3 text-xs text-ink shadow-float"
        data-testid="cost-details"
        onToggle={(event) => event.newState === "open" && place()}
      >
        <dl className="grid grid-cols-[auto_auto] gap-x-6 gap-y-1">
          {rows.map(([name, value]) => (
            <div key={name} className="contents">
              <dt className="text-ink-soft">{name}</dt>
              <dd className="text-right tabular-nums">{value}</dd>
            </div>
          ))}
        </dl>
        {estimated && <p className="mt-2 max-w-[15rem] text-ink-faint">{text.cost.estimatedNote}</p>}
      </div>
    </>
  );
}

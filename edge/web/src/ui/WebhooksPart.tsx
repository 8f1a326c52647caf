import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import { all } from "../net/http";
import * as api from "../net/notifications";
import type { Project } from "../net/protocol";
import { Dialog } from "./Dialog";
import { Failure, Field, Said, Section, useLoaded, useTask, when } from "./forms";
import { useCopied } from "./hooks";
import { Check, Copy, Plus } from "./icons";
import { KINDS } from "./NotificationsPart";

/** Where a project's notifications are posted to. */
export function WebhooksPart({ client, project }: { client: ChatClient; project: Project }) {
  const { text } = useSpeech();
  const loaded = useLoaded(() =>
    client.rest((token) => all((cursor) => api.webhooks(token, project.id, cursor))),
  );
  const [adding, setAdding] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const list = loaded.value ?? [];
  return (
    <Section title={text.webhook.tab} note={text.webhook.note}>
      <Failure code={loaded.failure} />
      {loaded.value !== null && list.length === 0 && (
        <p className="text-sm text-ink-faint">{text.webhook.none}</p>
      )}
      <ul className="space-y-3">
        {list.map((one) => (
          <Hook
            key={one.id}
            client={client}
            project={project}
            hook={one}
            onChanged={loaded.again}
            onSecret={setSecret}
          />
        ))}
      </ul>
      {loaded.value !== null && (
        <button
          type="button"
          className="line-button"
          data-testid="webhook-new"
          onClick={() => setAdding(true)}
        >
          <Plus className="h-4 w-4" />
          {text.webhook.add}
        </button>
      )}
      {adding && (
        <NewHook
          client={client}
          project={project}
          onMade={(made) => {
            setAdding(false);
            setSecret(made);
            loaded.again();
          }}
          onClose={() => setAdding(false)}
        />
      )}
      {secret !== null && <Secret secret={secret} onClose={() => setSecret(null)} />}
    </Section>
  );
}

/** Which kinds: all of them where none is named. */
function Kinds({ chosen, onChoose }: { chosen: readonly string[]; onChoose(kinds: api.Kind[]): void }) {
  const { text } = useSpeech();
  const every = chosen.length === 0;
  return (
    <fieldset>
      <legend className="mb-1.5 text-sm font-medium">{text.webhook.kinds}</legend>
      <div className="grid gap-1.5 text-sm sm:grid-cols-2">
        {KINDS.map((kind) => {
          const on = every || chosen.includes(kind);
          return (
            <label key={kind} className="flex items-center gap-2">
              <input
                type="checkbox"
                className="h-4 w-4 accent-accent"
                checked={on}
                data-testid={`webhook-kind-${kind}`}
                onChange={() => {
                  const next = KINDS.filter((one) => (one === kind ? !on : every || chosen.includes(one)));
                  // None at all would be a webhook for nothing.
                  if (next.length > 0) onChoose(next.length === KINDS.length ? [] : next);
                }}
              />
              {text.bell.kinds[kind]}
            </label>
          );
        })}
      </div>
    </fieldset>
  );
}

function NewHook({
  client,
  project,
  onMade,
  onClose,
}: {
  client: ChatClient;
  project: Project;
  onMade(secret: string): void;
  onClose(): void;
}) {
  const { text } = useSpeech();
  const task = useTask();
  const [kinds, setKinds] = useState<api.Kind[]>([]);
  return (
    <Dialog title={text.webhook.add} testId="webhook-dialog" onClose={onClose}>
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          const url = String(new FormData(event.currentTarget).get("url") ?? "").trim();
          void task.run(
            async () => {
              const made = await client.rest((token) =>
                api.addWebhook(token, project.id, kinds.length === 0 ? { url } : { url, kinds }),
              );
              onMade(made.secret);
            },
            { url: "bad_hook_url", 409: "too_many_hooks" },
          );
        }}
      >
        <Field label={text.webhook.url}>
          <input
            className="field"
            name="url"
            type="url"
            inputMode="url"
            required
            placeholder="https://example.org/chorus"
            data-testid="webhook-url"
          />
        </Field>
        <Kinds chosen={kinds} onChoose={setKinds} />
        <Failure code={task.failure} />
        <button type="submit" className="solid-button w-full" disabled={task.busy} data-testid="webhook-save">
          {text.webhook.add}
        </button>
      </form>
    </Dialog>
  );
}

function Secret({ secret, onClose }: { secret: string; onClose(): void }) {
  const { text } = useSpeech();
  const [copied, copy] = useCopied();
  return (
    <Dialog title={text.webhook.secret} testId="webhook-secret-dialog" onClose={onClose}>
      <p className="mb-3 text-sm text-ink-soft">{text.webhook.secretNote}</p>
      <div className="flex gap-2">
        <input
          className="field min-w-0 font-mono text-sm"
          readOnly
          value={secret}
          aria-label={text.webhook.secret}
          data-testid="webhook-secret"
          onFocus={(event) => event.target.select()}
        />
        <button type="button" className="line-button" data-testid="webhook-copy" onClick={() => copy(secret)}>
          {copied ? <Check className="h-4 w-4 text-accent" /> : <Copy className="h-4 w-4" />}
          {copied ? text.answer.copied : text.answer.copy}
        </button>
      </div>
      <button
        type="button"
        className="solid-button mt-4 w-full"
        data-testid="webhook-secret-kept"
        onClick={onClose}
      >
        {text.webhook.kept}
      </button>
    </Dialog>
  );
}

function Hook({
  client,
  project,
  hook,
  onChanged,
  onSecret,
}: {
  client: ChatClient;
  project: Project;
  hook: api.Webhook;
  onChanged(): void;
  onSecret(secret: string): void;
}) {
  const { text, language } = useSpeech();
  const task = useTask();
  const [tested, setTested] = useState(0);
  const [log, setLog] = useState(false);
  const [sure, setSure] = useState<"remove" | "secret" | null>(null);
  const on = hook.disabled_at === null;
  const change = (body: Parameters<typeof api.changeWebhook>[3]) =>
    task.run(async () => {
      await client.rest((token) => api.changeWebhook(token, project.id, hook.id, body));
      onChanged();
    });
  return (
    <li className="space-y-3 rounded-xl border border-line bg-surface px-4 py-3" data-testid="webhook">
      <div className="flex items-start gap-3">
        <p className="min-w-0 flex-1 break-all font-medium">{hook.url}</p>
        <button
          type="button"
          role="switch"
          aria-checked={on}
          aria-label={text.webhook.enabled}
          title={text.webhook.enabled}
          disabled={task.busy}
          data-testid="webhook-enabled"
          className={`relative mt-0.5 h-6 w-10 shrink-0 rounded-full transition-colors ${on ? "bg-accent" : "bg-ink/25"}`}
          onClick={() => void change({ enabled: !on })}
        >
          <span
            className={`absolute top-1 h-4 w-4 rounded-full bg-surface transition-[left] ${on ? "left-5" : "left-1"}`}
          />
        </button>
      </div>
      {!on && (
        <p className="text-sm text-warn">
          {text.webhook.off}
          {hook.disabled_why && `: ${hook.disabled_why}`}
        </p>
      )}
      {on && hook.failing_since !== null && (
        <p className="text-sm text-warn">{text.webhook.failing(when(hook.failing_since, language))}</p>
      )}
      <Kinds chosen={hook.kinds} onChoose={(kinds) => void change({ kinds })} />
      <Failure code={task.failure} />
      <Said testId="webhook-tested">{tested > 0 && !task.failure && text.webhook.tested}</Said>
      <div className="-mx-2.5 flex flex-wrap gap-1">
        <button
          type="button"
          className="quiet-button"
          data-testid="webhook-test"
          disabled={task.busy || !on}
          onClick={() =>
            void task.run(async () => {
              await client.rest((token) => api.testWebhook(token, project.id, hook.id));
              setTested((n) => n + 1);
              setLog(true);
            })
          }
        >
          {text.webhook.test}
        </button>
        <button
          type="button"
          className="quiet-button"
          data-testid="webhook-log"
          aria-expanded={log}
          onClick={() => setLog(!log)}
        >
          {text.webhook.log}
        </button>
        <button
          type="button"
          className="quiet-button"
          data-testid="webhook-new-secret"
          onClick={() => setSure("secret")}
        >
          {text.webhook.newSecret}
        </button>
        <button
          type="button"
          className="quiet-button text-danger hover:text-danger"
          data-testid="webhook-remove"
          onClick={() => setSure("remove")}
        >
          {text.list.delete}
        </button>
      </div>
      {sure !== null && (
        <div className="flex flex-wrap items-center gap-2 text-sm" role="alert">
          <span>{sure === "remove" ? text.webhook.removeSure : text.webhook.secretSure}</span>
          <button
            type="button"
            className="danger-button py-1.5"
            disabled={task.busy}
            data-testid="webhook-sure"
            onClick={() =>
              void task.run(async () => {
                if (sure === "remove")
                  await client.rest((token) => api.removeWebhook(token, project.id, hook.id));
                else
                  onSecret((await client.rest((token) => api.newSecret(token, project.id, hook.id))).secret);
                setSure(null);
                onChanged();
              })
            }
          >
            {sure === "remove" ? text.list.delete : text.webhook.newSecret}
          </button>
          <button type="button" className="quiet-button" onClick={() => setSure(null)}>
            {text.agent.cancel}
          </button>
        </div>
      )}
      {log && <Deliveries client={client} project={project} hook={hook} key={tested} />}
    </li>
  );
}

function Deliveries({ client, project, hook }: { client: ChatClient; project: Project; hook: api.Webhook }) {
  const { text, language } = useSpeech();
  const page = (cursor: string | null) =>
    client.rest((token) => api.deliveries(token, project.id, hook.id, cursor));
  const loaded = useLoaded(() => page(null));
  const task = useTask();
  const next = loaded.value?.next_cursor ?? null;
  return (
    <div className="border-t border-line pt-3 text-sm">
      <div className="flex items-center justify-between">
        <h3 className="font-medium">{text.webhook.log}</h3>
        <button
          type="button"
          className="quiet-button py-1"
          data-testid="deliveries-again"
          onClick={loaded.again}
        >
          {text.money.again}
        </button>
      </div>
      <Failure code={loaded.failure ?? task.failure} />
      {loaded.value?.data.length === 0 && <p className="text-ink-faint">{text.webhook.noLog}</p>}
      <ul className="divide-y divide-line">
        {loaded.value?.data.map((one) => (
          <li key={one.id} className="py-2" data-testid="delivery" data-status={one.status}>
            <details>
              <summary className="flex cursor-pointer flex-wrap items-baseline gap-x-3">
                <span className="flex-1 truncate font-mono text-xs">{one.type}</span>
                <span
                  className={
                    one.status === "failed"
                      ? "text-danger"
                      : one.status === "delivered"
                        ? "text-accent"
                        : "text-warn"
                  }
                >
                  {text.webhook.states[one.status]}
                </span>
                <span className="text-xs text-ink-faint">{when(one.created_at, language)}</span>
              </summary>
              <ul className="mt-1.5 space-y-1 text-xs text-ink-soft" data-testid="attempts">
                {one.attempts.length === 0 && <li>{text.webhook.noAttempt}</li>}
                {one.attempts.map((attempt) => (
                  <li key={attempt.at} className="flex flex-wrap gap-x-3">
                    <span>{when(attempt.at, language)}</span>
                    <span className="tabular-nums">{attempt.took_ms} ms</span>
                    <span className="break-words">{attempt.status ?? attempt.error}</span>
                  </li>
                ))}
                {one.next_at !== null && <li>{text.webhook.nextAt(when(one.next_at, language))}</li>}
              </ul>
            </details>
          </li>
        ))}
      </ul>
      {next !== null && (
        <button
          type="button"
          className="quiet-button w-full justify-center"
          disabled={task.busy}
          onClick={() =>
            void task.run(async () => {
              const more = await page(next);
              loaded.set({ ...more, data: [...(loaded.value?.data ?? []), ...more.data] });
            })
          }
        >
          {text.list.more}
        </button>
      )}
    </div>
  );
}

import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import type { NewAgent, Params } from "../net/described";
import * as projects from "../net/projects";
import type { Agent, AgentConfig, Project } from "../net/protocol";
import { may } from "../state/roles";
import { Dialog } from "./Dialog";
import { Failure, Field, Said, Section, Stale, useLoaded, useTask, when } from "./forms";
import { useStore } from "./hooks";
import { Mark, Plus } from "./icons";
import { PricePart } from "./PricePart";

type Kind = "openai" | "scripted";

/** Who answers in this project besides people. */
export function AgentsPart({ client, project }: { client: ChatClient; project: Project }) {
  const { text } = useSpeech();
  const { agents } = useStore(client.chat);
  const [open, setOpen] = useState<Agent | "new" | null>(null);
  const manages = may(project.role, "manage_agents");
  return (
    <Section title={text.project.agents}>
      {agents.length === 0 && <p className="text-sm text-ink-faint">{text.agent.none}</p>}
      <ul className="divide-y divide-line">
        {agents.map((agent) => (
          <li key={agent.id} className="flex items-center gap-3 py-2.5" data-testid="agent">
            <Mark className="h-9 w-9 shrink-0" />
            <span className="min-w-0 flex-1">
              <span className="block truncate font-medium">
                {agent.name}
                {agent.id === project.default_agent_id && (
                  <span className="ml-2 rounded-md bg-accent-soft px-1.5 py-0.5 text-xs font-medium text-accent">
                    {text.agent.byDefault}
                  </span>
                )}
              </span>
              <span className="block truncate text-sm text-ink-soft">
                {[agent.config.model, text.agent.version(agent.version)].filter(Boolean).join(" · ")}
              </span>
            </span>
            {manages && (
              <button
                type="button"
                className="quiet-button"
                data-testid="agent-edit"
                onClick={() => setOpen(agent)}
              >
                {text.agent.edit}
              </button>
            )}
          </li>
        ))}
      </ul>
      {manages && (
        <button type="button" className="line-button" data-testid="agent-new" onClick={() => setOpen("new")}>
          <Plus className="h-4 w-4" />
          {text.agent.create}
        </button>
      )}
      {open !== null && (
        <AgentDialog
          client={client}
          project={project}
          agent={open === "new" ? null : open}
          onClose={() => setOpen(null)}
        />
      )}
    </Section>
  );
}

/** What the form says, on top of what it does not show. */
export function configFrom(before: AgentConfig | null, kind: Kind, fields: FormData): NewAgent["config"] {
  const value = (name: string) => String(fields.get(name) ?? "").trim();
  if (kind === "scripted") return before?.kind === "scripted" ? { ...kept(before), kind } : { kind };
  const rest = before?.kind === "openai" ? kept(before) : {};
  const params: Params = { ...("params" in rest ? rest.params : {}) };
  for (const [name, field] of [
    ["temperature", value("temperature")],
    ["max_tokens", value("max_tokens")],
  ] as const) {
    if (field === "") delete params[name];
    else params[name] = Number(field);
  }
  return {
    ...rest,
    kind,
    url: value("url") || null,
    model: value("model") || null,
    system_prompt: value("system_prompt"),
    params,
    ...(value("secret") === "" ? {} : { secret: value("secret") }),
  };
}

/** Without what is only ever shown, and without the kind. */
function kept({ has_secret: _, kind: __, ...config }: AgentConfig) {
  return config;
}

interface DialogProps {
  client: ChatClient;
  project: Project;
  /** Null: one to be made. */
  agent: Agent | null;
  onClose(): void;
}

/** What is changed is as it was when the dialog opened: nobody undoes what they have not seen. */
function AgentDialog(props: DialogProps) {
  const { client, agent, onClose } = props;
  const { text } = useSpeech();
  const [anew, setAnew] = useState(false);
  const seen = useLoaded(async () =>
    agent === null ? null : client.rest((token) => projects.oneAgent(token, agent.id)),
  );
  const ready = agent === null || seen.value !== null;
  return (
    <Dialog
      title={agent === null ? text.agent.create : text.agent.edit}
      testId="agent-dialog"
      onClose={onClose}
    >
      <Failure code={seen.failure} />
      <Said testId="loaded-anew">{anew && text.project.loadedAnew}</Said>
      {!ready && seen.failure === null && (
        <div className="skeleton h-64 w-full" role="status" aria-label={text.loading} />
      )}
      {ready && (
        <AgentForm
          {...props}
          key={seen.value?.tag}
          agent={seen.value?.value ?? null}
          tag={seen.value?.tag ?? null}
          onStale={() => {
            setAnew(true);
            seen.again();
          }}
        />
      )}
    </Dialog>
  );
}

function AgentForm({
  client,
  project,
  agent,
  tag,
  onStale,
  onClose,
}: DialogProps & { tag: string | null; onStale(): void }) {
  const { text } = useSpeech();
  const task = useTask();
  const treasurers = useStore(client.treasurers);
  const [kind, setKind] = useState<Kind>(agent?.config.kind === "scripted" ? "scripted" : "openai");
  const [sure, setSure] = useState(false);
  const config = agent?.config ?? null;

  const save = (fields: FormData) =>
    task.run(
      async () => {
        const body = {
          name: String(fields.get("name") ?? "").trim(),
          config: configFrom(config, kind, fields),
        };
        await client.rest((token) =>
          agent === null
            ? projects.createAgent(token, project.id, body)
            : projects.changeAgent(token, agent.id, body, tag),
        );
        await client.lists.loadAgents();
        onClose();
      },
      { name: "bad_name", secret: "bad_secret", url: "bad_url" },
    );
  const remove = () =>
    agent !== null &&
    task.run(async () => {
      await client.rest((token) => projects.removeAgent(token, agent.id));
      await client.lists.load();
      onClose();
    });

  return (
    <>
      <form
        className="space-y-4"
        onSubmit={(event) => {
          event.preventDefault();
          void save(new FormData(event.currentTarget));
        }}
      >
        <Field label={text.agent.name}>
          <input
            className="field"
            name="name"
            defaultValue={agent?.name ?? ""}
            maxLength={80}
            required
            data-testid="agent-name"
          />
        </Field>
        <Field label={text.agent.kind}>
          <select
            className="field"
            value={kind}
            data-testid="agent-kind"
            onChange={(event) => setKind(event.target.value as Kind)}
          >
            <option value="openai">{text.agent.kinds.openai}</option>
            <option value="scripted">{text.agent.kinds.scripted}</option>
          </select>
        </Field>
        {kind === "openai" && (
          <>
            <Field label={text.agent.url} hint={text.agent.urlHint}>
              <input
                className="field"
                name="url"
                inputMode="url"
                placeholder="https://api.example.org/v1"
                defaultValue={config?.url ?? ""}
                data-testid="agent-url"
              />
            </Field>
            <Field label={text.agent.model}>
              <input
                className="field"
                name="model"
                defaultValue={config?.model ?? ""}
                data-testid="agent-model"
              />
            </Field>
            <Field label={text.agent.prompt}>
              <textarea
                className="field thin-scroll resize-y"
                name="system_prompt"
                rows={4}
                maxLength={16_000}
                defaultValue={config?.system_prompt ?? ""}
                data-testid="agent-prompt"
              />
            </Field>
            <div className="grid gap-4 sm:grid-cols-2">
              <Field label={text.agent.temperature}>
                <input
                  className="field"
                  name="temperature"
                  type="number"
                  min={0}
                  max={2}
                  step="any"
                  defaultValue={String(config?.params?.temperature ?? "")}
                />
              </Field>
              <Field label={text.agent.maxTokens}>
                <input
                  className="field"
                  name="max_tokens"
                  type="number"
                  min={1}
                  defaultValue={String(config?.params?.max_tokens ?? "")}
                />
              </Field>
            </div>
            <Field label={text.agent.secret} hint={text.agent.secretHint}>
              <input
                className="field"
                name="secret"
                type="password"
                autoComplete="off"
                placeholder={config?.has_secret ? "••••••••" : ""}
                data-testid="agent-secret"
              />
            </Field>
            {config?.has_secret && <p className="-mt-2 text-xs text-ink-faint">{text.agent.secretSet}</p>}
          </>
        )}
        <Failure code={task.failure} />
        <Stale code={task.failure} onAgain={onStale} />
        <div className="flex items-center justify-between gap-2">
          {agent === null ? (
            <span />
          ) : sure ? (
            <span className="flex gap-2">
              <button
                type="button"
                className="danger-button"
                data-testid="agent-delete-sure"
                disabled={task.busy}
                onClick={() => void remove()}
              >
                {text.agent.removeSure}
              </button>
              <button type="button" className="quiet-button" onClick={() => setSure(false)}>
                {text.agent.cancel}
              </button>
            </span>
          ) : (
            <button
              type="button"
              className="quiet-button text-danger hover:text-danger"
              data-testid="agent-delete"
              onClick={() => setSure(true)}
            >
              {text.agent.remove}
            </button>
          )}
          <button type="submit" className="solid-button" disabled={task.busy} data-testid="agent-save">
            {text.project.save}
          </button>
        </div>
      </form>
      {agent !== null && may(project.role, "manage_money") && treasurers === false && (
        <PricePart client={client} agent={agent} />
      )}
      {agent !== null && <Versions client={client} agent={agent} />}
    </>
  );
}

function Versions({ client, agent }: { client: ChatClient; agent: Agent }) {
  const { text, language } = useSpeech();
  const list = useLoaded(() => client.rest((token) => projects.versions(token, agent.id)));
  return (
    <details className="mt-5 border-t border-line pt-3 text-sm">
      <summary className="cursor-pointer font-medium">{text.agent.versions}</summary>
      <Failure code={list.failure} />
      <ul className="mt-2 space-y-2">
        {list.value?.data.map((one) => (
          <li key={one.version}>
            <p className="flex justify-between gap-3">
              <span>
                {text.agent.version(one.version)}
                {one.config.model ? ` · ${one.config.model}` : ""}
              </span>
              <span className="shrink-0 text-ink-faint">{when(one.created_at, language)}</span>
            </p>
            {one.config.system_prompt && (
              <p className="line-clamp-2 text-xs text-ink-soft">{one.config.system_prompt}</p>
            )}
          </li>
        ))}
      </ul>
    </details>
  );
}

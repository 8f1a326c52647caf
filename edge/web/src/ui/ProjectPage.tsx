import { lazy, useState } from "react";
import { useText } from "../i18n/context";
import type { ChatClient } from "../net/client";
import * as projects from "../net/projects";
import type { Project } from "../net/protocol";
import { may } from "../state/roles";
import { AgentsPart } from "./AgentsPart";
import { Failure, Field, Said, Section, Stale, TypedConfirm, useLoaded, useTask } from "./forms";
import { useStore } from "./hooks";
import { MembersPart } from "./MembersPart";
import { Part } from "./Part";
import { Place } from "./PlaceTabs";
import { WebhooksPart } from "./WebhooksPart";

const MoneyPart = lazy(async () => ({ default: (await import("./MoneyPart")).MoneyPart }));

/** The project on the screen: who and what is in it. */
export function ProjectPage({ client, section }: { client: ChatClient; section: string }) {
  const text = useText();
  const chat = useStore(client.chat);
  const project = chat.projects.find((one) => one.id === chat.projectId);
  const present = ["agents", "money", "webhooks", "general"].includes(section) ? section : "members";
  if (project === undefined) return null;
  const hooks = may(project.role, "manage_webhooks");
  return (
    <Place
      at="project"
      present={present}
      parts={[
        ["members", text.project.members],
        ["agents", text.project.agents],
        ["money", text.money.tab],
        ...(hooks ? ([["webhooks", text.webhook.tab]] as const) : []),
        ["general", text.project.general],
      ]}
    >
      {present === "members" && <MembersPart client={client} project={project} />}
      {present === "agents" && <AgentsPart client={client} project={project} />}
      {present === "money" && (
        <Part>
          <MoneyPart client={client} project={project} />
        </Part>
      )}
      {present === "webhooks" && hooks && <WebhooksPart client={client} project={project} />}
      {present === "general" && <GeneralPart client={client} project={project} />}
    </Place>
  );
}

function GeneralPart({ client, project }: { client: ChatClient; project: Project }) {
  const text = useText();
  const chat = useStore(client.chat);
  const mayRename = may(project.role, "rename_project");
  const owns = may(project.role, "manage_owners");
  const save = useTask();
  const leave = useTask();
  const hand = useTask();
  const end = useTask();
  const [heir, setHeir] = useState("");
  const [anew, setAnew] = useState(false);
  const seen = useLoaded(() => client.rest((token) => projects.one(token, project.id)));
  const shown = seen.value?.value ?? project;
  const others = Object.values(chat.members).filter((one) => one.user_id !== client.user.id);
  // A project is never without an owner.
  const mayLeave = project.role !== "owner" || others.some((one) => one.role === "owner");
  const gone = async () => {
    location.hash = "#/";
    await client.lists.load();
  };

  return (
    <>
      {mayRename && (
        <Section title={text.project.general}>
          <form
            className="space-y-3"
            key={seen.value?.tag}
            onSubmit={(event) => {
              event.preventDefault();
              const fields = new FormData(event.currentTarget);
              const name = String(fields.get("name") ?? "").trim();
              const agent = String(fields.get("agent") ?? "");
              void save.run(
                async () => {
                  await client.rest((token) =>
                    projects.change(
                      token,
                      project.id,
                      {
                        ...(name === shown.name ? {} : { name }),
                        default_agent_id: agent === "" ? null : agent,
                      },
                      seen.value?.tag ?? null,
                    ),
                  );
                  setAnew(false);
                  seen.again();
                  await client.lists.load();
                },
                { name: "bad_name" },
              );
            }}
          >
            <Field label={text.project.name}>
              <input
                className="field"
                name="name"
                defaultValue={shown.name}
                maxLength={80}
                data-testid="project-rename"
              />
            </Field>
            <Field label={text.project.defaultAgent}>
              <select
                className="field"
                name="agent"
                key={`${shown.default_agent_id}-${chat.agents.length}`}
                defaultValue={shown.default_agent_id ?? ""}
              >
                {chat.agents.map((one) => (
                  <option key={one.id} value={one.id}>
                    {one.name}
                  </option>
                ))}
                <option value="">{text.project.nobody}</option>
              </select>
            </Field>
            <Failure code={save.failure} />
            <Stale
              code={save.failure}
              onAgain={() => {
                save.clear();
                setAnew(true);
                seen.again();
                void client.lists.load();
              }}
            />
            <Said testId="loaded-anew">{anew && text.project.loadedAnew}</Said>
            <Said>{save.done && text.project.saved}</Said>
            <button type="submit" className="solid-button" disabled={save.busy} data-testid="project-save">
              {text.project.save}
            </button>
          </form>
        </Section>
      )}
      {mayLeave && (
        <Section title={text.project.leave} note={text.project.leaveNote}>
          <Failure code={leave.failure} />
          <button
            type="button"
            className="danger-button"
            data-testid="project-leave"
            disabled={leave.busy}
            onClick={() =>
              void leave.run(
                async () => {
                  await client.rest((token) => projects.removeMember(token, project.id, client.user.id));
                  await gone();
                },
                { 409: "last_owner" },
              )
            }
          >
            {text.project.leave}
          </button>
        </Section>
      )}
      {owns && others.length > 0 && (
        <Section title={text.project.transfer} note={text.project.transferNote}>
          <form
            className="flex flex-col gap-2.5 sm:flex-row sm:items-end"
            onSubmit={(event) => {
              event.preventDefault();
              void hand.run(async () => {
                await client.rest((token) => projects.transfer(token, project.id, heir));
                await client.lists.load();
              });
            }}
          >
            <div className="flex-1">
              <Field label={text.project.transferTo}>
                <select
                  className="field"
                  value={heir}
                  data-testid="transfer-to"
                  onChange={(event) => setHeir(event.target.value)}
                >
                  <option value="">{text.project.choose}</option>
                  {others.map((one) => (
                    <option key={one.user_id} value={one.user_id}>
                      {one.email === null ? one.display_name : `${one.display_name} · ${one.email}`}
                    </option>
                  ))}
                </select>
              </Field>
            </div>
            <button
              type="submit"
              className="danger-button h-[2.875rem]"
              disabled={heir === "" || hand.busy}
              data-testid="transfer"
            >
              {text.project.transfer}
            </button>
          </form>
          <Failure code={hand.failure} />
        </Section>
      )}
      {may(project.role, "delete_project") && (
        <Section title={text.project.remove2} note={text.project.removeNote}>
          <TypedConfirm
            expected={project.name}
            label={text.project.typeName(project.name)}
            button={text.project.remove2}
            testId="project-delete"
            busy={end.busy}
            onConfirm={(typed) =>
              void end.run(
                async () => {
                  await client.rest((token) => projects.remove(token, project.id, typed));
                  await gone();
                },
                { 422: "wrong_confirm" },
              )
            }
          />
          <Failure code={end.failure} />
        </Section>
      )}
      <DeletedProjects client={client} />
    </>
  );
}

function DeletedProjects({ client }: { client: ChatClient }) {
  const text = useText();
  const task = useTask();
  const list = useLoaded(() => client.rest(projects.deleted));
  if (!list.value?.data.length) return null;
  return (
    <Section title={text.project.deleted}>
      <ul className="divide-y divide-line">
        {list.value.data.map((one) => (
          <li key={one.id} className="flex items-center gap-3 py-2">
            <span className="min-w-0 flex-1 truncate">{one.name}</span>
            <button
              type="button"
              className="quiet-button"
              disabled={task.busy}
              data-testid="project-restore"
              onClick={() =>
                void task.run(async () => {
                  await client.rest((token) => projects.restore(token, one.id));
                  list.again();
                  await client.lists.load();
                })
              }
            >
              {text.project.restore}
            </button>
          </li>
        ))}
      </ul>
      <Failure code={task.failure} />
    </Section>
  );
}

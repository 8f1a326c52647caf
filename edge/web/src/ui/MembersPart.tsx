import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import { all } from "../net/http";
import * as projects from "../net/projects";
import type { Member, Project } from "../net/protocol";
import type { Role } from "../net/words";
import { may, maySetRole, ROLES } from "../state/roles";
import { Avatar } from "./Avatar";
import { Failure, Field, Said, Section, useLoaded, useTask, when } from "./forms";
import { useStore } from "./hooks";

/** Who is in the project and as what, and who is asked to come. */
export function MembersPart({ client, project }: { client: ChatClient; project: Project }) {
  const { text } = useSpeech();
  const { members } = useStore(client.chat);
  const [failed, setFailed] = useState<{ id: string; code: string } | null>(null);
  const task = useTask();
  const may_ = may(project.role, "manage_members");
  const change = (member: Member, role: Role | null) => {
    setFailed(null);
    void task
      .run(
        async () => {
          await client.rest<unknown>((token) =>
            role === null
              ? projects.removeMember(token, project.id, member.user_id)
              : projects.changeRole(token, project.id, member.user_id, role),
          );
          await client.lists.loadMembers();
        },
        { 409: "last_owner" },
      )
      .then((fine) => !fine && setFailed({ id: member.user_id, code: "" }));
  };
  return (
    <>
      {may_ && <Invite client={client} project={project} />}
      <Section title={text.project.members}>
        <ul className="divide-y divide-line">
          {Object.values(members).map((member) => {
            const self = member.user_id === client.user.id;
            const present = member.role as Role;
            const offered = ROLES.filter(
              (role) => role === present || maySetRole(project.role, present, role),
            ).toReversed();
            return (
              <li key={member.user_id} className="py-2.5" data-testid="member" data-role={member.role}>
                <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
                  <Avatar id={member.user_id} name={member.display_name} className="h-9 w-9 text-xs" />
                  <span className="min-w-0 flex-1">
                    <span className="block truncate font-medium">
                      {member.display_name}
                      {self && <span className="font-normal text-ink-faint"> ({text.project.you})</span>}
                    </span>
                    <span className="block truncate text-sm text-ink-soft">{member.email}</span>
                  </span>
                  {offered.length > 1 && !self ? (
                    <select
                      className="field w-auto py-1.5 text-sm"
                      aria-label={text.project.role(member.display_name)}
                      data-testid="member-role"
                      value={present}
                      disabled={task.busy}
                      onChange={(event) => change(member, event.target.value as Role)}
                    >
                      {offered.map((role) => (
                        <option key={role} value={role}>
                          {text.project.roles[role]}
                        </option>
                      ))}
                    </select>
                  ) : (
                    <span className="text-sm text-ink-soft">{text.project.roles[present] ?? present}</span>
                  )}
                  {!self && maySetRole(project.role, present, null) && (
                    <button
                      type="button"
                      className="quiet-button text-danger hover:text-danger"
                      data-testid="member-remove"
                      disabled={task.busy}
                      onClick={() => change(member, null)}
                    >
                      {text.project.remove}
                    </button>
                  )}
                </div>
                {failed?.id === member.user_id && task.failure && (
                  <div className="mt-2">
                    <Failure code={task.failure} />
                  </div>
                )}
              </li>
            );
          })}
        </ul>
      </Section>
    </>
  );
}

function Invite({ client, project }: { client: ChatClient; project: Project }) {
  const { text, language } = useSpeech();
  const task = useTask();
  const [said, setSaid] = useState("");
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role>("member");
  const open = useLoaded(() =>
    client.rest((token) => all((cursor) => projects.invitations(token, project.id, cursor))),
  );
  const invite = () =>
    task.run(
      async () => {
        setSaid("");
        const to = email.trim();
        const added = await client.rest((token) => projects.addMember(token, project.id, to, role));
        setSaid("invitation_id" in added ? text.project.invited(to) : text.project.joined(to));
        setEmail("");
        open.again();
        await client.lists.loadMembers();
      },
      { 409: "already_member", email: "bad_email" },
    );
  return (
    <Section title={text.project.invite}>
      <form
        className="flex flex-col gap-2.5 sm:flex-row sm:items-end"
        onSubmit={(event) => {
          event.preventDefault();
          void invite();
        }}
      >
        <div className="flex-1">
          <Field label={text.project.inviteEmail}>
            <input
              className="field"
              type="email"
              inputMode="email"
              autoCapitalize="none"
              autoComplete="off"
              spellCheck={false}
              required
              value={email}
              data-testid="invite-email"
              onChange={(event) => setEmail(event.target.value)}
            />
          </Field>
        </div>
        <select
          className="field h-[2.875rem] sm:w-44"
          value={role}
          aria-label={text.project.role(email || "…")}
          data-testid="invite-role"
          onChange={(event) => setRole(event.target.value as Role)}
        >
          {ROLES.filter((one) => maySetRole(project.role, null, one)).map((one) => (
            <option key={one} value={one} title={text.project.roleNotes[one]}>
              {text.project.roles[one]}
            </option>
          ))}
        </select>
        <button
          type="submit"
          className="solid-button h-[2.875rem]"
          disabled={task.busy}
          data-testid="invite-send"
        >
          {text.project.invite}
        </button>
      </form>
      <p className="text-xs text-ink-faint">{text.project.roleNotes[role]}</p>
      <Failure code={task.failure} />
      <Said>{task.done && said}</Said>
      {(open.value?.length ?? 0) > 0 && (
        <ul className="divide-y divide-line">
          {open.value?.map((one) => (
            <li
              key={one.invitation_id}
              className="flex items-center gap-3 py-2 text-sm"
              data-testid="invitation"
            >
              <span className="min-w-0 flex-1">
                <span className="block truncate">{one.email}</span>
                <span className="block text-xs text-ink-faint">
                  {text.project.pending} · {text.project.roles[one.role as Role] ?? one.role} ·{" "}
                  {when(one.created_at, language, false)}
                </span>
              </span>
              <button
                type="button"
                className="quiet-button text-danger hover:text-danger"
                disabled={task.busy}
                onClick={() =>
                  void task.run(async () => {
                    setSaid("");
                    await client.rest((token) => projects.withdraw(token, project.id, one.invitation_id));
                    open.again();
                  })
                }
              >
                {text.project.withdraw}
              </button>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

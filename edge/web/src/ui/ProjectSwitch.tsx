import { useState } from "react";
import { useText } from "../i18n/context";
import type { ChatClient } from "../net/client";
import type { Role } from "../net/words";
import type { Chat } from "../state/chat";
import { Dialog } from "./Dialog";
import { Failure, Field, useTask } from "./forms";
import { Check, Chevron, People, Plus } from "./icons";
import { MenuItem, PopoverMenu } from "./Popover";

/** Which project is on the screen, and the way to the others. */
export function ProjectSwitch({ client, chat }: { client: ChatClient; chat: Chat }) {
  const text = useText();
  const [creating, setCreating] = useState(false);
  const present = chat.projects.find((one) => one.id === chat.projectId);
  return (
    <div className="flex items-center gap-1">
      <PopoverMenu
        label={`${text.menu.project}: ${present?.name ?? ""}`}
        testId="project-switch"
        className="quiet-button min-w-0 flex-1 justify-between px-2.5 text-ink"
        icon={
          <>
            <span className="truncate">{present?.name ?? "…"}</span>
            <Chevron className="h-4 w-4 shrink-0 text-ink-faint" />
          </>
        }
      >
        {chat.projects.map((one) => (
          <MenuItem
            key={one.id}
            testId="project-item"
            icon={<Check className={`h-4 w-4 text-accent ${one.id === chat.projectId ? "" : "invisible"}`} />}
            onSelect={() => {
              location.hash = "#/";
              void client.lists.choose(one.id);
            }}
          >
            <span className="min-w-0 max-w-[13rem]">
              <span className="block truncate">{one.name}</span>
              {one.role !== "owner" && (
                <span className="block text-xs text-ink-faint">
                  {text.project.roles[one.role as Role] ?? one.role}
                </span>
              )}
            </span>
          </MenuItem>
        ))}
        <MenuItem testId="project-new" icon={<Plus className="h-4 w-4" />} onSelect={() => setCreating(true)}>
          {text.menu.newProject}
        </MenuItem>
      </PopoverMenu>
      <a
        href="#/project"
        className="icon-button"
        data-testid="project-manage"
        aria-label={text.menu.manageProject}
        title={text.menu.manageProject}
      >
        <People />
      </a>
      {creating && <NewProject client={client} onClose={() => setCreating(false)} />}
    </div>
  );
}

function NewProject({ client, onClose }: { client: ChatClient; onClose(): void }) {
  const text = useText();
  const task = useTask();
  return (
    <Dialog title={text.menu.newProject} testId="project-dialog" onClose={onClose}>
      <form
        className="space-y-4"
        onSubmit={async (event) => {
          event.preventDefault();
          const name = String(new FormData(event.currentTarget).get("name") ?? "").trim();
          if (await task.run(() => client.lists.createProject(name), { name: "bad_name" })) {
            location.hash = "#/";
            onClose();
          }
        }}
      >
        <p className="text-sm text-ink-soft">{text.project.createLead}</p>
        <Field label={text.project.name}>
          <input className="field" name="name" maxLength={80} required data-testid="project-name" />
        </Field>
        <Failure code={task.failure} />
        <button
          type="submit"
          className="solid-button w-full"
          disabled={task.busy}
          data-testid="project-create"
        >
          {text.project.create}
        </button>
      </form>
    </Dialog>
  );
}

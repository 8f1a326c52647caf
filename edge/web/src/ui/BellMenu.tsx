import { useEffect, useId, useRef, useState } from "react";
import { useSpeech } from "../i18n/context";
import type { Dictionary } from "../i18n/en";
import type { ChatClient } from "../net/client";
import type { Notification } from "../net/described";
import type { Chat } from "../state/chat";
import { titleOf } from "../state/chat";
import { Failure, useTask, when } from "./forms";
import { useStore } from "./hooks";
import { Bell, Check, Gear } from "./icons";

/** A count is read at a glance, and nobody counts so far. */
const MOST_SHOWN = 99;
const PREFERENCES = "#/settings/notifications";

/** What happened while somebody was not looking: how much of it is new, and where it was. */
export function BellMenu({ client }: { client: ChatClient }) {
  const { text } = useSpeech();
  const { unread } = useStore(client.notified.inbox);
  const id = useId();
  const panel = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const label = text.bell.label(unread);
  return (
    <>
      <button
        type="button"
        className="icon-button relative"
        data-testid="bell"
        aria-label={label}
        title={label}
        popoverTarget={id}
      >
        <Bell />
        {unread > 0 && (
          <span
            className="absolute -right-0.5 -top-0.5 min-w-[1.125rem] rounded-full bg-accent px-1 text-center text-[0.6875rem] font-semibold leading-[1.125rem] text-accent-ink"
            data-testid="bell-count"
            aria-hidden="true"
          >
            {unread > MOST_SHOWN ? `${MOST_SHOWN}+` : unread}
          </span>
        )}
      </button>
      <span className="sr-only" aria-live="polite">
        {unread > 0 ? label : ""}
      </span>
      <div
        ref={panel}
        id={id}
        popover="auto"
        role="dialog"
        aria-label={text.bell.title}
        data-testid="notifications"
        className="thin-scroll fixed inset-auto right-2 top-14 m-0 max-h-[min(36rem,calc(100dvh-5rem))] w-[min(24rem,calc(100vw-1rem))] overflow-y-auto rounded-2xl border border-line bg-raised p-0 text-ink shadow-float md:right-6"
        onBeforeToggle={(event) => setOpen(event.newState === "open")}
      >
        {open && <Panel client={client} onClose={() => panel.current?.hidePopover()} />}
      </div>
    </>
  );
}

function Panel({ client, onClose }: { client: ChatClient; onClose(): void }) {
  const { text } = useSpeech();
  const inbox = useStore(client.notified.inbox);
  const task = useTask();
  const newest = inbox.list[0];
  const read = (id: string) => task.run(() => client.notified.read(id));
  const firstUnread = inbox.list.find((one) => !one.read);
  const chat = useStore(client.chat);
  const strange = inbox.list.filter((one) => !((said(one, "by") ?? "") in chat.members));
  const elsewhere = strange.flatMap((one) => (said(one, "by") ? [one.project_id] : [])).join(" ");
  useEffect(() => {
    void client.notified.meet(elsewhere.split(" ").filter(Boolean));
  }, [client, elsewhere]);
  return (
    <>
      <header className="sticky top-0 flex items-center gap-1 border-b border-line bg-raised py-2 pl-4 pr-2">
        <h2 className="flex-1 font-semibold tracking-tight">{text.bell.title}</h2>
        {inbox.unread > 0 && newest && (
          <button
            type="button"
            className="quiet-button"
            data-testid="notifications-read"
            disabled={task.busy}
            // What is unread further down is below the newest unread one here, or below what is listed.
            onClick={() => void read(firstUnread?.id ?? newest.id)}
          >
            <Check className="h-4 w-4" />
            {text.bell.readAll}
          </button>
        )}
        <a
          href={PREFERENCES}
          className="icon-button"
          aria-label={text.bell.preferences}
          title={text.bell.preferences}
          onClick={onClose}
        >
          <Gear />
        </a>
      </header>
      <div className="px-3 [&:not(:empty)]:pt-2">{task.failure && <Failure code={task.failure} />}</div>
      {!inbox.loaded ? (
        <p className="px-4 py-8 text-center text-sm text-ink-faint" role="status">
          {text.loading}
        </p>
      ) : inbox.list.length === 0 ? (
        <div className="px-6 py-10 text-center text-sm" data-testid="notifications-empty">
          <Bell className="mx-auto mb-3 h-7 w-7 text-ink-faint" />
          <p className="font-medium">{text.bell.empty}</p>
          <p className="mt-1 text-ink-soft">{text.bell.emptyNote}</p>
        </div>
      ) : (
        <ul className="p-1.5">
          {inbox.list.map((one) => (
            <li key={one.id}>
              <Item client={client} one={one} onClose={onClose} />
            </li>
          ))}
        </ul>
      )}
      {inbox.nextCursor !== null && (
        <button
          type="button"
          className="quiet-button mx-3 mb-3 w-[calc(100%-1.5rem)] justify-center"
          data-testid="notifications-older"
          disabled={task.busy}
          onClick={() => void task.run(() => client.notified.more())}
        >
          {text.bell.older}
        </button>
      )}
    </>
  );
}

function Item({ client, one, onClose }: { client: ChatClient; one: Notification; onClose(): void }) {
  const { text, language } = useSpeech();
  const chat = useStore(client.chat);
  const names = useStore(client.notified.names);
  const project = chat.projects.find((other) => other.id === one.project_id)?.name;
  return (
    <a
      href={placeOf(one)}
      data-testid="notification"
      data-kind={one.kind}
      data-read={one.read}
      className="flex gap-2.5 rounded-xl px-2.5 py-2 text-sm transition-colors hover:bg-ink/[0.06]"
      onClick={() => {
        onClose();
        void client.notified.read(one.id).catch((error) => client.notices.complain(error));
        if (one.project_id !== client.chat.get().projectId && project !== undefined)
          void client.lists.choose(one.project_id);
      }}
    >
      <span
        className={`mt-2 h-2 w-2 shrink-0 rounded-full ${one.read ? "" : "bg-accent"}`}
        aria-hidden="true"
      />
      <span className="min-w-0 flex-1">
        {!one.read && <span className="sr-only">{text.bell.unread} </span>}
        <span className={`block break-words ${one.read ? "text-ink-soft" : "font-medium"}`}>
          {sentence(one, chat, names, text)}
        </span>
        <span className="block truncate text-xs text-ink-faint">
          {[project, when(one.occurred_at, language)].filter(Boolean).join(" · ")}
        </span>
      </span>
    </a>
  );
}

const said = (one: Notification, name: string): string | null => {
  const value = one.data[name];
  return typeof value === "string" ? value : null;
};

/** Pure: the address of where it happened. */
export function placeOf(one: Notification): string {
  const conversation = said(one, "conversation_id");
  const message = said(one, "message_id");
  if (conversation !== null) return `#/c/${conversation}${message === null ? "" : `/${message}`}`;
  if (one.kind === "budget") return "#/project/money";
  return one.kind === "invitation" ? "#/project/members" : "#/project/agents";
}

/** What happened, with the names that this screen knows: notifications hold ids only. */
export function sentence(
  one: Notification,
  chat: Chat,
  names: Readonly<Record<string, string>>,
  text: Dictionary,
): string {
  const who = said(one, "by") ?? "";
  const by = chat.members[who]?.display_name ?? names[who] ?? null;
  const conversation = chat.conversations[said(one, "conversation_id") ?? ""];
  const title = conversation === undefined ? null : titleOf(chat, conversation) || null;
  const project = chat.projects.find((other) => other.id === one.project_id)?.name ?? null;
  switch (one.kind) {
    case "mention":
      return text.bell.mention(by, title);
    case "answer":
      return said(one, "status") === "failed" ? text.bell.answerFailed(title) : text.bell.answer(title);
    case "invitation":
      return text.bell.invitation(by, project);
    case "budget": {
      const percent = one.data.percent ?? one.data.threshold;
      return text.bell.budget(typeof percent === "number" ? percent : null);
    }
    case "deployment":
      return text.bell.deployment;
    case "training":
      return text.bell.training;
    default:
      return text.bell.other;
  }
}

import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { Conversation, User } from "../net/protocol";
import { type Chat, shelf } from "../state/chat";
import { stoppable } from "../state/thread";
import { type Age, byAge } from "./ages";
import { ConversationItem } from "./ConversationItem";
import { Archive, Back, Compose, Mark, SignOut } from "./icons";
import { LanguageSwitch, ThemeSwitch } from "./switches";

export interface SidebarActions {
  onNew(): void;
  onOpen(id: string): void;
  onRename(id: string, title: string): void;
  onArchive(id: string, archived: boolean): void;
  onDelete(id: string): void;
  onMore(archived: boolean): void;
  onSignOut(): void;
}

interface Props extends SidebarActions {
  chat: Chat;
  user: User;
  open: string | null;
}

export function Sidebar({ chat, user, open, onNew, onMore, onSignOut, ...item }: Props) {
  const { text } = useSpeech();
  const [archived, setArchived] = useState(false);
  const conversations = shelf(chat, archived);
  const { loaded, nextCursor } = archived ? chat.shelves.archived : chat.shelves.active;

  const items = (list: readonly Conversation[]) => (
    <ul className="space-y-0.5">
      {list.map((one) => {
        const thread = chat.threads[one.id];
        return (
          <ConversationItem
            key={one.id}
            conversation={one}
            current={one.id === open}
            live={thread !== undefined && stoppable(thread) !== null}
            {...item}
          />
        );
      })}
    </ul>
  );

  return (
    <nav className="flex h-full flex-col bg-sunken" aria-label={text.list.title}>
      <div className="flex items-center gap-2.5 px-4 pb-2 pt-4">
        <Mark className="h-7 w-7" />
        <span className="flex-1 text-[1.0625rem] font-semibold tracking-tight">Chorus</span>
      </div>
      <div className="px-3 pb-2 pt-1">
        <button
          type="button"
          data-testid="new-conversation"
          onClick={onNew}
          className="flex w-full items-center gap-2.5 rounded-xl border border-line bg-surface px-3 py-2.5 font-medium shadow-card transition-colors hover:border-accent/50"
        >
          <Compose className="h-[1.125rem] w-[1.125rem] text-accent" />
          {text.list.create}
        </button>
      </div>

      <div className="thin-scroll min-h-0 flex-1 overflow-y-auto px-3 pb-4">
        {archived && (
          <button
            type="button"
            className="quiet-button -ml-1 my-1 px-2"
            data-testid="archived-back"
            onClick={() => setArchived(false)}
          >
            <Back className="h-4 w-4" />
            {text.list.back}
          </button>
        )}
        {!loaded && conversations.length === 0 ? (
          <Skeleton label={text.loading} />
        ) : conversations.length === 0 ? (
          <p className="px-3 pt-6 text-center text-sm text-ink-faint">
            {archived ? text.list.emptyArchived : text.list.empty}
          </p>
        ) : archived ? (
          items(conversations)
        ) : (
          byAge(conversations, new Date()).map(([age, list]) => (
            <section key={age} aria-label={heading(age, text.list)}>
              <h2 className="px-3 pb-1 pt-4 text-xs font-medium text-ink-faint">{heading(age, text.list)}</h2>
              {items(list)}
            </section>
          ))
        )}
        {nextCursor !== null && (
          <button
            type="button"
            className="quiet-button mt-2 w-full justify-center"
            onClick={() => onMore(archived)}
          >
            {text.list.more}
          </button>
        )}
      </div>

      {!archived && (
        <div className="px-3 pb-1">
          <button
            type="button"
            className="quiet-button w-full gap-2.5 px-3"
            data-testid="archived-list"
            onClick={() => setArchived(true)}
          >
            <Archive className="h-4 w-4" />
            {text.list.archived}
          </button>
        </div>
      )}
      <div className="border-t border-line px-3 pt-2.5 safe-bottom">
        <div className="flex items-center gap-2.5 pl-1">
          <span
            aria-hidden="true"
            className="flex h-8 w-8 shrink-0 items-center justify-center rounded-full bg-accent-soft text-sm font-semibold text-accent"
          >
            {[...(user.display_name || user.email)][0]?.toUpperCase()}
          </span>
          <span
            className="min-w-0 flex-1 truncate text-sm font-medium"
            data-testid="account-name"
            title={user.email}
          >
            {user.display_name || user.email}
          </span>
          <button
            type="button"
            className="icon-button"
            data-testid="sign-out"
            aria-label={text.account.signOut}
            title={text.account.signOut}
            onClick={onSignOut}
          >
            <SignOut />
          </button>
        </div>
        <div className="mt-1 flex items-center justify-between">
          <LanguageSwitch />
          <ThemeSwitch />
        </div>
      </div>
    </nav>
  );
}

function heading(age: Age, list: Record<Age, string>): string {
  return list[age];
}

const WIDTHS = ["w-4/5", "w-3/5", "w-2/3", "w-1/2", "w-3/4"];

function Skeleton({ label }: { label: string }) {
  return (
    <div className="space-y-4 px-3 pt-6" role="status" aria-label={label}>
      {WIDTHS.map((width) => (
        <div key={width} className={`skeleton h-3.5 ${width}`} />
      ))}
    </div>
  );
}

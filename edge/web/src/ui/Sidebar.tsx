import { useState } from "react";
import { useSpeech } from "../i18n/context";
import type { ChatClient } from "../net/client";
import type { Conversation, User } from "../net/protocol";
import { type Chat, roleIn, shelf, titleOf } from "../state/chat";
import { may, mayEnd } from "../state/roles";
import { stoppable } from "../state/thread";
import { Avatar } from "./Avatar";
import { type Age, byAge } from "./ages";
import { Bin } from "./Bin";
import { ConversationItem } from "./ConversationItem";
import { Archive, Back, Compose, Gear, Mark, Search, SignOut, Trash } from "./icons";
import { ProjectSwitch } from "./ProjectSwitch";
import { LanguageSwitch, ThemeSwitch } from "./switches";
import type { ThreadActions } from "./ThreadMenu";

export interface SidebarActions extends Omit<ThreadActions, "onRename"> {
  onNew(): void;
  onOpen(id: string): void;
  onRename(id: string, title: string): void;
  onMore(archived: boolean): void;
  onSearch(): void;
  onSignOut(): void;
}

interface Props extends SidebarActions {
  client: ChatClient;
  chat: Chat;
  user: User;
  open: string | null;
}

export function Sidebar({ client, chat, user, open, onNew, onMore, onSearch, onSignOut, ...item }: Props) {
  const { text } = useSpeech();
  const [view, setView] = useState<"active" | "archived" | "bin">("active");
  const archived = view === "archived";
  const conversations = shelf(chat, archived);
  const pinned = conversations.filter((one) => one.pinned);
  const role = roleIn(chat);
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
            title={titleOf(chat, one)}
            mayWrite={may(role, "write")}
            mayEnd={mayEnd(role, one.created_by === user.id)}
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
        <button
          type="button"
          className="icon-button"
          data-testid="search-open"
          aria-label={text.menu.search}
          title={`${text.menu.search} (Ctrl K)`}
          onClick={onSearch}
        >
          <Search />
        </button>
      </div>
      <div className="px-3 pb-1">
        <ProjectSwitch client={client} chat={chat} />
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
        {view !== "active" && (
          <button
            type="button"
            className="quiet-button -ml-1 my-1 px-2"
            data-testid="archived-back"
            onClick={() => setView("active")}
          >
            <Back className="h-4 w-4" />
            {text.list.back}
          </button>
        )}
        {view === "bin" ? (
          <Bin client={client} role={role} userId={user.id} key={chat.projectId} />
        ) : !loaded && conversations.length === 0 ? (
          <Skeleton label={text.loading} />
        ) : conversations.length === 0 ? (
          <p className="px-3 pt-6 text-center text-sm text-ink-faint">
            {archived ? text.list.emptyArchived : text.list.empty}
          </p>
        ) : archived ? (
          items(conversations)
        ) : (
          [
            ...(pinned.length === 0 ? [] : [[text.menu.pinned, pinned] as const]),
            ...byAge(
              conversations.filter((one) => !one.pinned),
              new Date(),
            ).map(([age, list]) => [heading(age, text.list), list] as const),
          ].map(([name, list]) => (
            <section key={name} aria-label={name}>
              <h2 className="px-3 pb-1 pt-4 text-xs font-medium text-ink-faint">{name}</h2>
              {items(list)}
            </section>
          ))
        )}
        {view !== "bin" && nextCursor !== null && (
          <button
            type="button"
            className="quiet-button mt-2 w-full justify-center"
            onClick={() => onMore(archived)}
          >
            {text.list.more}
          </button>
        )}
      </div>

      {view === "active" && (
        <div className="flex gap-1 px-3 pb-1">
          <button
            type="button"
            className="quiet-button gap-2.5 px-3"
            data-testid="archived-list"
            onClick={() => setView("archived")}
          >
            <Archive className="h-4 w-4" />
            {text.list.archived}
          </button>
          <button
            type="button"
            className="quiet-button gap-2.5 px-3"
            data-testid="bin-list"
            onClick={() => setView("bin")}
          >
            <Trash className="h-4 w-4" />
            {text.menu.bin}
          </button>
        </div>
      )}
      <div className="border-t border-line px-3 pt-2.5 safe-bottom">
        <div className="flex items-center gap-2.5 pl-1">
          <Avatar id={user.id} name={user.display_name} className="h-8 w-8 text-xs" />
          <span
            className="min-w-0 flex-1 truncate text-sm font-medium"
            data-testid="account-name"
            title={user.email ?? user.display_name}
          >
            {user.display_name}
          </span>
          <a
            href="#/settings"
            className="icon-button"
            data-testid="settings-open"
            aria-label={text.menu.settings}
            title={text.menu.settings}
          >
            <Gear />
          </a>
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

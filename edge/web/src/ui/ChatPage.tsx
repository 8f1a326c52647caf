import { lazy, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useText } from "../i18n/context";
import type { ChatClient } from "../net/client";
import type { WhenBusy } from "../net/protocol";
import type { Session } from "../net/session";
import type { ExportFormat } from "../net/threads";
import { roleIn, titleOf } from "../state/chat";
import { may, mayEnd } from "../state/roles";
import { stoppable } from "../state/thread";
import { AgentMenu } from "./AgentMenu";
import { BellMenu } from "./BellMenu";
import { Composer, type ComposerHandle } from "./Composer";
import { ConnectionBanner } from "./ConnectionBanner";
import { RenameField } from "./ConversationItem";
import { useMedia, useRoute, useStore } from "./hooks";
import { Compose, Mark, Menu, Restore } from "./icons";
import { Notices } from "./Notices";
import { Part } from "./Part";
import { PresentPeople, TypingLine } from "./Presence";
import { Sidebar } from "./Sidebar";
import { ThreadMenu } from "./ThreadMenu";
import { ThreadView } from "./ThreadView";

const ProjectPage = lazy(async () => ({ default: (await import("./ProjectPage")).ProjectPage }));
const SearchPalette = lazy(async () => ({ default: (await import("./SearchPalette")).SearchPalette }));
const SettingsPage = lazy(async () => ({ default: (await import("./SettingsPage")).SettingsPage }));
const ShareDialog = lazy(async () => ({ default: (await import("./ShareDialog")).ShareDialog }));

export function ChatPage({
  client,
  session,
  onSignOut,
  onGone,
}: {
  client: ChatClient;
  session: Session;
  onSignOut(): void;
  /** The account is deleted. */
  onGone(): void;
}) {
  const text = useText();
  const chat = useStore(client.chat);
  const link = useStore(client.link);
  const notices = useStore(client.notices.shown);
  const [route, go] = useRoute();
  const open = route.at === "thread" ? route.id : null;
  const wanted = route.at === "thread" ? route.message : null;
  const [searching, setSearching] = useState(false);
  const [sharing, setSharing] = useState<string | null>(null);
  const [renaming, setRenaming] = useState(false);
  const wide = useMedia("(min-width: 768px)");
  const [drawer, setDrawer] = useState(false);
  const composer = useRef<ComposerHandle>(null);

  const thread = open === null ? undefined : chat.threads[open];
  const conversation = open === null ? undefined : chat.conversations[open];
  const outbox = chat.outbox.filter((entry) => entry.conversationId === open);
  const run = thread ? stoppable(thread) : null;
  const answering = run !== null || outbox.some((entry) => entry.status === "sent");
  const stopping = run !== null && run.id in chat.stopping;
  const title = conversation ? titleOf(chat, conversation) || text.list.untitled : "";
  const role = roleIn(chat);
  const mayWrite = may(role, "write");
  const project = chat.projects.find((one) => one.id === chat.projectId);
  const others = useMemo(
    () => Object.values(chat.members).filter((one) => one.user_id !== client.user.id),
    [chat.members, client.user.id],
  );

  const shown = useRef<string | null>(null);
  useEffect(() => {
    if (open === null) return;
    // It was on the screen and is gone: somebody deleted it.
    if (shown.current === open && thread === undefined) go(null);
    else if (thread === undefined || shown.current !== open) client.look(open);
    shown.current = open;
  }, [client, open, thread, go]);

  useEffect(() => {
    document.title = title ? `${title} · Chorus` : "Chorus";
  }, [title]);

  // An address may lead into another project.
  const elsewhere = conversation?.project_id;
  useEffect(() => {
    if (elsewhere === undefined || elsewhere === client.chat.get().projectId) return;
    if (client.chat.get().projects.some((one) => one.id === elsewhere)) void client.lists.choose(elsewhere);
  }, [client, elsewhere]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another conversation is not being renamed.
  useEffect(() => setRenaming(false), [open]);
  useEffect(() => {
    if (route.at !== "thread") setDrawer(false);
  }, [route]);

  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (
        event.key.toLowerCase() !== "k" ||
        !(event.ctrlKey || event.metaKey) ||
        event.shiftKey ||
        event.altKey
      )
        return;
      event.preventDefault();
      setSearching(true);
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, []);

  const stop = useCallback(() => {
    if (open !== null) void client.cancel(open);
  }, [client, open]);

  useEffect(() => {
    if (!answering) return;
    const onKeyDown = (event: KeyboardEvent) => {
      const taken =
        event.defaultPrevented ||
        event.isComposing ||
        document.querySelector(":popover-open, dialog[open]") !== null;
      if (event.key === "Escape" && !taken) stop();
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [answering, stop]);

  useEffect(() => {
    if (!drawer || wide) return;
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.key === "Escape") setDrawer(false);
    };
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [drawer, wide]);

  const onOpen = useCallback(() => setDrawer(false), []);
  const onRename = useCallback((id: string, next: string) => client.conversations.rename(id, next), [client]);
  const onArchive = useCallback(
    (id: string, archived: boolean) => client.conversations.archive(id, archived),
    [client],
  );
  const onDelete = useCallback(
    (id: string) => {
      client.conversations.remove(id);
      if (id === open) go(null);
    },
    [client, open, go],
  );
  const onPin = useCallback(
    (id: string, pinned: boolean) => void client.conversations.pin(id, pinned),
    [client],
  );
  const onShare = useCallback((id: string) => setSharing(id), []);
  const onExport = useCallback(
    (id: string, format: ExportFormat) => void client.conversations.takeHome(id, format),
    [client],
  );
  const onEdit = useCallback(
    (messageId: string, content: string) => {
      if (open !== null) client.deliveries.write(open, content, "interrupt", { edits: messageId });
    },
    [client, open],
  );
  const onRegenerate = useCallback(
    (messageId: string) => {
      if (open !== null) void client.regenerate(open, messageId);
    },
    [client, open],
  );

  function startNew() {
    go(null);
    setDrawer(false);
    composer.current?.focus();
  }

  function send(content: string, whenBusy: WhenBusy, agentId: string | null | undefined) {
    const id = client.deliveries.write(open, content, whenBusy, { agentId });
    if (id !== null && (id !== open || wanted !== null)) go(id);
  }

  return (
    <div className="flex h-dvh overflow-hidden">
      <button
        type="button"
        className="sr-only z-50 rounded-lg bg-raised px-4 py-2 shadow-float focus:not-sr-only focus:fixed focus:left-3 focus:top-3"
        onClick={() => composer.current?.focus()}
      >
        {text.skip}
      </button>
      <div
        className={`fixed inset-0 z-30 bg-black/40 transition-opacity md:hidden ${drawer ? "" : "pointer-events-none opacity-0"}`}
        aria-hidden="true"
        onClick={() => setDrawer(false)}
      />
      <div
        data-testid="sidebar"
        inert={!wide && !drawer}
        className={`fixed inset-y-0 left-0 z-30 w-[min(18rem,84vw)] border-r border-line transition-transform md:static md:w-72 md:translate-x-0 ${
          drawer ? "translate-x-0 shadow-float" : "-translate-x-full"
        }`}
      >
        <Sidebar
          client={client}
          chat={chat}
          user={client.user}
          open={open}
          onNew={startNew}
          onOpen={onOpen}
          onRename={onRename}
          onArchive={onArchive}
          onDelete={onDelete}
          onPin={onPin}
          onShare={onShare}
          onExport={onExport}
          onSearch={() => setSearching(true)}
          onMore={(archived) => void client.lists.loadMore(archived)}
          onSignOut={onSignOut}
        />
      </div>

      <main className="relative flex min-w-0 flex-1 flex-col" inert={!wide && drawer}>
        <header className="flex h-14 shrink-0 items-center gap-1 px-2 md:px-6">
          <button
            type="button"
            className="icon-button md:hidden"
            data-testid="open-sidebar"
            aria-label={text.list.open}
            aria-expanded={drawer}
            onClick={() => setDrawer(true)}
          >
            <Menu />
          </button>
          {renaming && conversation ? (
            <div className="min-w-0 flex-1 md:max-w-md">
              <RenameField
                title={title}
                onDone={(next) => {
                  setRenaming(false);
                  if (next !== null && next !== conversation.title) onRename(conversation.id, next);
                }}
              />
            </div>
          ) : (
            <h1
              className="min-w-0 flex-1 truncate text-center font-medium md:text-left"
              data-testid="thread-title"
              title={title}
            >
              {route.at === "settings" ? text.settings.title : route.at === "project" ? project?.name : title}
            </h1>
          )}
          {open !== null && conversation && !thread?.missing && (
            <>
              <PresentPeople present={chat.present[open] ?? {}} members={chat.members} />
              {mayWrite && chat.agents.length > 0 && !conversation.archived && (
                <span className="hidden sm:block">
                  <AgentMenu
                    agents={chat.agents}
                    chosen={conversation.agent_id}
                    label={text.people.answeredBy}
                    testId="agent-menu"
                    onChoose={(agentId) => client.conversations.letAnswer(conversation.id, agentId)}
                  />
                </span>
              )}
              <ThreadMenu
                conversation={conversation}
                label={text.menu.thread}
                testId="thread-menu"
                mayWrite={mayWrite}
                mayEnd={mayEnd(role, conversation.created_by === client.user.id)}
                onRename={() => setRenaming(true)}
                onPin={onPin}
                onArchive={onArchive}
                onDelete={onDelete}
                onShare={onShare}
                onExport={onExport}
              />
            </>
          )}
          <BellMenu client={client} />
          <button
            type="button"
            className="icon-button md:hidden"
            data-testid="new-conversation-small"
            aria-label={text.list.create}
            onClick={startNew}
          >
            <Compose />
          </button>
        </header>
        <ConnectionBanner link={link} onAgain={() => client.reconnect()} />

        {route.at === "settings" ? (
          <Part key="settings">
            <SettingsPage
              client={client}
              session={session}
              section={route.section}
              onSignOut={onSignOut}
              onGone={onGone}
            />
          </Part>
        ) : route.at === "project" ? (
          <Part key={chat.projectId}>
            <ProjectPage client={client} section={route.section} />
          </Part>
        ) : open === null ? (
          <Greeting name={client.user.display_name} onPick={(idea) => composer.current?.fill(idea)} />
        ) : thread?.missing ? (
          <Missing onNew={startNew} />
        ) : (
          <ThreadView
            key={open}
            conversationId={open}
            thread={thread}
            outbox={outbox}
            stopping={chat.stopping}
            userId={client.user.id}
            online={link.phase === "online"}
            members={chat.members}
            mayWrite={mayWrite && !conversation?.archived}
            wanted={wanted}
            onEdit={onEdit}
            hasAgent={conversation !== undefined && conversation.agent_id !== null}
            onRegenerate={onRegenerate}
            onOlder={() => client.loadOlder(open)}
            onResend={(entry) => client.deliveries.resend(entry)}
            onDiscard={(entry) => client.deliveries.discard(entry)}
          />
        )}

        <div className={`shrink-0 px-3 sm:px-6 safe-bottom ${route.at === "thread" ? "" : "hidden"}`}>
          {open !== null && <TypingLine typing={chat.typing[open] ?? {}} members={chat.members} />}
          {role !== undefined && !mayWrite ? (
            <p
              className="mx-auto max-w-column rounded-2xl bg-sunken px-4 py-3 text-center text-sm text-ink-soft"
              data-testid="reads-only"
            >
              {text.people.reads}
            </p>
          ) : conversation?.archived ? (
            <p className="mx-auto flex max-w-column flex-wrap items-center justify-center gap-2 rounded-2xl bg-sunken px-4 py-3 text-sm text-ink-soft">
              {text.thread.archivedNote}
              {mayEnd(role, conversation.created_by === client.user.id) && (
                <button
                  type="button"
                  className="quiet-button py-1 text-accent hover:text-accent"
                  data-testid="restore-here"
                  onClick={() => onArchive(conversation.id, false)}
                >
                  <Restore className="h-4 w-4" />
                  {text.list.restore}
                </button>
              )}
            </p>
          ) : (
            <Composer
              conversationId={open}
              answering={answering}
              stopping={stopping}
              disabled={thread?.missing === true || (open === null && chat.projectId === null)}
              handle={composer}
              agents={chat.agents}
              people={others}
              agentId={conversation ? conversation.agent_id : (project?.default_agent_id ?? null)}
              onTyping={() => open !== null && client.typing(open)}
              onSend={send}
              onStop={stop}
            />
          )}
        </div>
      </main>
      {searching && (
        <Part>
          <SearchPalette
            client={client}
            onClose={() => setSearching(false)}
            onPick={(hit) => {
              setSearching(false);
              setDrawer(false);
              go(hit.conversation_id, hit.message_id);
            }}
          />
        </Part>
      )}
      {sharing !== null && (
        <Part>
          <ShareDialog client={client} id={sharing} onClose={() => setSharing(null)} />
        </Part>
      )}
      <Notices notices={notices} onDismiss={client.notices.dismiss} />
    </div>
  );
}

function Greeting({ name, onPick }: { name: string; onPick(idea: string): void }) {
  const text = useText();
  return (
    <div className="flex min-h-0 flex-1 flex-col items-center justify-center overflow-y-auto px-5 pb-6">
      <div className="w-full max-w-xl animate-rise text-center" data-testid="empty-state">
        <Mark className="mx-auto mb-6 h-12 w-12" />
        <h2 className="text-balance text-2xl font-semibold tracking-tight sm:text-[1.75rem]">
          {text.thread.heading(name)}
        </h2>
        <p className="mt-2 text-ink-soft">{text.thread.lead}</p>
        <ul className="mt-8 grid gap-2.5 text-left sm:grid-cols-3">
          {text.thread.ideas.map((idea) => (
            <li key={idea}>
              <button
                type="button"
                className="h-full w-full rounded-xl border border-line bg-surface px-4 py-3 text-left text-sm leading-snug text-ink-soft transition-colors hover:border-accent/50 hover:text-ink"
                onClick={() => onPick(idea)}
              >
                {idea}
              </button>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}

function Missing({ onNew }: { onNew(): void }) {
  const text = useText();
  return (
    <div
      className="flex flex-1 flex-col items-center justify-center gap-4 px-6 text-center"
      data-testid="missing"
    >
      <p className="text-ink-soft">{text.thread.missing}</p>
      <button
        type="button"
        className="rounded-xl bg-accent px-4 py-2 font-medium text-accent-ink"
        onClick={onNew}
      >
        {text.thread.missingAction}
      </button>
    </div>
  );
}

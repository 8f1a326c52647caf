import { useCallback, useEffect, useRef, useState } from "react";
import { useText } from "../i18n/context";
import type { ChatClient } from "../net/client";
import type { WhenBusy } from "../net/protocol";
import { stoppable } from "../state/thread";
import { Composer, type ComposerHandle } from "./Composer";
import { ConnectionBanner } from "./ConnectionBanner";
import { useMedia, useRoute, useStore } from "./hooks";
import { Compose, Mark, Menu, Restore } from "./icons";
import { Notices } from "./Notices";
import { Sidebar } from "./Sidebar";
import { ThreadView } from "./ThreadView";

export function ChatPage({ client, onSignOut }: { client: ChatClient; onSignOut(): void }) {
  const text = useText();
  const chat = useStore(client.chat);
  const link = useStore(client.link);
  const notices = useStore(client.notices.shown);
  const [open, go] = useRoute();
  const wide = useMedia("(min-width: 768px)");
  const [drawer, setDrawer] = useState(false);
  const composer = useRef<ComposerHandle>(null);

  const thread = open === null ? undefined : chat.threads[open];
  const conversation = open === null ? undefined : chat.conversations[open];
  const outbox = chat.outbox.filter((entry) => entry.conversationId === open);
  const run = thread ? stoppable(thread) : null;
  const answering = run !== null || outbox.some((entry) => entry.status === "sent");
  const stopping = run !== null && run.id in chat.stopping;
  const title = conversation ? conversation.title || text.list.untitled : "";

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

  const stop = useCallback(() => {
    if (open !== null) void client.cancel(open);
  }, [client, open]);

  useEffect(() => {
    if (!answering) return;
    const onKeyDown = (event: KeyboardEvent) => {
      const taken =
        event.defaultPrevented || event.isComposing || document.querySelector(":popover-open") !== null;
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
  const onRename = useCallback((id: string, next: string) => client.rename(id, next), [client]);
  const onArchive = useCallback((id: string, archived: boolean) => client.archive(id, archived), [client]);
  const onDelete = useCallback(
    (id: string) => {
      client.remove(id);
      if (id === open) go(null);
    },
    [client, open, go],
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

  function send(content: string, whenBusy: WhenBusy) {
    const id = client.deliveries.write(open, content, whenBusy);
    if (id !== null && id !== open) go(id);
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
          chat={chat}
          user={client.user}
          open={open}
          onNew={startNew}
          onOpen={onOpen}
          onRename={onRename}
          onArchive={onArchive}
          onDelete={onDelete}
          onMore={(archived) => void client.loadMore(archived)}
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
          <h1
            className="min-w-0 flex-1 truncate text-center font-medium md:text-left"
            data-testid="thread-title"
          >
            {title}
          </h1>
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

        {open === null ? (
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
            hasAgent={conversation !== undefined && conversation.agent_id !== null}
            onRegenerate={onRegenerate}
            onOlder={() => client.loadOlder(open)}
            onResend={(entry) => client.deliveries.resend(entry)}
            onDiscard={(entry) => client.deliveries.discard(entry)}
          />
        )}

        <div className="shrink-0 px-3 pt-1 sm:px-6 safe-bottom">
          {conversation?.archived ? (
            <p className="mx-auto flex max-w-column flex-wrap items-center justify-center gap-2 rounded-2xl bg-sunken px-4 py-3 text-sm text-ink-soft">
              {text.thread.archivedNote}
              <button
                type="button"
                className="quiet-button py-1 text-accent hover:text-accent"
                data-testid="restore-here"
                onClick={() => onArchive(conversation.id, false)}
              >
                <Restore className="h-4 w-4" />
                {text.list.restore}
              </button>
            </p>
          ) : (
            <Composer
              conversationId={open}
              answering={answering}
              stopping={stopping}
              disabled={thread?.missing === true || (open === null && chat.projectId === null)}
              handle={composer}
              onSend={send}
              onStop={stop}
            />
          )}
        </div>
      </main>
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

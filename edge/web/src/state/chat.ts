/** Everything on the screen that came from the server or is on its way to it. Pure: an action in, a state out. */
import type { Agent, Conversation, Member, Message, Project, Push, SubscribeReply } from "../net/protocol";
import type { Outgoing } from "./outbox";
import { EMPTY_THREAD, olderLoaded, pushed, subscribed, type Thread } from "./thread";

export interface Shelf {
  /** Null until the first page has come. */
  loaded: boolean;
  nextCursor: string | null;
}

export interface Chat {
  projectId: string | null;
  projects: readonly Project[];
  /** Of the project on the screen. */
  members: Readonly<Record<string, Member>>;
  agents: readonly Agent[];
  conversations: Readonly<Record<string, Conversation>>;
  shelves: { active: Shelf; archived: Shelf };
  /** Deleted on this screen; the server is told when the time to undo has passed. */
  deleting: Readonly<Record<string, true>>;
  threads: Readonly<Record<string, Thread>>;
  outbox: readonly Outgoing[];
  /** Runs that this page asked to stop, until they end. */
  stopping: Readonly<Record<string, true>>;
  /** The others who look at a conversation, by it and by them: online or away. */
  present: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Who is writing in a conversation, and until when (milliseconds since 1970) that is to be believed. */
  typing: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export const EMPTY_CHAT: Chat = {
  projectId: null,
  projects: [],
  members: {},
  agents: [],
  conversations: {},
  shelves: { active: { loaded: false, nextCursor: null }, archived: { loaded: false, nextCursor: null } },
  deleting: {},
  threads: {},
  outbox: [],
  stopping: {},
  present: {},
  typing: {},
};

export type Action =
  | { type: "push"; push: Push }
  | { type: "projects"; projects: readonly Project[] }
  | { type: "project"; projectId: string }
  | { type: "members"; projectId: string; members: readonly Member[] }
  | { type: "agents"; projectId: string; agents: readonly Agent[] }
  | { type: "found"; conversations: readonly Conversation[] }
  | { type: "tick"; now: number }
  | {
      type: "listed";
      projectId: string;
      archived: boolean;
      first: boolean;
      conversations: readonly Conversation[];
      nextCursor: string | null;
    }
  | {
      type: "changed";
      id: string;
      change: Partial<Pick<Conversation, "title" | "archived" | "agent_id" | "pinned">>;
    }
  | { type: "removing"; id: string; removing: boolean }
  | { type: "removed"; id: string }
  | { type: "opened"; id: string }
  | { type: "closed"; id: string }
  | { type: "subscribed"; id: string; reply: SubscribeReply }
  | { type: "unavailable"; id: string }
  | { type: "older"; id: string; messages: readonly Message[]; oldest: string | null }
  | { type: "written"; entry: Outgoing }
  | { type: "created"; clientMessageId: string }
  | { type: "acknowledged"; clientMessageId: string; messageId: string }
  | { type: "refused"; clientMessageId: string; code: string }
  | { type: "withdrawn"; clientMessageId: string }
  | { type: "stopping"; runId: string; stopping: boolean };

export function reduce(chat: Chat, action: Action): Chat {
  switch (action.type) {
    case "push":
      return onPush(chat, action.push);
    case "projects":
      return { ...chat, projects: action.projects };
    case "project":
      return action.projectId === chat.projectId
        ? chat
        : { ...chat, projectId: action.projectId, members: {}, agents: [], shelves: EMPTY_CHAT.shelves };
    case "members":
      if (action.projectId !== chat.projectId) return chat;
      return { ...chat, members: Object.fromEntries(action.members.map((one) => [one.user_id, one])) };
    case "agents":
      return action.projectId === chat.projectId ? { ...chat, agents: action.agents } : chat;
    case "found":
      return action.conversations.reduce(withConversation, chat);
    case "tick":
      return quiet(chat, action.now);
    case "listed":
      return listed(chat, action);
    case "changed": {
      const conversation = chat.conversations[action.id];
      return conversation ? withConversation(chat, { ...conversation, ...action.change }) : chat;
    }
    case "removing":
      return { ...chat, deleting: flagged(chat.deleting, action.id, action.removing) };
    case "removed":
      return removed(chat, action.id);
    case "opened":
      return action.id in chat.threads ? chat : withThread(chat, action.id, EMPTY_THREAD);
    case "closed":
      return { ...chat, threads: without(chat.threads, action.id) };
    case "subscribed":
      return onSubscribed(chat, action.id, action.reply);
    case "unavailable":
      return onThread(chat, action.id, (thread) => ({ ...thread, missing: true }));
    case "older":
      return onThread(chat, action.id, (thread) => olderLoaded(thread, action.messages, action.oldest));
    case "written":
      return written(chat, action.entry);
    case "created":
      return onEntry(chat, action.clientMessageId, (one) => ({ ...one, opens: null }));
    case "acknowledged": {
      const { clientMessageId, messageId } = action;
      const entry = chat.outbox.find((one) => one.clientMessageId === clientMessageId);
      const shown = entry && chat.threads[entry.conversationId]?.messages.some((m) => m.id === messageId);
      if (shown) return reduce(chat, { type: "withdrawn", clientMessageId });
      return onEntry(chat, clientMessageId, (one) => ({ ...one, status: "sent", messageId, code: null }));
    }
    case "refused":
      return onEntry(chat, action.clientMessageId, (one) => ({
        ...one,
        status: "refused",
        code: action.code,
      }));
    case "withdrawn":
      return { ...chat, outbox: chat.outbox.filter((one) => one.clientMessageId !== action.clientMessageId) };
    case "stopping":
      return { ...chat, stopping: flagged(chat.stopping, action.runId, action.stopping) };
  }
}

function onPush(chat: Chat, push: Push): Chat {
  switch (push.type) {
    case "conversation.created":
    case "conversation.updated":
      return push.conversation.deleted
        ? removed(chat, push.conversation.id)
        : withConversation(chat, push.conversation);
    case "conversation.deleted":
      return removed(chat, push.conversation.id);
    case "subscribed":
      if (!("error" in push)) return onSubscribed(chat, push.conversation_id, push);
      // Anything but a refusal is asked again by whoever holds the connection.
      return push.error.retryable
        ? onThread(chat, push.conversation_id, (thread) => ({ ...thread, hole: true }))
        : reduce(chat, { type: "unavailable", id: push.conversation_id });
    case "message.rejected":
      // With this code another text holds the id: that one was stored, and is shown.
      if (push.code === "idempotency_mismatch") return chat;
      return reduce(chat, { type: "refused", clientMessageId: push.client_message_id, code: push.code });
    case "presence":
      return withPresent(chat, push.conversation_id, push.user_id, push.status);
    case "typing":
      return withTyping(chat, push.conversation_id, push.user_id, Date.now() + push.expires_in_ms);
    case "message.created": {
      const quieter = withTyping(chat, push.conversation_id, push.message.author_id ?? "", null);
      if (quieter !== chat) return onPush(quieter, push);
      const next = onThread(chat, push.conversation_id, (thread) => pushed(thread, push));
      return arrived(touched(next, push.conversation_id, push.message.created_at), [push.message]);
    }
    case "run.finished":
      return reduce(
        onThread(chat, push.conversation_id, (thread) => pushed(thread, push)),
        { type: "stopping", runId: push.run_id, stopping: false },
      );
    case "run.queued":
    case "run.started":
    case "run.restarted":
    case "run.delta":
      return onThread(chat, push.conversation_id, (thread) => pushed(thread, push));
    default:
      return chat;
  }
}

function onSubscribed(chat: Chat, id: string, reply: SubscribeReply): Chat {
  if (reply.state.deleted) return removed(chat, id);
  const present = Object.fromEntries((reply.present ?? []).map((one) => [one.user_id, one.status]));
  const next = withConversation(
    onThread({ ...chat, present: { ...chat.present, [id]: present } }, id, (thread) =>
      subscribed(thread, reply),
    ),
    reply.state,
  );
  return reply.rejected.reduce(
    (state, one) => onPush(state, { type: "message.rejected", conversation_id: id, ...one }),
    arrived(next, reply.messages),
  );
}

function listed(chat: Chat, page: Extract<Action, { type: "listed" }>): Chat {
  const kept = Object.values(chat.conversations).filter(
    ({ id, archived, project_id }) =>
      !page.first ||
      project_id !== page.projectId ||
      archived !== page.archived ||
      id in chat.threads ||
      chat.outbox.some((entry) => entry.conversationId === id),
  );
  const conversations = Object.fromEntries(kept.map((one) => [one.id, one]));
  for (const one of page.conversations) conversations[one.id] = one;
  if (page.projectId !== chat.projectId) return { ...chat, conversations };
  const shelf = { loaded: true, nextCursor: page.nextCursor };
  const shelves = page.archived ? { ...chat.shelves, archived: shelf } : { ...chat.shelves, active: shelf };
  return { ...chat, conversations, shelves };
}

function written(chat: Chat, entry: Outgoing): Chat {
  if (chat.outbox.some((one) => one.clientMessageId === entry.clientMessageId)) return chat;
  const next = { ...chat, outbox: [...chat.outbox, entry] };
  const at = new Date(entry.writtenAt).toISOString();
  if (entry.conversationId in chat.conversations || entry.opens === null) {
    return touched(next, entry.conversationId, at);
  }
  return withConversation(next, {
    id: entry.conversationId,
    project_id: entry.opens.projectId,
    title: null,
    archived: false,
    agent_id: entry.opens.agentId ?? null,
    created_at: at,
    updated_at: at,
  });
}

/** What the thread shows is no longer on its way. */
function arrived(chat: Chat, messages: readonly Message[]): Chat {
  const ids = new Set(messages.flatMap((message) => [message.id, message.client_message_id ?? message.id]));
  const outbox = chat.outbox.filter(
    (entry) => !ids.has(entry.clientMessageId) && !(entry.messageId !== null && ids.has(entry.messageId)),
  );
  return outbox.length === chat.outbox.length ? chat : { ...chat, outbox };
}

/** Newest activity goes to the top of the list. */
function touched(chat: Chat, id: string, at: string): Chat {
  const conversation = chat.conversations[id];
  return conversation && Date.parse(conversation.updated_at) < Date.parse(at)
    ? withConversation(chat, { ...conversation, updated_at: at })
    : chat;
}

function removed(chat: Chat, id: string): Chat {
  return {
    ...chat,
    conversations: without(chat.conversations, id),
    threads: without(chat.threads, id),
    deleting: without(chat.deleting, id),
    outbox: chat.outbox.filter((entry) => entry.conversationId !== id),
  };
}

function withConversation(chat: Chat, conversation: Conversation): Chat {
  // Pins are each person's own, so what everybody is told does not speak of them.
  const pinned = conversation.pinned ?? chat.conversations[conversation.id]?.pinned ?? false;
  return {
    ...chat,
    conversations: { ...chat.conversations, [conversation.id]: { ...conversation, pinned } },
  };
}

function withPresent(chat: Chat, id: string, userId: string, status: string): Chat {
  const there = without(chat.present[id] ?? {}, userId);
  return {
    ...chat,
    present: { ...chat.present, [id]: status === "offline" ? there : { ...there, [userId]: status } },
  };
}

/** `until` null: they have stopped. */
function withTyping(chat: Chat, id: string, userId: string, until: number | null): Chat {
  const there = chat.typing[id] ?? {};
  if (until === null && !(userId in there)) return chat;
  const others = without(there, userId);
  return {
    ...chat,
    typing: { ...chat.typing, [id]: until === null ? others : { ...others, [userId]: until } },
  };
}

/** Forget whoever said too long ago that they were writing. */
function quiet(chat: Chat, now: number): Chat {
  return Object.entries(chat.typing).reduce(
    (state, [id, there]) =>
      Object.entries(there).reduce(
        (one, [userId, until]) => (until <= now ? withTyping(one, id, userId, null) : one),
        state,
      ),
    chat,
  );
}

function withThread(chat: Chat, id: string, thread: Thread): Chat {
  return { ...chat, threads: { ...chat.threads, [id]: thread } };
}

function onThread(chat: Chat, id: string, change: (thread: Thread) => Thread): Chat {
  const thread = chat.threads[id];
  return thread ? withThread(chat, id, change(thread)) : chat;
}

function onEntry(chat: Chat, clientMessageId: string, change: (entry: Outgoing) => Outgoing): Chat {
  return {
    ...chat,
    outbox: chat.outbox.map((one) => (one.clientMessageId === clientMessageId ? change(one) : one)),
  };
}

function flagged(
  flags: Readonly<Record<string, true>>,
  id: string,
  on: boolean,
): Readonly<Record<string, true>> {
  return on ? { ...flags, [id]: true } : without(flags, id);
}

function without<T>(record: Readonly<Record<string, T>>, id: string): Readonly<Record<string, T>> {
  if (!(id in record)) return record;
  const { [id]: _, ...rest } = record;
  return rest;
}

/** One list of the side bar, newest activity first. */
export function shelf(chat: Chat, archived: boolean): readonly Conversation[] {
  return Object.values(chat.conversations)
    .filter(
      (one) => one.project_id === chat.projectId && one.archived === archived && !(one.id in chat.deleting),
    )
    .sort((a, b) => Date.parse(b.updated_at) - Date.parse(a.updated_at));
}

/** The reader's role in the project on the screen. */
export const roleIn = (chat: Chat): string | undefined =>
  chat.projects.find((one) => one.id === chat.projectId)?.role;

/** What to call a conversation: its title, or until it has one how its first message begins. Empty where nothing is known. */
export function titleOf(chat: Chat, conversation: Conversation): string {
  if (conversation.title) return conversation.title;
  const thread = chat.threads[conversation.id];
  const first =
    thread !== undefined && !thread.older ? thread.messages.find((one) => one.role === "user") : undefined;
  const waiting = chat.outbox.find((one) => one.conversationId === conversation.id);
  return titleFrom(first?.content ?? waiting?.content ?? "");
}

/** A title for a conversation that has none: how its first message begins. */
export function titleFrom(content: string, longest = 60): string {
  const line = content
    .replace(/[`*_#>~]+/g, "")
    .replace(/[^\P{Cc}\s]/gu, "")
    .split("\n")
    .map((one) => one.replace(/\s+/g, " ").trim())
    .find((one) => one !== "");
  const letters = [...(line ?? "")];
  if (letters.length <= longest) return letters.join("");
  const cut = letters.slice(0, longest).join("");
  const space = cut.lastIndexOf(" ");
  return `${space > longest / 2 ? cut.slice(0, space) : cut}…`;
}

import type { ErrorCode } from "../net/protocol";

/** What the page can say about a failure: the server's codes, and the few that arise here. */
type FailureCode =
  | ErrorCode
  | "unreachable"
  | "wrong_password"
  | "email_taken"
  | "bad_email"
  | "bad_password"
  | "bad_name";

const failures: Record<FailureCode, string> = {
  unauthenticated: "Please sign in again.",
  token_expired: "Your session has ended. Please sign in again.",
  forbidden_origin: "This address may not be used to reach the server.",
  not_found: "This is no longer here, or it is not yours.",
  forbidden: "Your role in this project does not allow that.",
  invalid: "The server could not accept that. Please check it and try again.",
  too_large: "That is too long. A message can have 16,000 characters.",
  idempotency_mismatch: "This was sent before with another text. Please send it again.",
  conversation_busy: "An answer is still being written. Wait for it, or stop it first.",
  conversation_archived: "This conversation is archived. Restore it to go on.",
  run_ended: "The answer had already ended.",
  insufficient_credits: "There is no credit left for an answer.",
  rate_limited: "That was a lot at once. Wait a moment and try again.",
  agent_unavailable: "The assistant cannot be reached at the moment.",
  unavailable: "The server cannot do that at the moment. Please try again.",
  internal: "Something went wrong on our side. Please try again.",
  unreachable: "The server cannot be reached. Check your connection and try again.",
  wrong_password: "The email address or the password is wrong.",
  email_taken: "There is already an account with this email address.",
  bad_email: "This does not look like an email address.",
  bad_password: "Choose a password of at least 8 characters.",
  bad_name: "Please tell us your name.",
};

export const en = {
  failures,
  unknownFailure: "Something went wrong. Please try again.",

  auth: {
    tagline: "Talk with people and AI agents, live.",
    signInTitle: "Welcome back",
    signInLead: "Sign in to pick up where you left off.",
    signUpTitle: "Create your account",
    signUpLead: "It takes a moment, and the first conversation is yours.",
    name: "Name",
    email: "Email",
    password: "Password",
    passwordHint: "At least 8 characters",
    showPassword: "Show password",
    hidePassword: "Hide password",
    signIn: "Sign in",
    signUp: "Create account",
    working: "One moment…",
    toSignUp: "New here?",
    toSignIn: "Already have an account?",
  },

  list: {
    title: "Conversations",
    create: "New conversation",
    archived: "Archived",
    back: "Back to conversations",
    empty: "Your conversations will appear here.",
    emptyArchived: "Nothing is archived.",
    more: "Show more",
    untitled: "Untitled",
    rename: "Rename",
    renameLabel: "Title of the conversation",
    archive: "Archive",
    restore: "Restore",
    delete: "Delete",
    actions: (title: string) => `Actions for “${title}”`,
    open: "Show conversations",
    today: "Today",
    yesterday: "Yesterday",
    week: "Previous 7 days",
    earlier: "Earlier",
  },

  account: {
    signOut: "Sign out",
    language: "Language",
    theme: "Appearance",
    themes: { system: "System", light: "Light", dark: "Dark" },
  },

  thread: {
    heading: (name: string) => (name ? `What is on your mind, ${name}?` : "What is on your mind?"),
    lead: "Ask anything. The answer appears as it is being written.",
    ideas: [
      "Explain event streaming as if I were ten",
      "Write a short poem about the sea at dawn",
      "What makes a good code review?",
    ],
    agent: "Assistant",
    you: "You",
    member: "Member",
    older: "Show earlier messages",
    latest: "Jump to latest",
    missing: "This conversation was deleted, or it is not yours.",
    missingAction: "Start a new one",
    archivedNote: "This conversation is archived.",
    unanswered: "There is no answer.",
    askAgain: "Ask again",
    label: "Messages",
  },

  answer: {
    thinking: "Thinking…",
    queued: "Waiting for the answer before",
    starting: "Waiting for the assistant",
    stopping: "Stopping…",
    stopped: "Stopped",
    length: "The answer reached its length limit.",
    filtered: "The answer was withheld by the assistant's content filter.",
    budget: "The answer ended because the budget was used up.",
    failed: "The answer could not be finished.",
    again: "Try again",
    regenerate: "Answer again",
    copy: "Copy",
    copied: "Copied",
    previous: "Previous answer",
    next: "Next answer",
    nth: (n: number, of: number) => `Answer ${n} of ${of}`,
    secondAttempt: "The assistant started over.",
    finished: "The answer is complete.",
    deleted: "This message was deleted with its author's account.",
    image: "Image",
  },

  composer: {
    label: "Your message",
    placeholder: "Write a message…",
    placeholderBusy: "Write the next message…",
    send: "Send",
    stop: "Stop the answer (Esc)",
    hint: "Enter sends, Shift + Enter makes a new line",
    left: (n: number) => `${n.toLocaleString("en")} characters left`,
    over: (n: number) => `${n.toLocaleString("en")} characters too long`,
    whenBusy: "While an answer is being written",
    busy: {
      enqueue: ["Wait its turn", "Answered after this one"],
      interrupt: ["Interrupt", "Stop this answer, keep its text"],
      rollback: ["Replace", "Stop this answer and take its text back"],
    },
  },

  outgoing: {
    sending: "Sending…",
    offline: "Will be sent when you are back online",
    refused: "Not sent.",
    again: "Send again",
    discard: "Discard",
  },

  link: {
    reconnecting: "Reconnecting…",
    offline: "You are offline",
    offlineNote: "What you write is kept and sent later.",
    back: "Back online",
    stopped: "The connection was closed.",
    session: "Your session has ended here.",
    crowded: "Chorus is open in too many windows.",
    again: "Connect again",
  },

  notice: {
    deleted: "Conversation deleted",
    archived: "Conversation archived",
    restored: "Conversation restored",
    undo: "Undo",
    dismiss: "Dismiss",
  },

  loading: "Loading…",
  skip: "Skip to the message box",
};

export type Dictionary = typeof en;

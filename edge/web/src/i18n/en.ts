import type { ErrorCode } from "../net/protocol";

/** What the page can say about a failure: the server's codes, and the few that arise here. */
type FailureCode =
  | ErrorCode
  | "unreachable"
  | "wrong_password"
  | "email_taken"
  | "bad_email"
  | "bad_password"
  | "bad_name"
  | "wrong_current"
  | "used_link"
  | "already_member"
  | "last_owner"
  | "last_way_in"
  | "owns_shared"
  | "wrong_confirm"
  | "bad_url"
  | "bad_secret"
  | "no_words"
  | "oauth_denied"
  | "oauth_state"
  | "oauth_taken"
  | "oauth_email"
  | "oauth_failed";

const failures: Record<FailureCode, string> = {
  unauthenticated: "Please sign in again.",
  token_expired: "Your session has ended. Please sign in again.",
  forbidden_origin: "This address may not be used to reach the server.",
  not_found: "This is no longer here, or it is not yours.",
  forbidden: "Your role in this project does not allow that.",
  invalid: "The server could not accept that. Please check it and try again.",
  too_large: "That is too long. A message can have 16,000 characters.",
  idempotency_mismatch: "This was sent before with another text. Please send it again.",
  in_progress: "This is still being done. Wait a moment and look again.",
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
  precondition_failed: "Somebody else changed this meanwhile. Look at it again, then repeat your change.",
  wrong_current: "The present password is wrong.",
  used_link: "This link has been used or has ended. Ask for a new one.",
  already_member: "This person is a member already. Change their role instead.",
  last_owner: "A project needs an owner. Make somebody else owner first.",
  last_way_in: "This is your only way to sign in. Set a password or connect another account first.",
  owns_shared: "You are the only owner of a project that others use. Hand it over or delete it first.",
  wrong_confirm: "That is not the same. Type it exactly as shown.",
  bad_url: "This address cannot be used. Give one that begins with https:// and that the server may reach.",
  bad_secret:
    "Give the secret again: the address is another one, or the secret has characters that none has.",
  no_words: "Type at least one word to look for.",
  oauth_denied: "You did not allow the sign-in. Try again, or use your password.",
  oauth_state: "The sign-in took too long or was begun in another browser. Please start it again.",
  oauth_taken: "This account belongs to somebody else here already.",
  oauth_email:
    "There is already an account with this email address. Sign in with your password, then connect the other account in settings.",
  oauth_failed: "The provider could not confirm the sign-in. Please try again.",
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

  note: {
    signedOut: "You were signed out. Sign in again to go on.",
    reset: "Your password is set. Sign in with it.",
    invited: "You are invited to a project. Sign in, or create an account, to join.",
    farewell: "Your account is deleted.",
  },

  enter: {
    with: (provider: string) => `Continue with ${provider}`,
    or: "or with email",
    forgot: "Forgot password?",
    forgotTitle: "Reset your password",
    forgotLead: "We mail you a link with which you choose a new one.",
    sendLink: "Send the link",
    linkSent:
      "If there is an account with this address, a link is on its way. It works once, and not for long.",
    backToSignIn: "Back to signing in",
    resetTitle: "Choose a new password",
    resetLead: "All sign-ins end, on every device.",
    newPassword: "New password",
    setPassword: "Set password",
    verifying: "Confirming your email address…",
    verified: "Your email address is confirmed.",
    toChorus: "Go to Chorus",
    joining: "Joining the project…",
    noToken: "This link is not complete. Open it again from the mail.",
  },

  menu: {
    thread: "Actions for this conversation",
    pin: "Pin",
    unpin: "Unpin",
    share: "Share…",
    markdown: "Export as Markdown",
    json: "Export as JSON",
    pinned: "Pinned",
    bin: "Bin",
    binNote: "What is deleted can be brought back for 30 days.",
    emptyBin: "The bin is empty.",
    restored: "Brought back",
    search: "Search",
    project: "Project",
    newProject: "New project",
    manageProject: "Members and agents",
    settings: "Settings",
  },

  edit: {
    edit: "Edit and send again",
    label: "Your message, said differently",
    send: "Send",
    cancel: "Cancel",
    nth: (n: number, of: number) => `Version ${n} of ${of}`,
    previous: "Previous version",
    next: "Next version",
    older: "You are reading an earlier version. What you write goes on from the newest one.",
    toNewest: "Show the newest",
  },

  people: {
    typing: (names: string[]) =>
      names.length === 1
        ? `${names[0]} is typing`
        : names.length === 2
          ? `${names[0]} and ${names[1]} are typing`
          : "Several people are typing",
    here: (names: string) => `Here now: ${names}`,
    away: "away",
    answeredBy: "Answered by",
    nobody: "Nobody: people only",
    onlyThis: "For this message",
    reads: "Your role in this project is to read.",
  },

  share: {
    title: "Share a link",
    lead: "Anybody with the link can read what has been said up to now. What is said later stays private.",
    create: "Create link",
    made: "Copy it now: it is shown only once.",
    copy: "Copy",
    copied: "Copied",
    list: "Links that work",
    none: "There are none.",
    revoke: "Revoke",
    by: (name: string, at: string) => `${name}, ${at}`,
    sharedAt: (at: string) => `Shared on ${at}. Read only.`,
    gone: "This link does not work. It may have been revoked.",
    more: "Show more",
    try: "Start your own",
  },

  search: {
    label: "Search messages and titles",
    placeholder: "Search",
    hint: "Words, “a phrase”, or the beginning of a word with *. Accents do not count.",
    everywhere: "All projects",
    none: (q: string) => `Nothing was found for “${q}”.`,
    searching: "Searching…",
    found: (n: number) => (n === 1 ? "1 result" : `${n} results`),
    more: "Show more",
    title: "Title",
  },

  project: {
    general: "General",
    members: "Members",
    agents: "Agents",
    back: "Back to conversations",
    name: "Name",
    save: "Save",
    saved: "Saved",
    defaultAgent: "Who answers in new conversations",
    nobody: "Nobody",
    create: "Create project",
    createLead: "A project has its own conversations, members and agents.",
    roles: { owner: "Owner", admin: "Admin", member: "Member", viewer: "Viewer" },
    roleNotes: {
      owner: "Everything, and who owns it",
      admin: "Manages members and agents",
      member: "Writes and shares",
      viewer: "Reads",
    },
    role: (name: string) => `Role of ${name}`,
    invite: "Invite",
    inviteEmail: "Email of whom to invite",
    joined: (email: string) => `${email} is a member now.`,
    invited: (email: string) => `An invitation is on its way to ${email}. It works for 7 days.`,
    pending: "Invited",
    withdraw: "Withdraw",
    remove: "Remove",
    leave: "Leave this project",
    leaveNote: "You no longer see its conversations. Somebody has to invite you to come back.",
    transfer: "Hand over",
    transferNote: "The new owner can do everything; you become an admin.",
    transferTo: "New owner",
    choose: "Choose a member",
    remove2: "Delete this project",
    removeNote: "Everything in it goes, for everybody. For 30 days an owner can bring it back.",
    typeName: (name: string) => `Type “${name}” to confirm`,
    deleted: "Deleted projects",
    restore: "Bring back",
    you: "you",
    danger: "Leaving and ending",
  },

  agent: {
    create: "New agent",
    edit: "Change agent",
    name: "Name",
    kind: "Kind",
    kinds: { openai: "Model behind an OpenAI-compatible address", scripted: "Scripted: repeats and tests" },
    url: "Address",
    urlHint: "Empty: the model of this Chorus",
    model: "Model",
    prompt: "Instructions",
    temperature: "Temperature",
    maxTokens: "Longest answer, in tokens",
    secret: "Secret",
    secretSet: "A secret is set. Write a new one to replace it.",
    secretHint: "Never shown again",
    version: (n: number) => `Version ${n}`,
    versions: "Versions",
    remove: "Delete agent",
    removeSure: "Delete for good?",
    cancel: "Cancel",
    none: "There are no agents. Nobody answers but people.",
    byDefault: "Default",
  },

  settings: {
    title: "Settings",
    profile: "Profile",
    security: "Sign-in",
    data: "Your data",
    name: "Name",
    verified: "Confirmed",
    unverified: "Not confirmed",
    verify: "Send a link to confirm it",
    verifySent: "The link is on its way.",
    password: "Password",
    current: "Present password",
    next: "New password",
    change: "Change password",
    set: "Set a password",
    changed: "Your password is changed.",
    identities: "Connected accounts",
    connect: "Connect",
    disconnect: "Disconnect",
    notConnected: "Not connected",
    sessions: "Where you are signed in",
    current2: "This browser",
    since: (at: string) => `Signed in ${at}`,
    used: (at: string) => `last used ${at}`,
    end: "End",
    everywhere: "Sign out everywhere",
    everywhereNote: "Here too. Every window closes its connection within seconds.",
    takeout: "Take your data home",
    takeoutNote: "Profile, conversations, messages and more, as a zip of JSON lines.",
    takeoutDo: "Download",
    takeoutBusy: "Packing…",
    remove: "Delete your account",
    removeNote: "At once and for good. Your messages become unreadable everywhere, for everybody.",
    typeEmail: (email: string) => `Type ${email} to confirm`,
    removeDo: "Delete my account",
    receipt: "Your account is deleted",
    receiptLead: (id: string) => `Keep this number: ${id}. With it anybody can ask how far the deletion is.`,
    done: "Done",
    kept: "Kept, and why",
    finish: "Close",
  },

  dialog: { close: "Close" },

  loading: "Loading…",
  skip: "Skip to the message box",
};

export type Dictionary = typeof en;

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
  | "budget_exhausted"
  | "not_offered"
  | "bad_hook_url"
  | "too_many_hooks"
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
  insufficient_credits:
    "There is not enough credit for an answer. Once an owner or admin has added some (under “Usage and money”), try again.",
  budget_exhausted:
    "A budget for this answer is used up. An owner or admin can raise it under “Usage and money”, or wait for the next period.",
  not_offered:
    "This server does not offer that yet. Everything else here works; ask whoever runs it for an update.",
  bad_hook_url:
    "This address cannot be used. Give one that begins with https:// and can be reached from the internet.",
  too_many_hooks: "This project has as many webhooks as it may have. Delete one first.",
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
    budget:
      "The answer ended here because the money for it was used up. With more credit or a higher budget, ask again.",
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
    people: "People to mention",
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
    verify: "Sign in to the account whose email address you confirm.",
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
    loadAnew: "Load it as it is now",
    loadedAnew: "This is how it is now. Make your change again.",
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
    notifications: "Notifications",
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

  bell: {
    title: "Notifications",
    label: (n: number) =>
      n === 0 ? "Notifications" : n === 1 ? "1 unread notification" : `${n} unread notifications`,
    unread: "Unread.",
    readAll: "Mark all as read",
    preferences: "Choose what you are told",
    empty: "Nothing new",
    emptyNote: "Mentions, finished answers and invitations will appear here.",
    older: "Show older",
    mention: (by: string | null, title: string | null) =>
      `${by ?? "Somebody"} mentioned you${title === null ? "" : ` in “${title}”`}.`,
    answer: (title: string | null) =>
      title === null ? "Your answer is finished." : `The answer in “${title}” is finished.`,
    answerFailed: (title: string | null) =>
      title === null
        ? "Your question could not be answered."
        : `The question in “${title}” could not be answered.`,
    invitation: (by: string | null, project: string | null) =>
      `${by ?? "Somebody"} added you to ${project === null ? "a project" : `“${project}”`}.`,
    budget: (percent: number | null) =>
      percent === null
        ? "There is news of a budget."
        : percent >= 100
          ? "A budget is used up."
          : `${percent} % of a budget is used.`,
    deployment: "There is news of a deployment.",
    training: "There is news of a training.",
    other: "Something happened in a project.",
    preferencesNote: "Of what you are told, and how.",
    emailNote: "Mail goes to a confirmed address, of what you have not read within 5 minutes.",
    what: "What",
    channels: { app: "Here", email: "Email", webhook: "Webhook" },
    kinds: {
      mention: "Somebody mentions you",
      answer: "An answer is finished while you are away",
      invitation: "You are added to a project",
      budget: "A budget is nearly or wholly used",
      deployment: "A deployment begins, ends or fails",
      training: "A training ends or fails",
    },
  },

  cost: {
    label: (amount: string) => `This answer cost ${amount}`,
    estimated: "estimated",
    estimatedNote: "The provider did not say how much it was: the tokens that were shown are counted.",
    input: "Tokens in",
    cached: "of them cached",
    output: "Tokens out",
    counted: "Counted by",
    byUs: "Chorus",
    byProvider: "the provider",
    price: "Price",
  },

  money: {
    tab: "Usage and money",
    wallet: "Wallet",
    balance: "Can be spent",
    held: "Held",
    heldNote: "What is held is for answers that are being written; what they do not need comes back.",
    again: "Look again",
    askForCredit: "Owners and admins can add credit.",
    amount: "Amount",
    note: "What for",
    optional: "optional",
    addCredit: "Add credit",
    added: "The credit is there, and can be spent at once.",
    badAmount: "Type an amount such as 10 or 2.50, with at most six decimals.",
    ledger: "Every movement",
    ledgerNote: "The newest first. Nothing here is ever changed: what was wrong is taken back by a new line.",
    noLedger: "No money has moved yet.",
    kinds: {
      credit: "Credit",
      reserve: "Held for an answer",
      release: "Given back after an answer",
      charge: "An answer",
      absorb: "Not charged",
      reverse: "Taken back",
    },
    accounts: {
      wallet: "wallet",
      reservation: "held",
      revenue: "charged",
      funding: "paid in",
      provider_cost: "our cost",
      providers: "providers",
    },
  },

  usage: {
    title: "Usage",
    note: "Days are those of UTC.",
    span: "How far back",
    days: (n: number) => `Last ${n} days`,
    group: "Sum up",
    by: { day: "By day", user: "By person", agent: "By agent" },
    heads: { day: "Day", user: "Person", agent: "Agent" },
    answers: "Answers",
    charged: "Charged",
    total: "Together",
    estimated: (n: number) => `${n} estimated`,
    none: "Nothing was used in this time.",
    gone: "Somebody who left",
    goneAgent: "An agent that was deleted",
    plot: (currency: string) => `Charged each day, in ${currency}`,
  },

  budget: {
    title: "Budgets",
    note: "How much may be spent. Owners and admins are told at 80 % and at 100 %.",
    none: "There is no budget: answers end when the wallet is empty.",
    add: "Add a budget",
    change: "Change",
    remove: "Remove",
    limit: "At most",
    period: "In each",
    periods: { day: "Day", week: "Week", month: "Month" },
    who: "Who asks",
    everybody: "Everybody",
    agent: "Who answers",
    anyAgent: "Any agent",
    hard: "Answers end there",
    soft: "Only told",
    hardNote: "Otherwise answers go on, and it is only told.",
    until: (day: string) => `until ${day}`,
    spent: (spent: string, limit: string) => `${spent} of ${limit}`,
    full: (percent: number) => `${percent} % used`,
  },

  statement: {
    title: "Statements",
    none: "The first statement comes with the first movement.",
    month: "Month",
    opening: "Balance at the beginning",
    credits: "Credit",
    charges: "Answers",
    reversals: "Taken back",
    closing: "Balance at the end",
    runs: (n: number) => (n === 1 ? "1 answer" : `${n} answers`),
  },

  price: {
    title: "Price",
    free: "free",
    note: (currency: string) => `In ${currency}, for a million tokens. It holds from the next question on.`,
    input_micros: "Input",
    cached_input_micros: "Cached input",
    output_micros: "Output",
    call_micros: "Each call",
    set: "Set price",
    makeFree: "Make free",
    saved: "It holds from the next question on.",
  },

  webhook: {
    tab: "Webhooks",
    note: "Notifications of this project are posted to these addresses, signed with a secret.",
    none: "There is no webhook yet.",
    add: "Add a webhook",
    url: "Address",
    kinds: "Told of",
    enabled: "Switched on",
    off: "Switched off",
    failing: (at: string) => `No delivery has succeeded since ${at}.`,
    secret: "The webhook's secret",
    secretNote:
      "Copy it now: it is shown only once. Your receiver checks with it that a delivery comes from here.",
    kept: "I have kept it",
    newSecret: "New secret",
    secretSure: "The present secret stops working at once.",
    removeSure: "It gets nothing more, and its log goes.",
    test: "Send a test",
    tested: "The test is on its way; its end is in the log.",
    log: "Deliveries",
    noLog: "Nothing has been sent in the last 30 days.",
    noAttempt: "Not tried yet.",
    nextAt: (at: string) => `Tried again ${at}`,
    states: { waiting: "on its way", delivered: "delivered", failed: "failed" },
  },

  dialog: { close: "Close" },

  loading: "Loading…",
  notLoaded: "This part of the page could not be loaded.",
  loadAnew: "Load the page anew",
  skip: "Skip to the message box",
};

export type Dictionary = typeof en;

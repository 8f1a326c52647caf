// Chorus' REST API: its types, and what each operation takes and answers.
// Written by `python -m clients.generate` from the OpenAPI document; not by hand.

export interface Acceptance {
  token: string;
}

export interface Agent {
  id: string;
  project_id: string;
  name: string;
  version: number;
  config: Record<string, unknown>;
  created_at: string;
}

export interface AgentChange {
  name?: string | null;
  config?: OpenAIConfig | ScriptedConfig | null;
}

export interface AgentVersion {
  version: number;
  config: Record<string, unknown>;
  created_at: string;
}

export interface AnswerAgain {
  client_request_id: string;
}

export interface Attempt {
  at: string;
  took_ms: number;
  status: number | null;
  error: string | null;
}

export interface Budget {
  id: string;
  user_id: string | null;
  agent_id: string | null;
  period: "day" | "week" | "month";
  limit_micros: number;
  hard: boolean;
  spent_micros: number;
  reserved_micros: number;
  starts_at: string;
  ends_at: string;
}

export interface Budgets {
  data: Budget[];
}

export interface Channels {
  app?: boolean;
  webhook?: boolean;
  email?: boolean;
}

export interface Charged {
  agent_id: string;
  runs: number;
  input_tokens: number;
  cached_input_tokens: number;
  output_tokens: number;
  charged_micros: number;
}

export interface Config {
  ws_url: string;
  version: string;
  oauth_providers: string[];
  treasurers: boolean;
  limits: Limits;
}

export interface Conversation {
  id: string;
  project_id: string;
  title: string | null;
  archived: boolean;
  deleted: boolean;
  agent_id: string | null;
  created_by: string;
  created_at: string;
  updated_at: string;
  deleted_at?: string | null;
  pinned?: boolean;
}

export interface ConversationChange {
  title?: string | null;
  archived?: boolean | null;
  agent_id?: string | null;
}

export interface ConversationNamed {
  id: string;
}

export interface Credited {
  transaction_id: string;
  wallet: Wallet;
}

export interface Delivery {
  id: string;
  type: string;
  status: "waiting" | "delivered" | "failed";
  created_at: string;
  next_at: string | null;
  attempts: Attempt[];
}

export interface Delta {
  from_seq: number;
  seq: number;
  text: string;
}

export interface Entry {
  id: string;
  at: string;
  event: string;
  result: string;
  actor_id: string | null;
  user_id: string | null;
  address: string | null;
  request_id: string | null;
  what: Record<string, unknown>;
}

export interface Erasure {
  id: string;
  asked_at: string;
  done_at: string | null;
}

export interface Farewell {
  confirm: string;
}

export interface FieldError {
  field: string;
  message: string;
}

export interface Forgetting {
  url: string;
  confirmation_code: string;
}

export interface Forgot {
  email: string;
}

export interface Forgotten {
  outcome: string;
  asked_at: string;
}

export interface Hit {
  conversation_id: string;
  conversation_title: string | null;
  project_id: string;
  archived: boolean;
  message_id: string | null;
  role: string | null;
  author_id: string | null;
  created_at: string;
  cursor: string | null;
  snippet: Segment[];
  rank: number;
}

export interface Identities {
  data: OneIdentity[];
  has_password: boolean;
}

export interface Invited {
  status?: "invited";
  invitation_id: string;
  email: string;
  role: string;
  invited_by: string | null;
  created_at: string;
  expires_at: string;
}

export interface KeptThing {
  what: string;
  why: string;
}

export type Kind = "mention" | "answer" | "invitation" | "budget" | "deployment" | "training";

export interface LedgerEntry {
  id: string;
  transaction_id: string;
  account: string;
  kind: string;
  amount_micros: number;
  currency: string;
  run_id: string | null;
  reverses_id: string | null;
  by_user_id: string | null;
  note: string | null;
  occurred_at: string;
  recorded_at: string;
}

export interface Limits {
  max_content_characters: number;
  max_title_characters: number;
  max_frame_bytes: number;
  max_body_bytes: number;
  max_page: number;
}

export interface Member {
  status?: "active";
  user_id: string;
  email: string | null;
  display_name: string;
  role: string;
  created_at: string;
}

export interface Message {
  cursor: string;
  id: string;
  role: string;
  author_id: string | null;
  agent_id: string | null;
  content: string;
  run_id: string | null;
  parent_message_id: string | null;
  created_at: string;
  finish_reason: string | null;
  usage: Usage | null;
  deleted: boolean;
  client_message_id: string | null;
}

export interface MessageSent {
  message_id: string;
  run_id: string | null;
  cursor?: string | null;
}

export interface Messages {
  data: Message[];
  epoch: string;
  top: number;
}

export interface Months {
  data: string[];
}

export interface NewAgent {
  name: string;
  config: OpenAIConfig | ScriptedConfig;
}

export interface NewBudget {
  user_id?: string | null;
  agent_id?: string | null;
  period: "day" | "week" | "month";
  limit_micros: number;
  hard?: boolean;
}

export interface NewBudgets {
  data: NewBudget[];
}

export interface NewConversation {
  id?: string | null;
  title?: string | null;
  agent_id?: string | null;
}

export interface NewCredit {
  amount_micros: number;
  currency?: string;
  note?: string | null;
  credit_id?: string | null;
}

export interface NewFigures {
  currency?: string;
  input_micros: number;
  output_micros: number;
  cached_input_micros?: number | null;
  call_micros?: number;
}

export interface NewMember {
  email: string;
  role: Role;
}

export interface NewMessage {
  client_message_id: string;
  content: string;
  agent_id?: string | null;
  when_busy?: "enqueue" | "reject" | "interrupt" | "rollback";
  edits?: string | null;
}

export interface NewOwner {
  user_id: string;
}

export interface NewPrice {
  price: NewFigures | null;
  model?: string | null;
}

export interface NewShare {
  id: string;
  created_by: string;
  created_at: string;
  token: string;
  url: string;
}

export interface NewWebhook {
  url: string;
  kinds?: Kind[];
}

export interface Notification {
  id: string;
  kind: string;
  project_id: string;
  data: Record<string, unknown>;
  occurred_at: string;
  created_at: string;
  read: boolean;
}

export interface Notifications {
  data: Notification[];
  next_cursor: string | null;
  unread: number;
}

export interface OneIdentity {
  provider: string;
  email: string | null;
  created_at: string;
}

export interface OpenAIConfig {
  kind: "openai";
  url?: string | null;
  model?: string | null;
  system_prompt?: string;
  params?: Params;
  context_messages?: number;
  context_tokens?: number;
  timeouts?: Timeouts;
  secret?: string | null;
}

export interface PageAgentVersion {
  data: AgentVersion[];
  next_cursor: string | null;
}

export interface PageAgent {
  data: Agent[];
  next_cursor: string | null;
}

export interface PageConversation {
  data: Conversation[];
  next_cursor: string | null;
}

export interface PageDelivery {
  data: Delivery[];
  next_cursor: string | null;
}

export interface PageEntry {
  data: Entry[];
  next_cursor: string | null;
}

export interface PageHit {
  data: Hit[];
  next_cursor: string | null;
}

export interface PageInvited {
  data: Invited[];
  next_cursor: string | null;
}

export interface PageLedgerEntry {
  data: LedgerEntry[];
  next_cursor: string | null;
}

export interface PageMember {
  data: Member[];
  next_cursor: string | null;
}

export interface PagePrice {
  data: Price[];
  next_cursor: string | null;
}

export interface PageProject {
  data: Project[];
  next_cursor: string | null;
}

export interface PageSession {
  data: Session[];
  next_cursor: string | null;
}

export interface PageWebhook {
  data: Webhook[];
  next_cursor: string | null;
}

export interface Params {
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  max_tokens?: number | null;
  max_completion_tokens?: number | null;
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  repetition_penalty?: number | null;
  reasoning_effort?: string | null;
  seed?: number | null;
  stop?: string[] | null;
}

export interface PasswordChange {
  current_password?: string | null;
  new_password: string;
}

export interface Preferences {
  mention?: Channels;
  answer?: Channels;
  invitation?: Channels;
  budget?: Channels;
  deployment?: Channels;
  training?: Channels;
}

export interface Price {
  version: number;
  model: string | null;
  price: PriceFigures | null;
  created_at: string;
}

export interface PriceFigures {
  currency: string;
  input_micros: number;
  cached_input_micros: number;
  output_micros: number;
  call_micros: number;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  errors?: FieldError[] | null;
  retry_after_ms?: number | null;
}

export interface ProfileChange {
  display_name?: string | null;
}

export interface Project {
  id: string;
  name: string;
  role: string;
  default_agent_id: string | null;
  created_at: string;
  deleted_at?: string | null;
}

export interface ProjectChange {
  name?: string | null;
  default_agent_id?: string | null;
}

export interface ProjectNamed {
  name: string;
}

export interface Read {
  up_to: string;
}

export interface Receipt {
  id: string;
  user_id: string;
  at: string;
  done: string[];
  kept: KeptThing[];
}

export interface Refresh {
  refresh_token?: string | null;
}

export interface Reset {
  token: string;
  password: string;
}

export interface Reversal {
  note: string;
}

export type Role = "viewer" | "member" | "admin" | "owner";

export interface RoleChange {
  role: Role;
}

export interface Run {
  run_id: string;
  conversation_id: string;
  message_id: string;
  question_id: string;
  agent_id: string;
  status: string;
  attempt: number;
  last_seq: number;
  finish_reason: string | null;
  usage: Usage | null;
  error: RunError | null;
  queued_at: string;
  requested_at: string | null;
  ended_at: string | null;
}

export interface RunError {
  code: string;
  message: string;
}

export interface RunEvents {
  run_id: string;
  status: string;
  attempt: number;
  data: Delta[];
}

export interface RunNamed {
  run_id: string;
}

export interface RunStatus {
  status: string;
}

export interface ScriptedConfig {
  kind: "scripted";
  tokens?: number;
  delay_ms?: number;
  context_messages?: number;
}

export interface Segment {
  text: string;
  match: boolean;
}

export interface Session {
  id: string;
  created_at: string;
  last_used_at: string;
  current: boolean;
}

export interface Share {
  id: string;
  created_by: string;
  created_at: string;
}

export interface SharedConversation {
  title: string | null;
  shared_at: string;
  messages: SharedMessage[];
  next_cursor: string | null;
}

export interface SharedMessage {
  role: string;
  author: string;
  content: string;
  deleted: boolean;
  created_at: string;
}

export interface Shares {
  data: Share[];
}

export interface SignIn {
  email: string;
  password: string;
}

export interface SignOut {
  refresh_token?: string | null;
  everywhere?: boolean;
}

export interface SignUp {
  email: string;
  password: string;
  display_name: string;
}

export interface SignedIn {
  user: User;
  access_token: string;
  refresh_token: string | null;
  token_type?: "Bearer";
  expires_in: number;
}

export interface Statement {
  month: string;
  currency: string;
  opening_micros: number;
  credit_micros: number;
  charged_micros: number;
  late_micros: number;
  reversed_micros: number;
  closing_micros: number;
  charges: Charged[];
  ended: boolean;
}

export interface Testing {
  delivery_id: string;
}

export interface Timeouts {
  connect_s?: number | null;
  first_token_s?: number | null;
  between_tokens_s?: number | null;
  whole_s?: number | null;
  retry_s?: number | null;
  usage_s?: number | null;
}

export interface Unread {
  unread: number;
}

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cached_input_tokens: number;
  from_cache: boolean;
  source: string;
  cost_micros: number;
  currency: string;
  price_version?: number | null;
}

export interface UsageReport {
  starts_at: string;
  ends_at: string;
  group_by: string[];
  data: UsageRow[];
  total: UsageRow[];
}

export interface UsageRow {
  day: string | null;
  user_id: string | null;
  agent_id: string | null;
  runs: number;
  estimated_runs: number;
  input_tokens: number;
  cached_input_tokens: number;
  output_tokens: number;
  cost_micros: number;
  charged_micros: number;
  currency: string;
}

export interface User {
  id: string;
  email: string | null;
  email_verified?: boolean;
  display_name: string;
  created_at: string;
}

export interface Verify {
  token: string;
}

export interface Wallet {
  currency: string;
  balance_micros: number;
  reserved_micros: number;
}

export interface Way {
  url: string;
}

export interface WayWanted {
  next?: string;
}

export interface Webhook {
  id: string;
  url: string;
  kinds: string[];
  created_by: string | null;
  created_at: string;
  failing_since: string | null;
  disabled_at: string | null;
  disabled_why: string | null;
}

export interface WebhookChange {
  url?: string | null;
  kinds?: Kind[] | null;
  enabled?: boolean | null;
}

export interface WebhookWithSecret {
  id: string;
  url: string;
  kinds: string[];
  created_by: string | null;
  created_at: string;
  failing_since: string | null;
  disabled_at: string | null;
  disabled_why: string | null;
  secret: string;
}

export interface Operations {
  "POST /v1/auth/password/forgot": {
    query: undefined;
    body: Forgot;
    answer: undefined;
    headers: undefined;
  };
  "POST /v1/auth/password/reset": {
    query: undefined;
    body: Reset;
    answer: undefined;
    headers: undefined;
  };
  "POST /v1/auth/email/verify/send": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "POST /v1/auth/email/verify": {
    query: undefined;
    body: Verify;
    answer: undefined;
    headers: undefined;
  };
  "GET /v1/auth/oauth/{provider}/start": {
    query: { next?: string };
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "GET /v1/auth/oauth/{provider}/callback": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "POST /v1/auth/oauth/facebook/deletion": {
    query: undefined;
    body: undefined;
    answer: Forgetting;
    headers: undefined;
  };
  "GET /v1/auth/oauth/facebook/deletion/{code}": {
    query: undefined;
    body: undefined;
    answer: Forgotten;
    headers: undefined;
  };
  "POST /v1/auth/register": {
    query: undefined;
    body: SignUp;
    answer: SignedIn;
    headers: undefined;
  };
  "POST /v1/auth/login": {
    query: undefined;
    body: SignIn;
    answer: SignedIn;
    headers: undefined;
  };
  "POST /v1/auth/refresh": {
    query: undefined;
    body: Refresh | null;
    answer: SignedIn;
    headers: undefined;
  };
  "POST /v1/auth/logout": {
    query: undefined;
    body: SignOut | null;
    answer: undefined;
    headers: undefined;
  };
  "GET /v1/users/me/identities": {
    query: undefined;
    body: undefined;
    answer: Identities;
    headers: undefined;
  };
  "POST /v1/users/me/identities/{provider}/start": {
    query: undefined;
    body: WayWanted | null;
    answer: Way;
    headers: undefined;
  };
  "DELETE /v1/users/me/identities/{provider}": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "POST /v1/users/me/password": {
    query: undefined;
    body: PasswordChange;
    answer: undefined;
    headers: undefined;
  };
  "GET /v1/users/me/sessions": {
    query: undefined;
    body: undefined;
    answer: PageSession;
    headers: undefined;
  };
  "DELETE /v1/users/me/sessions/{session_id}": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "GET /v1/users/me": {
    query: undefined;
    body: undefined;
    answer: User;
    headers: { "If-None-Match"?: string };
  };
  "PATCH /v1/users/me": {
    query: undefined;
    body: ProfileChange;
    answer: User;
    headers: { "If-Match"?: string };
  };
  "DELETE /v1/users/me": {
    query: undefined;
    body: Farewell;
    answer: Receipt;
    headers: undefined;
  };
  "GET /v1/users/me/export": {
    query: undefined;
    body: undefined;
    answer: Blob;
    headers: undefined;
  };
  "GET /v1/erasures/{receipt_id}": {
    query: undefined;
    body: undefined;
    answer: Erasure;
    headers: undefined;
  };
  "GET /v1/projects/{project_id}/members": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageMember;
    headers: undefined;
  };
  "POST /v1/projects/{project_id}/members": {
    query: undefined;
    body: NewMember;
    answer: Member | Invited;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/projects/{project_id}/members/{user_id}": {
    query: undefined;
    body: undefined;
    answer: Member;
    headers: { "If-None-Match"?: string };
  };
  "PATCH /v1/projects/{project_id}/members/{user_id}": {
    query: undefined;
    body: RoleChange;
    answer: Member;
    headers: { "If-Match"?: string };
  };
  "DELETE /v1/projects/{project_id}/members/{user_id}": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "POST /v1/projects/{project_id}/transfer": {
    query: undefined;
    body: NewOwner;
    answer: Member;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/projects/{project_id}/invitations": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageInvited;
    headers: undefined;
  };
  "DELETE /v1/projects/{project_id}/invitations/{invitation_id}": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "POST /v1/invitations/accept": {
    query: undefined;
    body: Acceptance;
    answer: Project;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/projects": {
    query: { deleted?: boolean; limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageProject;
    headers: undefined;
  };
  "POST /v1/projects": {
    query: undefined;
    body: ProjectNamed;
    answer: Project;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/projects/{project_id}": {
    query: undefined;
    body: undefined;
    answer: Project;
    headers: { "If-None-Match"?: string };
  };
  "PATCH /v1/projects/{project_id}": {
    query: undefined;
    body: ProjectChange;
    answer: Project;
    headers: { "If-Match"?: string };
  };
  "DELETE /v1/projects/{project_id}": {
    query: { confirm?: string | null };
    body: undefined;
    answer: undefined;
    headers: { "If-Match"?: string };
  };
  "POST /v1/projects/{project_id}/restore": {
    query: undefined;
    body: undefined;
    answer: Project;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/conversations/{conversation_id}/export": {
    query: { format?: "markdown" | "json" };
    body: undefined;
    answer: Record<string, unknown>;
    headers: undefined;
  };
  "POST /v1/conversations/{conversation_id}/shares": {
    query: undefined;
    body: undefined;
    answer: NewShare;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/conversations/{conversation_id}/shares": {
    query: undefined;
    body: undefined;
    answer: Shares;
    headers: undefined;
  };
  "DELETE /v1/conversations/{conversation_id}/shares/{share_id}": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "GET /v1/shared/{token}": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: SharedConversation;
    headers: undefined;
  };
  "GET /v1/projects/{project_id}/conversations": {
    query: { archived?: boolean; deleted?: boolean; pinned?: boolean; q?: string | null; limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageConversation;
    headers: undefined;
  };
  "POST /v1/projects/{project_id}/conversations": {
    query: undefined;
    body: NewConversation;
    answer: Conversation | ConversationNamed;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/conversations/{conversation_id}": {
    query: undefined;
    body: undefined;
    answer: Conversation;
    headers: { "If-None-Match"?: string };
  };
  "PATCH /v1/conversations/{conversation_id}": {
    query: undefined;
    body: ConversationChange;
    answer: Conversation | ConversationNamed;
    headers: { "If-Match"?: string };
  };
  "DELETE /v1/conversations/{conversation_id}": {
    query: undefined;
    body: undefined;
    answer: ConversationNamed | undefined;
    headers: undefined;
  };
  "POST /v1/conversations/{conversation_id}/restore": {
    query: undefined;
    body: undefined;
    answer: Conversation | ConversationNamed;
    headers: { "Idempotency-Key"?: string };
  };
  "PUT /v1/conversations/{conversation_id}/pin": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "DELETE /v1/conversations/{conversation_id}/pin": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "GET /v1/conversations/{conversation_id}/messages": {
    query: { after?: string | null; before?: string | null; limit?: number };
    body: undefined;
    answer: Messages;
    headers: undefined;
  };
  "POST /v1/conversations/{conversation_id}/messages": {
    query: undefined;
    body: NewMessage;
    answer: MessageSent;
    headers: undefined;
  };
  "POST /v1/conversations/{conversation_id}/messages/{message_id}/regenerate": {
    query: undefined;
    body: AnswerAgain;
    answer: RunNamed;
    headers: undefined;
  };
  "GET /v1/conversations/{conversation_id}/runs/{run_id}": {
    query: undefined;
    body: undefined;
    answer: Run;
    headers: undefined;
  };
  "POST /v1/conversations/{conversation_id}/runs/{run_id}/cancel": {
    query: undefined;
    body: undefined;
    answer: RunStatus;
    headers: undefined;
  };
  "GET /v1/conversations/{conversation_id}/runs/{run_id}/events": {
    query: { after_seq?: number };
    body: undefined;
    answer: RunEvents;
    headers: { "Last-Event-Id"?: string };
  };
  "GET /v1/projects/{project_id}/agents": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageAgent;
    headers: undefined;
  };
  "POST /v1/projects/{project_id}/agents": {
    query: undefined;
    body: NewAgent;
    answer: Agent;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/agents/{agent_id}": {
    query: undefined;
    body: undefined;
    answer: Agent;
    headers: { "If-None-Match"?: string };
  };
  "PATCH /v1/agents/{agent_id}": {
    query: undefined;
    body: AgentChange;
    answer: Agent;
    headers: { "If-Match"?: string };
  };
  "DELETE /v1/agents/{agent_id}": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: { "If-Match"?: string };
  };
  "GET /v1/agents/{agent_id}/versions": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageAgentVersion;
    headers: undefined;
  };
  "GET /v1/projects/{project_id}/wallet": {
    query: undefined;
    body: undefined;
    answer: Wallet;
    headers: undefined;
  };
  "POST /v1/projects/{project_id}/credits": {
    query: undefined;
    body: NewCredit;
    answer: Credited;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/projects/{project_id}/ledger": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageLedgerEntry;
    headers: undefined;
  };
  "POST /v1/projects/{project_id}/ledger/{transaction_id}/reverse": {
    query: undefined;
    body: Reversal;
    answer: Credited;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/agents/{agent_id}/prices": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: PagePrice;
    headers: undefined;
  };
  "PUT /v1/agents/{agent_id}/price": {
    query: undefined;
    body: NewPrice;
    answer: Price;
    headers: undefined;
  };
  "GET /v1/projects/{project_id}/usage": {
    query: { from?: string | null; to?: string | null; group_by?: string };
    body: undefined;
    answer: UsageReport;
    headers: undefined;
  };
  "GET /v1/projects/{project_id}/statements": {
    query: undefined;
    body: undefined;
    answer: Months;
    headers: undefined;
  };
  "GET /v1/projects/{project_id}/statements/{month}": {
    query: undefined;
    body: undefined;
    answer: Statement;
    headers: undefined;
  };
  "GET /v1/projects/{project_id}/budgets": {
    query: undefined;
    body: undefined;
    answer: Budgets;
    headers: undefined;
  };
  "PUT /v1/projects/{project_id}/budgets": {
    query: undefined;
    body: NewBudgets;
    answer: Budgets;
    headers: undefined;
  };
  "GET /v1/search": {
    query: { q: string; project_id?: string | null; limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageHit;
    headers: undefined;
  };
  "GET /v1/projects/{project_id}/audit": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageEntry;
    headers: undefined;
  };
  "GET /v1/notifications": {
    query: { unread?: boolean; limit?: number; cursor?: string | null };
    body: undefined;
    answer: Notifications;
    headers: undefined;
  };
  "POST /v1/notifications/read": {
    query: undefined;
    body: Read;
    answer: Unread;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/notifications/preferences": {
    query: undefined;
    body: undefined;
    answer: Preferences;
    headers: undefined;
  };
  "PUT /v1/notifications/preferences": {
    query: undefined;
    body: Preferences;
    answer: Preferences;
    headers: undefined;
  };
  "GET /v1/projects/{project_id}/webhooks": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageWebhook;
    headers: undefined;
  };
  "POST /v1/projects/{project_id}/webhooks": {
    query: undefined;
    body: NewWebhook;
    answer: WebhookWithSecret;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/projects/{project_id}/webhooks/{webhook_id}": {
    query: undefined;
    body: undefined;
    answer: Webhook;
    headers: { "If-None-Match"?: string };
  };
  "PATCH /v1/projects/{project_id}/webhooks/{webhook_id}": {
    query: undefined;
    body: WebhookChange;
    answer: Webhook;
    headers: { "If-Match"?: string };
  };
  "DELETE /v1/projects/{project_id}/webhooks/{webhook_id}": {
    query: undefined;
    body: undefined;
    answer: undefined;
    headers: undefined;
  };
  "POST /v1/projects/{project_id}/webhooks/{webhook_id}/secret": {
    query: undefined;
    body: undefined;
    answer: WebhookWithSecret;
    headers: { "Idempotency-Key"?: string };
  };
  "POST /v1/projects/{project_id}/webhooks/{webhook_id}/test": {
    query: undefined;
    body: undefined;
    answer: Testing;
    headers: { "Idempotency-Key"?: string };
  };
  "GET /v1/projects/{project_id}/webhooks/{webhook_id}/deliveries": {
    query: { limit?: number; cursor?: string | null };
    body: undefined;
    answer: PageDelivery;
    headers: undefined;
  };
  "GET /v1/config": {
    query: undefined;
    body: undefined;
    answer: Config;
    headers: undefined;
  };
}

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

export interface Channels {
  app?: boolean;
  webhook?: boolean;
  email?: boolean;
}

export interface Config {
  ws_url: string;
  version: string;
  oauth_providers: string[];
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

export interface NewAgent {
  name: string;
  config: OpenAIConfig | ScriptedConfig;
}

export interface NewConversation {
  id?: string | null;
  title?: string | null;
  agent_id?: string | null;
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

export interface PageMember {
  data: Member[];
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

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  errors?: FieldError[] | null;
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
    body: Forgot;
    answer: undefined;
  };
  "POST /v1/auth/password/reset": {
    body: Reset;
    answer: undefined;
  };
  "POST /v1/auth/email/verify/send": {
    body: undefined;
    answer: undefined;
  };
  "POST /v1/auth/email/verify": {
    body: Verify;
    answer: undefined;
  };
  "GET /v1/auth/oauth/{provider}/start": {
    body: undefined;
    answer: undefined;
  };
  "GET /v1/auth/oauth/{provider}/callback": {
    body: undefined;
    answer: undefined;
  };
  "POST /v1/auth/oauth/facebook/deletion": {
    body: undefined;
    answer: Forgetting;
  };
  "GET /v1/auth/oauth/facebook/deletion/{code}": {
    body: undefined;
    answer: Forgotten;
  };
  "POST /v1/auth/register": {
    body: SignUp;
    answer: SignedIn;
  };
  "POST /v1/auth/login": {
    body: SignIn;
    answer: SignedIn;
  };
  "POST /v1/auth/refresh": {
    body: Refresh | null;
    answer: SignedIn;
  };
  "POST /v1/auth/logout": {
    body: SignOut | null;
    answer: undefined;
  };
  "GET /v1/users/me/identities": {
    body: undefined;
    answer: Identities;
  };
  "POST /v1/users/me/identities/{provider}/start": {
    body: WayWanted | null;
    answer: Way;
  };
  "DELETE /v1/users/me/identities/{provider}": {
    body: undefined;
    answer: undefined;
  };
  "POST /v1/users/me/password": {
    body: PasswordChange;
    answer: undefined;
  };
  "GET /v1/users/me/sessions": {
    body: undefined;
    answer: PageSession;
  };
  "DELETE /v1/users/me/sessions/{session_id}": {
    body: undefined;
    answer: undefined;
  };
  "GET /v1/users/me": {
    body: undefined;
    answer: User;
  };
  "DELETE /v1/users/me": {
    body: Farewell;
    answer: Receipt;
  };
  "PATCH /v1/users/me": {
    body: ProfileChange;
    answer: User;
  };
  "GET /v1/users/me/export": {
    body: undefined;
    answer: Blob;
  };
  "GET /v1/erasures/{receipt_id}": {
    body: undefined;
    answer: Erasure;
  };
  "GET /v1/projects/{project_id}/members": {
    body: undefined;
    answer: PageMember;
  };
  "POST /v1/projects/{project_id}/members": {
    body: NewMember;
    answer: Member | Invited;
  };
  "PATCH /v1/projects/{project_id}/members/{user_id}": {
    body: RoleChange;
    answer: Member;
  };
  "DELETE /v1/projects/{project_id}/members/{user_id}": {
    body: undefined;
    answer: undefined;
  };
  "POST /v1/projects/{project_id}/transfer": {
    body: NewOwner;
    answer: Member;
  };
  "GET /v1/projects/{project_id}/invitations": {
    body: undefined;
    answer: PageInvited;
  };
  "DELETE /v1/projects/{project_id}/invitations/{invitation_id}": {
    body: undefined;
    answer: undefined;
  };
  "POST /v1/invitations/accept": {
    body: Acceptance;
    answer: Project;
  };
  "GET /v1/projects": {
    body: undefined;
    answer: PageProject;
  };
  "POST /v1/projects": {
    body: ProjectNamed;
    answer: Project;
  };
  "GET /v1/projects/{project_id}": {
    body: undefined;
    answer: Project;
  };
  "PATCH /v1/projects/{project_id}": {
    body: ProjectChange;
    answer: Project;
  };
  "DELETE /v1/projects/{project_id}": {
    body: undefined;
    answer: undefined;
  };
  "POST /v1/projects/{project_id}/restore": {
    body: undefined;
    answer: Project;
  };
  "GET /v1/conversations/{conversation_id}/export": {
    body: undefined;
    answer: Record<string, unknown>;
  };
  "POST /v1/conversations/{conversation_id}/shares": {
    body: undefined;
    answer: NewShare;
  };
  "GET /v1/conversations/{conversation_id}/shares": {
    body: undefined;
    answer: Shares;
  };
  "DELETE /v1/conversations/{conversation_id}/shares/{share_id}": {
    body: undefined;
    answer: undefined;
  };
  "GET /v1/shared/{token}": {
    body: undefined;
    answer: SharedConversation;
  };
  "GET /v1/projects/{project_id}/conversations": {
    body: undefined;
    answer: PageConversation;
  };
  "POST /v1/projects/{project_id}/conversations": {
    body: NewConversation;
    answer: Conversation | ConversationNamed;
  };
  "GET /v1/conversations/{conversation_id}": {
    body: undefined;
    answer: Conversation;
  };
  "PATCH /v1/conversations/{conversation_id}": {
    body: ConversationChange;
    answer: Conversation | ConversationNamed;
  };
  "DELETE /v1/conversations/{conversation_id}": {
    body: undefined;
    answer: ConversationNamed | undefined;
  };
  "POST /v1/conversations/{conversation_id}/restore": {
    body: undefined;
    answer: Conversation | ConversationNamed;
  };
  "PUT /v1/conversations/{conversation_id}/pin": {
    body: undefined;
    answer: undefined;
  };
  "DELETE /v1/conversations/{conversation_id}/pin": {
    body: undefined;
    answer: undefined;
  };
  "GET /v1/conversations/{conversation_id}/messages": {
    body: undefined;
    answer: Messages;
  };
  "POST /v1/conversations/{conversation_id}/messages": {
    body: NewMessage;
    answer: MessageSent;
  };
  "POST /v1/conversations/{conversation_id}/messages/{message_id}/regenerate": {
    body: AnswerAgain;
    answer: RunNamed;
  };
  "GET /v1/conversations/{conversation_id}/runs/{run_id}": {
    body: undefined;
    answer: Run;
  };
  "POST /v1/conversations/{conversation_id}/runs/{run_id}/cancel": {
    body: undefined;
    answer: RunStatus;
  };
  "GET /v1/conversations/{conversation_id}/runs/{run_id}/events": {
    body: undefined;
    answer: RunEvents;
  };
  "GET /v1/projects/{project_id}/agents": {
    body: undefined;
    answer: PageAgent;
  };
  "POST /v1/projects/{project_id}/agents": {
    body: NewAgent;
    answer: Agent;
  };
  "GET /v1/agents/{agent_id}": {
    body: undefined;
    answer: Agent;
  };
  "PATCH /v1/agents/{agent_id}": {
    body: AgentChange;
    answer: Agent;
  };
  "DELETE /v1/agents/{agent_id}": {
    body: undefined;
    answer: undefined;
  };
  "GET /v1/agents/{agent_id}/versions": {
    body: undefined;
    answer: PageAgentVersion;
  };
  "GET /v1/search": {
    body: undefined;
    answer: PageHit;
  };
  "GET /v1/projects/{project_id}/audit": {
    body: undefined;
    answer: PageEntry;
  };
  "GET /v1/notifications": {
    body: undefined;
    answer: Notifications;
  };
  "POST /v1/notifications/read": {
    body: Read;
    answer: Unread;
  };
  "GET /v1/notifications/preferences": {
    body: undefined;
    answer: Preferences;
  };
  "PUT /v1/notifications/preferences": {
    body: Preferences;
    answer: Preferences;
  };
  "GET /v1/projects/{project_id}/webhooks": {
    body: undefined;
    answer: PageWebhook;
  };
  "POST /v1/projects/{project_id}/webhooks": {
    body: NewWebhook;
    answer: WebhookWithSecret;
  };
  "PATCH /v1/projects/{project_id}/webhooks/{webhook_id}": {
    body: WebhookChange;
    answer: Webhook;
  };
  "DELETE /v1/projects/{project_id}/webhooks/{webhook_id}": {
    body: undefined;
    answer: undefined;
  };
  "POST /v1/projects/{project_id}/webhooks/{webhook_id}/secret": {
    body: undefined;
    answer: WebhookWithSecret;
  };
  "POST /v1/projects/{project_id}/webhooks/{webhook_id}/test": {
    body: undefined;
    answer: Testing;
  };
  "GET /v1/projects/{project_id}/webhooks/{webhook_id}/deliveries": {
    body: undefined;
    answer: PageDelivery;
  };
  "GET /v1/config": {
    body: undefined;
    answer: Config;
  };
}

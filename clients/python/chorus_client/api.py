"""Chorus' REST API: its types, and a method for each operation.

Written by `python -m clients.generate` from the OpenAPI document; not by hand.
"""
# ruff: noqa: E501

from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from chorus_client.calling import Caller


class Acceptance(Struct, kw_only=True):
    token: str


class Agent(Struct, kw_only=True):
    """`version` counts the changes of `config`, in which no secret is shown: `has_secret` says whether there is one."""

    id: str
    project_id: str
    name: str
    version: int
    config: dict[str, Any]
    created_at: datetime


class AgentChange(Struct, kw_only=True):
    """What is absent stays as it is. A `config` is the whole of it, and makes a new version."""

    name: str | None | UnsetType = UNSET
    config: Any = UNSET


class AgentVersion(Struct, kw_only=True):
    """How the agent was from `created_at` on, until the next version."""

    version: int
    config: dict[str, Any]
    created_at: datetime


class AnswerAgain(Struct, kw_only=True):
    client_request_id: str


class Attempt(Struct, kw_only=True):
    """`status` is what the receiver answered; without an answer `error` says why."""

    at: datetime
    took_ms: int
    status: int | None
    error: str | None


class Budget(Struct, kw_only=True):
    """What has counted in its present period: `spent_micros` was charged, `reserved_micros` is held for answers that
    are being made. Periods begin by UTC, weeks with Monday."""

    id: str
    user_id: str | None
    agent_id: str | None
    period: str
    limit_micros: int
    hard: bool
    spent_micros: int
    reserved_micros: int
    starts_at: datetime
    ends_at: datetime


class Budgets(Struct, kw_only=True):
    data: list["Budget"]


class Channels(Struct, kw_only=True):
    """By which channels one kind of notification is told."""

    app: bool | UnsetType = UNSET
    webhook: bool | UnsetType = UNSET
    email: bool | UnsetType = UNSET


class Charged(Struct, kw_only=True):
    """What an agent's answers were charged in the month."""

    agent_id: str
    runs: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    charged_micros: int


class Config(Struct, kw_only=True):
    """`treasurers`: credit, reversals and prices are for people whom the installation names, and not for the owners and
    admins of a project."""

    ws_url: str
    version: str
    oauth_providers: list[str]
    treasurers: bool
    limits: "Limits"


class Conversation(Struct, kw_only=True):
    """`pinned` is the caller's own. One that is deleted waits in the bin since `deleted_at`."""

    id: str
    project_id: str
    title: str | None
    archived: bool
    deleted: bool
    agent_id: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET


class ConversationChange(Struct, kw_only=True):
    """What is absent stays as it is."""

    title: str | None | UnsetType = UNSET
    archived: bool | None | UnsetType = UNSET
    agent_id: str | None | UnsetType = UNSET


class ConversationNamed(Struct, kw_only=True):
    """It is safe, and readable in a moment."""

    id: str


class Credited(Struct, kw_only=True):
    transaction_id: str
    wallet: "Wallet"


class Delivery(Struct, kw_only=True):
    """`id` is the `webhook-id`. `next_at` is when it is attempted next; null where it is not."""

    id: str
    type: str
    status: str
    created_at: datetime
    next_at: datetime | None
    attempts: list["Attempt"]


class Delta(Struct, kw_only=True):
    """Deltas `from_seq` … `seq`, their texts joined."""

    from_seq: int
    seq: int
    text: str


class Entry(Struct, kw_only=True):
    """`event` is a name of OWASP's logging vocabulary, `result` is `success` or `failure`.

    `actor_id` did it, to `user_id` where that is somebody else; `address` is where the request came from, null where
    that person has been erased."""

    id: str
    at: datetime
    event: str
    result: str
    actor_id: str | None
    user_id: str | None
    address: str | None
    request_id: str | None
    what: dict[str, Any]


class Erasure(Struct, kw_only=True):
    """`done_at` is null until the last copy has been looked at."""

    id: str
    asked_at: datetime
    done_at: datetime | None


class Farewell(Struct, kw_only=True):
    """`confirm` is the e-mail address of the account: nobody deletes it by mistake."""

    confirm: str


class FieldError(Struct, kw_only=True):
    field: str
    message: str


class Forgetting(Struct, kw_only=True):
    """What Facebook shows to whoever asked: where to look, and what to look for."""

    url: str
    confirmation_code: str


class Forgot(Struct, kw_only=True):
    email: str


class Forgotten(Struct, kw_only=True):
    """`outcome`: `deleted` (the account, which nothing else opened), `unlinked` (it has other ways in), `kept` (it
    alone owns projects that others are in, and is now opened by nothing of Facebook's), `unknown`."""

    outcome: str
    asked_at: datetime


class Hit(Struct, kw_only=True):
    """A message; without `message_id` it is the conversation's title that matches.

    `cursor` is the message's place in its conversation, as in a list of messages. `rank` compares hits of one query."""

    conversation_id: str
    conversation_title: str | None
    project_id: str
    archived: bool
    message_id: str | None
    role: str | None
    author_id: str | None
    created_at: datetime
    cursor: str | None
    snippet: list["Segment"]
    rank: float


class Identities(Struct, kw_only=True):
    data: list["OneIdentity"]
    has_password: bool


class Invited(Struct, kw_only=True):
    """Somebody who was asked to join by mail, and has not yet."""

    status: str | UnsetType = UNSET
    invitation_id: str
    email: str
    role: str
    invited_by: str | None
    created_at: datetime
    expires_at: datetime


class KeptThing(Struct, kw_only=True):
    what: str
    why: str


class LedgerEntry(Struct, kw_only=True):
    """One side of a transaction, whose entries add up to nothing. What is added to an account has a plus."""

    id: str
    transaction_id: str
    account: str
    kind: str
    amount_micros: int
    currency: str
    run_id: str | None
    reverses_id: str | None
    by_user_id: str | None
    note: str | None
    occurred_at: datetime
    recorded_at: datetime


class Limits(Struct, kw_only=True):
    max_content_characters: int
    max_title_characters: int
    max_frame_bytes: int
    max_body_bytes: int
    max_page: int


class Member(Struct, kw_only=True):
    status: str | UnsetType = UNSET
    user_id: str
    email: str | None
    display_name: str
    role: str
    created_at: datetime


class Message(Struct, kw_only=True):
    """`deleted`: its text is gone with its owner's key."""

    cursor: str
    id: str
    role: str
    author_id: str | None
    agent_id: str | None
    content: str
    run_id: str | None
    parent_message_id: str | None
    created_at: datetime
    finish_reason: str | None
    usage: "Usage | None"
    deleted: bool
    client_message_id: str | None


class MessageSent(Struct, kw_only=True):
    """`run_id` is null where no agent answers. With `cursor` the message can be read at once."""

    message_id: str
    run_id: str | None
    cursor: str | None | UnsetType = UNSET


class Messages(Struct, kw_only=True):
    """`top` is the newest position of the conversation; `epoch` the first half of every cursor in it."""

    data: list["Message"]
    epoch: str
    top: int


class Months(Struct, kw_only=True):
    """Those that have a statement, newest first."""

    data: list[str]


class NewAgent(Struct, kw_only=True):
    name: str
    config: Any


class NewBudget(Struct, kw_only=True):
    """Without `user_id` for everybody together, without `agent_id` for all agents. A `hard` one holds: no answer begins
    that it does not pay for; another one only tells."""

    user_id: str | None | UnsetType = UNSET
    agent_id: str | None | UnsetType = UNSET
    period: str
    limit_micros: int
    hard: bool | UnsetType = UNSET


class NewBudgets(Struct, kw_only=True):
    data: list["NewBudget"]


class NewConversation(Struct, kw_only=True):
    """The same `id` again starts nothing new. Without `agent_id` the project's default agent answers; with null nobody
    does."""

    id: str | None | UnsetType = UNSET
    title: str | None | UnsetType = UNSET
    agent_id: str | None | UnsetType = UNSET


class NewCredit(Struct, kw_only=True):
    """The same `credit_id` again is the same credit, and is given once."""

    amount_micros: int
    currency: str | UnsetType = UNSET
    note: str | None | UnsetType = UNSET
    credit_id: str | None | UnsetType = UNSET


class NewFigures(Struct, kw_only=True):
    """What answers cost: for 1,000,000 tokens of each kind, and for each call. Without `cached_input_micros`, what the
    provider had in its cache costs as much as the rest of the input."""

    currency: str | UnsetType = UNSET
    input_micros: int
    output_micros: int
    cached_input_micros: int | None | UnsetType = UNSET
    call_micros: int | UnsetType = UNSET


class NewMember(Struct, kw_only=True):
    email: str
    role: "Role"


class NewMessage(Struct, kw_only=True):
    """The same `client_message_id` again gives the same answer and has no other effect.

    Without `agent_id` the conversation's agent answers; with null nobody does."""

    client_message_id: str
    content: str
    agent_id: str | None | UnsetType = UNSET
    when_busy: str | UnsetType = UNSET
    edits: str | None | UnsetType = UNSET


class NewOwner(Struct, kw_only=True):
    user_id: str


class NewPrice(Struct, kw_only=True):
    """From the next question on. With `model`, while the agent uses that model; `price` null: its answers are free."""

    price: "NewFigures | None"
    model: str | None | UnsetType = UNSET


class NewShare(Struct, kw_only=True):
    """`token`, and with it `url` (an address of the page), are shown this once."""

    id: str
    created_by: str
    created_at: datetime
    token: str
    url: str


class NewWebhook(Struct, kw_only=True):
    """`kinds` says which notifications are sent; none, or absent: all, also those that come to be."""

    url: str
    kinds: list["Kind"] | UnsetType = UNSET


class Notification(Struct, kw_only=True):
    """`kind` says why one is told: `mention`, `answer` (one's own has ended unseen), `invitation`, `budget`,
    `deployment`, `training`; others may come. `data` says what it is about, by ids. Newest first is by `created_at`."""

    id: str
    kind: str
    project_id: str
    data: dict[str, Any]
    occurred_at: datetime
    created_at: datetime
    read: bool


class Notifications(Struct, kw_only=True):
    """`unread` counts all that are unread, on whatever page."""

    data: list["Notification"]
    next_cursor: str | None
    unread: int


class OneIdentity(Struct, kw_only=True):
    """`email` is what the provider said last; it need not be the account's."""

    provider: str
    email: str | None
    created_at: datetime


class OpenAIConfig(Struct, kw_only=True):
    """An OpenAI-compatible server.

    Without `url` and `model` the platform's own answers. `secret` is sent to the server as a bearer token, and never
    shown: null takes it away; absent it stays, as long as `url` does."""

    kind: str
    url: str | None | UnsetType = UNSET
    model: str | None | UnsetType = UNSET
    system_prompt: str | UnsetType = UNSET
    params: "Params | UnsetType" = UNSET
    context_messages: int | UnsetType = UNSET
    context_tokens: int | UnsetType = UNSET
    timeouts: "Timeouts | UnsetType" = UNSET
    secret: str | None | UnsetType = UNSET


class PageAgentVersion(Struct, kw_only=True):
    data: list["AgentVersion"]
    next_cursor: str | None


class PageAgent(Struct, kw_only=True):
    data: list["Agent"]
    next_cursor: str | None


class PageConversation(Struct, kw_only=True):
    data: list["Conversation"]
    next_cursor: str | None


class PageDelivery(Struct, kw_only=True):
    data: list["Delivery"]
    next_cursor: str | None


class PageEntry(Struct, kw_only=True):
    data: list["Entry"]
    next_cursor: str | None


class PageHit(Struct, kw_only=True):
    data: list["Hit"]
    next_cursor: str | None


class PageInvited(Struct, kw_only=True):
    data: list["Invited"]
    next_cursor: str | None


class PageLedgerEntry(Struct, kw_only=True):
    data: list["LedgerEntry"]
    next_cursor: str | None


class PageMember(Struct, kw_only=True):
    data: list["Member"]
    next_cursor: str | None


class PagePrice(Struct, kw_only=True):
    data: list["Price"]
    next_cursor: str | None


class PageProject(Struct, kw_only=True):
    data: list["Project"]
    next_cursor: str | None


class PageSession(Struct, kw_only=True):
    data: list["Session"]
    next_cursor: str | None


class PageWebhook(Struct, kw_only=True):
    data: list["Webhook"]
    next_cursor: str | None


class Params(Struct, kw_only=True):
    """The model's own; what is absent is left to the model."""

    temperature: float | None | UnsetType = UNSET
    top_p: float | None | UnsetType = UNSET
    top_k: int | None | UnsetType = UNSET
    min_p: float | None | UnsetType = UNSET
    max_tokens: int | None | UnsetType = UNSET
    max_completion_tokens: int | None | UnsetType = UNSET
    presence_penalty: float | None | UnsetType = UNSET
    frequency_penalty: float | None | UnsetType = UNSET
    repetition_penalty: float | None | UnsetType = UNSET
    reasoning_effort: str | None | UnsetType = UNSET
    seed: int | None | UnsetType = UNSET
    stop: list[str] | None | UnsetType = UNSET


class PasswordChange(Struct, kw_only=True):
    """`current_password` is needed where there is one."""

    current_password: str | None | UnsetType = UNSET
    new_password: str


class Preferences(Struct, kw_only=True):
    """What is absent is told by every channel but mail."""

    mention: "Channels | UnsetType" = UNSET
    answer: "Channels | UnsetType" = UNSET
    invitation: "Channels | UnsetType" = UNSET
    budget: "Channels | UnsetType" = UNSET
    deployment: "Channels | UnsetType" = UNSET
    training: "Channels | UnsetType" = UNSET


class Price(Struct, kw_only=True):
    """`version` is named by every answer that was charged with it. A price never changes."""

    version: int
    model: str | None
    price: "PriceFigures | None"
    created_at: datetime


class PriceFigures(Struct, kw_only=True):
    """For 1,000,000 tokens of each kind, and for each call, in millionths of the currency's unit."""

    currency: str
    input_micros: int
    cached_input_micros: int
    output_micros: int
    call_micros: int


class Problem(Struct, kw_only=True):
    """RFC 9457. `code` is from one table, for REST and the WebSocket alike. `retry_after_ms`: milliseconds after which
    the same request may succeed, where that is known."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list["FieldError"] | None | UnsetType = UNSET
    retry_after_ms: int | None | UnsetType = UNSET


class ProfileChange(Struct, kw_only=True):
    display_name: str | None | UnsetType = UNSET


class Project(Struct, kw_only=True):
    """`role` is the caller's own. One that is deleted waits to be restored since `deleted_at`."""

    id: str
    name: str
    role: str
    default_agent_id: str | None
    created_at: datetime
    deleted_at: datetime | None | UnsetType = UNSET


class ProjectChange(Struct, kw_only=True):
    name: str | None | UnsetType = UNSET
    default_agent_id: str | None | UnsetType = UNSET


class ProjectNamed(Struct, kw_only=True):
    name: str


class Read(Struct, kw_only=True):
    up_to: str


class Receipt(Struct, kw_only=True):
    """What was done, and what stays and why. `id` asks for `/v1/erasures/{id}`, which says when all of it is done."""

    id: str
    user_id: str
    at: datetime
    done: list[str]
    kept: list["KeptThing"]


class Refresh(Struct, kw_only=True):
    """Without a token the one in the cookie is taken."""

    refresh_token: str | None | UnsetType = UNSET


class Reset(Struct, kw_only=True):
    token: str
    password: str


class Reversal(Struct, kw_only=True):
    """`note` says why, to whoever reads the books."""

    note: str


class RoleChange(Struct, kw_only=True):
    role: "Role"


class Run(Struct, kw_only=True):
    """`message_id` is the answer's, `question_id` what it answers; `attempt` counts the calls of the agent."""

    run_id: str
    conversation_id: str
    message_id: str
    question_id: str
    agent_id: str
    status: str
    attempt: int
    last_seq: int
    finish_reason: str | None
    usage: "Usage | None"
    error: "RunError | None"
    queued_at: datetime
    requested_at: datetime | None
    ended_at: datetime | None


class RunError(Struct, kw_only=True):
    code: str
    message: str


class RunEvents(Struct, kw_only=True):
    """The deltas of the newest attempt. Where the first `from_seq` is 1, what came before it is to be forgotten."""

    run_id: str
    status: str
    attempt: int
    data: list["Delta"]


class RunNamed(Struct, kw_only=True):
    run_id: str


class RunStatus(Struct, kw_only=True):
    status: str


class ScriptedConfig(Struct, kw_only=True):
    """Says what the message directs, for trials and demonstrations: `tokens` words, one every `delay_ms`."""

    kind: str
    tokens: int | UnsetType = UNSET
    delay_ms: int | UnsetType = UNSET
    context_messages: int | UnsetType = UNSET


class Segment(Struct, kw_only=True):
    """`match`: this is what was looked for. Segments are plain text, never markup; joined they are an excerpt."""

    text: str
    match: bool


class Session(Struct, kw_only=True):
    """`last_used_at` is when its tokens were last renewed. `current`: it is what asks."""

    id: str
    created_at: datetime
    last_used_at: datetime
    current: bool


class Share(Struct, kw_only=True):
    """`created_by` shared what had been said by `created_at`."""

    id: str
    created_by: str
    created_at: datetime


class SharedConversation(Struct, kw_only=True):
    """What was said up to `shared_at`, oldest first. `title` is null where it has changed since."""

    title: str | None
    shared_at: datetime
    messages: list["SharedMessage"]
    next_cursor: str | None


class SharedMessage(Struct, kw_only=True):
    """`author` is a name, of a person or an agent; `deleted` where there is none any more."""

    role: str
    author: str
    content: str
    deleted: bool
    created_at: datetime


class Shares(Struct, kw_only=True):
    data: list["Share"]


class SignIn(Struct, kw_only=True):
    email: str
    password: str


class SignOut(Struct, kw_only=True):
    """`everywhere` ends all sign-ins of the caller, who is then named by an access token. Without a token the one in
    the cookie is taken."""

    refresh_token: str | None | UnsetType = UNSET
    everywhere: bool | UnsetType = UNSET


class SignUp(Struct, kw_only=True):
    email: str
    password: str
    display_name: str


class SignedIn(Struct, kw_only=True):
    """`expires_in` is how many seconds the access token is good for. `refresh_token` is null where it came as a cookie,
    and goes back as one."""

    user: "User"
    access_token: str
    refresh_token: str | None
    token_type: str | UnsetType = UNSET
    expires_in: int


class Statement(Struct, kw_only=True):
    """`opening` + `credit` - `charged` + `reversed` = `closing`. `late_micros` of `charged_micros` are for answers that
    ended in an earlier month. Once it has `ended` nothing of it changes."""

    month: str
    currency: str
    opening_micros: int
    credit_micros: int
    charged_micros: int
    late_micros: int
    reversed_micros: int
    closing_micros: int
    charges: list["Charged"]
    ended: bool


class Testing(Struct, kw_only=True):
    """What to look for among the deliveries."""

    delivery_id: str


class Timeouts(Struct, kw_only=True):
    """Seconds; what is absent is as for every agent."""

    connect_s: float | None | UnsetType = UNSET
    first_token_s: float | None | UnsetType = UNSET
    between_tokens_s: float | None | UnsetType = UNSET
    whole_s: float | None | UnsetType = UNSET
    retry_s: float | None | UnsetType = UNSET
    usage_s: float | None | UnsetType = UNSET


class Unread(Struct, kw_only=True):
    unread: int


class Usage(Struct, kw_only=True):
    """`source` is `provider`, or `estimated` where the agent said nothing. `price_version` is null where the answer was
    free."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    from_cache: bool
    source: str
    cost_micros: int
    currency: str
    price_version: int | None | UnsetType = UNSET


class UsageReport(Struct, kw_only=True):
    """Answers that ended from `starts_at` to before `ends_at`; `total` has one row for each currency."""

    starts_at: datetime
    ends_at: datetime
    group_by: list[str]
    data: list["UsageRow"]
    total: list["UsageRow"]


class UsageRow(Struct, kw_only=True):
    """What some answers took; null: of all days, people or agents. `charged_micros` of `cost_micros` were taken from
    the wallet. `estimated_runs` are those whose provider told no usage."""

    day: str | None
    user_id: str | None
    agent_id: str | None
    runs: int
    estimated_runs: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_micros: int
    charged_micros: int
    currency: str


class User(Struct, kw_only=True):
    """`email` is null where someone came by a provider that tells none."""

    id: str
    email: str | None
    email_verified: bool | UnsetType = UNSET
    display_name: str
    created_at: datetime


class Verify(Struct, kw_only=True):
    token: str


class Wallet(Struct, kw_only=True):
    """`balance_micros` can be spent; `reserved_micros` is held for answers that are being made."""

    currency: str
    balance_micros: int
    reserved_micros: int


class Way(Struct, kw_only=True):
    """Where to send the browser."""

    url: str


class WayWanted(Struct, kw_only=True):
    next: str | UnsetType = UNSET


class Webhook(Struct, kw_only=True):
    """`failing_since`: nothing was delivered since. `disabled_at`: nothing is sent any more, and `disabled_why`."""

    id: str
    url: str
    kinds: list[str]
    created_by: str | None
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_why: str | None


class WebhookChange(Struct, kw_only=True):
    """What is absent stays. `enabled` true also forgets past failures."""

    url: str | None | UnsetType = UNSET
    kinds: list["Kind"] | None | UnsetType = UNSET
    enabled: bool | None | UnsetType = UNSET


class WebhookWithSecret(Struct, kw_only=True):
    """`secret` is shown this once: receivers verify signatures with it."""

    id: str
    url: str
    kinds: list[str]
    created_by: str | None
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_why: str | None
    secret: str


Kind = str


Role = str


class Api(Caller):
    """A method for each operation; every one raises `Problem` where it is refused."""

    async def post_auth_password_forgot(self, body: Forgot) -> None:
        """Mail a link to choose a new password, where there is such a person; the answer is the same where there is none,
        and made before anybody has looked."""
        answer: None = await self.call("POST", "/v1/auth/password/forgot", {202: None}, body=body)
        return answer

    async def post_auth_password_reset(self, body: Reset) -> None:
        """Set a new password by a mailed link. Ends all sign-ins.

        It proves the mailbox, too. Where nothing had before, whoever signed up need not be who reads the mail: every other
        way in goes with the old password."""
        answer: None = await self.call("POST", "/v1/auth/password/reset", {204: None}, body=body)
        return answer

    async def post_auth_email_verify_send(self) -> None:
        """Mail a link that proves that the account's address is the caller's; nothing where that is proven already."""
        answer: None = await self.call("POST", "/v1/auth/email/verify/send", {202: None})
        return answer

    async def post_auth_email_verify(self, body: Verify) -> None:
        """The account's address is proven to be the caller's.

        Only by the account itself: somebody may have signed up with a stranger's address, and the stranger, who finds a
        link in their mail, must not vouch for that account by a click."""
        answer: None = await self.call("POST", "/v1/auth/email/verify", {204: None}, body=body)
        return answer

    async def get_auth_oauth_start(self, provider: str, *, next: str | None = None) -> None:
        """To the provider. The way back is good for ten minutes, once, and in this browser."""
        answer: None = await self.call(
            "GET", f"/v1/auth/oauth/{self.quoted(provider)}/start", {302: None}, query={"next": next}
        )
        return answer

    async def get_auth_oauth_callback(self, provider: str) -> None:
        """Back from the provider: signs in, or adds the identity to whom began so; then on to `next`.

        What goes wrong is told to the page as `/?error=…&provider=…`: `denied` (by the person), `expired` (begun too long
        ago, in another browser, or used already), `provider_failed`, `provider_unavailable`, `email_taken`,
        `identity_taken`, `provider_taken`, `unavailable`."""
        answer: None = await self.call("GET", f"/v1/auth/oauth/{self.quoted(provider)}/callback", {302: None})
        return answer

    async def post_auth_oauth_facebook_deletion(self) -> Forgetting:
        """Facebook's data-deletion callback: somebody removed the app and asked that we forget them."""
        answer: Forgetting = await self.call("POST", "/v1/auth/oauth/facebook/deletion", {200: Forgetting})
        return answer

    async def get_auth_oauth_facebook_deletion(self, code: str) -> Forgotten:
        """What came of such a request."""
        answer: Forgotten = await self.call(
            "GET", f"/v1/auth/oauth/facebook/deletion/{self.quoted(code)}", {200: Forgotten}
        )
        return answer

    async def post_auth_register(self, body: SignUp) -> SignedIn:
        """A new person, with a first project and its agents; they are mailed a link that proves their address.

        They are let in at once, so a taken address has to be told. That it takes as long as a free one, and that one
        address may only try so often, is what keeps a list of addresses from being tried out."""
        answer: SignedIn = await self.call("POST", "/v1/auth/register", {201: SignedIn}, body=body)
        return answer

    async def post_auth_login(self, body: SignIn) -> SignedIn:
        """Unknown people and wrong passwords get the same answer after the same time."""
        answer: SignedIn = await self.call("POST", "/v1/auth/login", {200: SignedIn}, body=body)
        return answer

    async def post_auth_refresh(self, body: Refresh | None) -> SignedIn:
        """The next tokens; the refresh token that was given is spent. Whose came as a cookie gets the next as one."""
        answer: SignedIn = await self.call("POST", "/v1/auth/refresh", {200: SignedIn}, body=body)
        return answer

    async def post_auth_logout(self, body: SignOut | None) -> None:
        """Ends the sign-in that the refresh token belongs to, without one the caller's own, or all of the caller's.

        Afterwards its access tokens are refused, and its sockets are closed with 4503. A refresh token that is unknown or
        spent is no error: the sign-in is over either way."""
        answer: None = await self.call("POST", "/v1/auth/logout", {204: None}, body=body)
        return answer

    async def get_users_me_identities(self) -> Identities:
        """Identities"""
        answer: Identities = await self.call("GET", "/v1/users/me/identities", {200: Identities})
        return answer

    async def post_users_me_identitie_start(self, provider: str, body: WayWanted | None) -> Way:
        """Begin to add an identity; it is added where this browser comes back from the provider."""
        answer: Way = await self.call(
            "POST", f"/v1/users/me/identities/{self.quoted(provider)}/start", {200: Way}, body=body
        )
        return answer

    async def delete_users_me_identitie(self, provider: str) -> None:
        """Remove a way in; refused where nothing else would be left."""
        answer: None = await self.call("DELETE", f"/v1/users/me/identities/{self.quoted(provider)}", {204: None})
        return answer

    async def post_users_me_password(self, body: PasswordChange) -> None:
        """Change the password, or set a first one. Ends all sign-ins: sign in anew with it."""
        answer: None = await self.call("POST", "/v1/users/me/password", {204: None}, body=body)
        return answer

    async def get_users_me_sessions(self) -> PageSession:
        """The caller's sign-ins that go on, last used first; all of them, on one page."""
        answer: PageSession = await self.call("GET", "/v1/users/me/sessions", {200: PageSession})
        return answer

    async def delete_users_me_session(self, session_id: str) -> None:
        """End a sign-in, at once: its access tokens are refused, its sockets closed with 4503."""
        answer: None = await self.call("DELETE", f"/v1/users/me/sessions/{self.quoted(session_id)}", {204: None})
        return answer

    async def get_users_me(self, *, if_none_match: str | None = None) -> User:
        """Me"""
        answer: User = await self.call("GET", "/v1/users/me", {200: User}, headers={"If-None-Match": if_none_match})
        return answer

    async def patch_users_me(self, body: ProfileChange, *, if_match: str | None = None) -> User:
        """What is absent stays as it is."""
        answer: User = await self.call("PATCH", "/v1/users/me", {200: User}, body=body, headers={"If-Match": if_match})
        return answer

    async def delete_users_me(self, body: Farewell) -> Receipt:
        """Delete the account and everything of it, for good. There is no way back.

        Refused with 409 while a project with other members has no other owner: hand it over or delete it first."""
        answer: Receipt = await self.call("DELETE", "/v1/users/me", {200: Receipt}, body=body)
        return answer

    async def get_users_me_export(self) -> bytes:
        """Everything of mine: profile, memberships, conversations, messages and their answers, sign-ins, what the audit log
        says of me. A zip that ends early is not whole, and says so when it is opened."""
        answer: bytes = await self.call("GET", "/v1/users/me/export", {200: bytes})
        return answer

    async def get_erasure(self, receipt_id: str) -> Erasure:
        """How far a deletion is. Whoever has the receipt may ask: nobody is left who could sign in."""
        answer: Erasure = await self.call("GET", f"/v1/erasures/{self.quoted(receipt_id)}", {200: Erasure})
        return answer

    async def get_project_members(
        self, project_id: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> PageMember:
        """Who is in the project, in the order in which they came."""
        answer: PageMember = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/members",
            {200: PageMember},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def post_project_members(
        self, project_id: str, body: NewMember, *, idempotency_key: str | None = None
    ) -> Any:
        """Somebody with an account is a member at once (`status` is `active`); anybody else is invited by mail."""
        answer: Any = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/members",
            {201: Any},
            body=body,
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_project_member(self, project_id: str, user_id: str, *, if_none_match: str | None = None) -> Member:
        """One of them, as all members see them."""
        answer: Member = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/members/{self.quoted(user_id)}",
            {200: Member},
            headers={"If-None-Match": if_none_match},
        )
        return answer

    async def patch_project_member(
        self, project_id: str, user_id: str, body: RoleChange, *, if_match: str | None = None
    ) -> Member:
        """Owners are made and unmade by owners, the last one by nobody."""
        answer: Member = await self.call(
            "PATCH",
            f"/v1/projects/{self.quoted(project_id)}/members/{self.quoted(user_id)}",
            {200: Member},
            body=body,
            headers={"If-Match": if_match},
        )
        return answer

    async def delete_project_member(self, project_id: str, user_id: str) -> None:
        """Send somebody away or, oneself, leave. What they said stays; what they watch ends within a second."""
        answer: None = await self.call(
            "DELETE", f"/v1/projects/{self.quoted(project_id)}/members/{self.quoted(user_id)}", {204: None}
        )
        return answer

    async def post_project_transfer(
        self, project_id: str, body: NewOwner, *, idempotency_key: str | None = None
    ) -> Member:
        """Hand the project over to another member, who is its owner then; the caller becomes an admin."""
        answer: Member = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/transfer",
            {200: Member},
            body=body,
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_project_invitations(
        self, project_id: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> PageInvited:
        """Those that are open, oldest first; for those who may invite."""
        answer: PageInvited = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/invitations",
            {200: PageInvited},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def delete_project_invitation(self, project_id: str, invitation_id: str) -> None:
        """The link that was mailed works no longer."""
        answer: None = await self.call(
            "DELETE", f"/v1/projects/{self.quoted(project_id)}/invitations/{self.quoted(invitation_id)}", {204: None}
        )
        return answer

    async def post_invitations_accept(self, body: Acceptance, *, idempotency_key: str | None = None) -> Project:
        """Join the project that one was invited to; the link works once.

        It proves who got the mail, not which address they signed up with: people have several. Who is a member already
        stays what they are."""
        answer: Project = await self.call(
            "POST", "/v1/invitations/accept", {200: Project}, body=body, headers={"Idempotency-Key": idempotency_key}
        )
        return answer

    async def get_projects(
        self, *, deleted: bool | None = None, limit: int | None = None, cursor: str | None | None = None
    ) -> PageProject:
        """The projects that the caller is a member of, oldest first."""
        answer: PageProject = await self.call(
            "GET", "/v1/projects", {200: PageProject}, query={"deleted": deleted, "limit": limit, "cursor": cursor}
        )
        return answer

    async def post_projects(self, body: ProjectNamed, *, idempotency_key: str | None = None) -> Project:
        """Create Project"""
        answer: Project = await self.call(
            "POST", "/v1/projects", {201: Project}, body=body, headers={"Idempotency-Key": idempotency_key}
        )
        return answer

    async def get_project(self, project_id: str, *, if_none_match: str | None = None) -> Project:
        """Project"""
        answer: Project = await self.call(
            "GET", f"/v1/projects/{self.quoted(project_id)}", {200: Project}, headers={"If-None-Match": if_none_match}
        )
        return answer

    async def patch_project(self, project_id: str, body: ProjectChange, *, if_match: str | None = None) -> Project:
        """Owners and admins may. What is absent stays as it is; `default_agent_id` null lets nobody answer."""
        answer: Project = await self.call(
            "PATCH",
            f"/v1/projects/{self.quoted(project_id)}",
            {200: Project},
            body=body,
            headers={"If-Match": if_match},
        )
        return answer

    async def delete_project(
        self, project_id: str, *, confirm: str | None | None = None, if_match: str | None = None
    ) -> None:
        """For everybody, with all that is in it; owners may. Its answers stop. For 30 days an owner can restore it."""
        answer: None = await self.call(
            "DELETE",
            f"/v1/projects/{self.quoted(project_id)}",
            {204: None},
            query={"confirm": confirm},
            headers={"If-Match": if_match},
        )
        return answer

    async def post_project_restore(self, project_id: str, *, idempotency_key: str | None = None) -> Project:
        """Back as it was, with everybody who was in it. The answers that the deletion stopped stay stopped."""
        answer: Project = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/restore",
            {200: Project},
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_conversation_export(self, conversation_id: str, *, format: str | None = None) -> dict[str, Any]:
        """All of a conversation as it is now, every version of every message, as a file."""
        answer: dict[str, Any] = await self.call(
            "GET",
            f"/v1/conversations/{self.quoted(conversation_id)}/export",
            {200: dict[str, Any]},
            query={"format": format},
        )
        return answer

    async def post_conversation_shares(self, conversation_id: str, *, idempotency_key: str | None = None) -> NewShare:
        """Make a link by which anybody may read what has been said so far. What is said later is not shared by it."""
        answer: NewShare = await self.call(
            "POST",
            f"/v1/conversations/{self.quoted(conversation_id)}/shares",
            {201: NewShare},
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_conversation_shares(self, conversation_id: str) -> Shares:
        """The links that are not revoked, oldest first; nobody is shown their tokens again."""
        answer: Shares = await self.call(
            "GET", f"/v1/conversations/{self.quoted(conversation_id)}/shares", {200: Shares}
        )
        return answer

    async def delete_conversation_share(self, conversation_id: str, share_id: str) -> None:
        """Take a link back, whoever made it: from now on it leads nowhere. Doing it again answers the same."""
        answer: None = await self.call(
            "DELETE", f"/v1/conversations/{self.quoted(conversation_id)}/shares/{self.quoted(share_id)}", {204: None}
        )
        return answer

    async def get_shared(
        self, token: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> SharedConversation:
        """What a link shows, to whoever has it; no account is needed. One that was revoked was never there."""
        answer: SharedConversation = await self.call(
            "GET",
            f"/v1/shared/{self.quoted(token)}",
            {200: SharedConversation},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def get_project_conversations(
        self,
        project_id: str,
        *,
        archived: bool | None = None,
        deleted: bool | None = None,
        pinned: bool | None = None,
        q: str | None | None = None,
        limit: int | None = None,
        cursor: str | None | None = None,
    ) -> PageConversation:
        """A project's conversations, newest activity first: those that are archived, those that are not, or the bin."""
        answer: PageConversation = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/conversations",
            {200: PageConversation},
            query={
                "archived": archived,
                "deleted": deleted,
                "pinned": pinned,
                "q": q,
                "limit": limit,
                "cursor": cursor,
            },
        )
        return answer

    async def post_project_conversations(
        self, project_id: str, body: NewConversation, *, idempotency_key: str | None = None
    ) -> Conversation | ConversationNamed:
        """Create Conversation"""
        answer: Conversation | ConversationNamed = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/conversations",
            {201: Conversation, 202: ConversationNamed},
            body=body,
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_conversation(self, conversation_id: str, *, if_none_match: str | None = None) -> Conversation:
        """Conversation"""
        answer: Conversation = await self.call(
            "GET",
            f"/v1/conversations/{self.quoted(conversation_id)}",
            {200: Conversation},
            headers={"If-None-Match": if_none_match},
        )
        return answer

    async def patch_conversation(
        self, conversation_id: str, body: ConversationChange, *, if_match: str | None = None
    ) -> Conversation | ConversationNamed:
        """Rename, archive, restore, or let another agent answer."""
        answer: Conversation | ConversationNamed = await self.call(
            "PATCH",
            f"/v1/conversations/{self.quoted(conversation_id)}",
            {200: Conversation, 202: ConversationNamed},
            body=body,
            headers={"If-Match": if_match},
        )
        return answer

    async def delete_conversation(self, conversation_id: str) -> ConversationNamed | None:
        """Into the bin, for everybody. For 30 days it can be restored; then nothing of it is kept."""
        answer: ConversationNamed | None = await self.call(
            "DELETE", f"/v1/conversations/{self.quoted(conversation_id)}", {202: ConversationNamed, 204: None}
        )
        return answer

    async def post_conversation_restore(
        self, conversation_id: str, *, idempotency_key: str | None = None
    ) -> Conversation | ConversationNamed:
        """Back from the bin. Doing it again answers the same."""
        answer: Conversation | ConversationNamed = await self.call(
            "POST",
            f"/v1/conversations/{self.quoted(conversation_id)}/restore",
            {200: Conversation, 202: ConversationNamed},
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def put_conversation_pin(self, conversation_id: str) -> None:
        """For the caller alone."""
        answer: None = await self.call("PUT", f"/v1/conversations/{self.quoted(conversation_id)}/pin", {204: None})
        return answer

    async def delete_conversation_pin(self, conversation_id: str) -> None:
        """Unpin"""
        answer: None = await self.call("DELETE", f"/v1/conversations/{self.quoted(conversation_id)}/pin", {204: None})
        return answer

    async def get_conversation_messages(
        self,
        conversation_id: str,
        *,
        after: str | None | None = None,
        before: str | None | None = None,
        limit: int | None = None,
    ) -> Messages:
        """Messages, oldest first: the first ones (`after` one), or with `before` alone the last ones before it."""
        answer: Messages = await self.call(
            "GET",
            f"/v1/conversations/{self.quoted(conversation_id)}/messages",
            {200: Messages},
            query={"after": after, "before": before, "limit": limit},
        )
        return answer

    async def post_conversation_messages(self, conversation_id: str, body: NewMessage) -> MessageSent:
        """Say something; the same as `message.send` on the WebSocket."""
        answer: MessageSent = await self.call(
            "POST", f"/v1/conversations/{self.quoted(conversation_id)}/messages", {202: MessageSent}, body=body
        )
        return answer

    async def post_conversation_message_regenerate(
        self, conversation_id: str, message_id: str, body: AnswerAgain
    ) -> RunNamed:
        """Another answer to a question, beside those that it has; `message_id` is the question or one of its answers."""
        answer: RunNamed = await self.call(
            "POST",
            f"/v1/conversations/{self.quoted(conversation_id)}/messages/{self.quoted(message_id)}/regenerate",
            {202: RunNamed},
            body=body,
        )
        return answer

    async def get_conversation_run(self, conversation_id: str, run_id: str) -> Run:
        """Run"""
        answer: Run = await self.call(
            "GET", f"/v1/conversations/{self.quoted(conversation_id)}/runs/{self.quoted(run_id)}", {200: Run}
        )
        return answer

    async def post_conversation_run_cancel(self, conversation_id: str, run_id: str) -> RunStatus:
        """Stop the answer; what was written of it stays. Doing it again answers the same."""
        answer: RunStatus = await self.call(
            "POST",
            f"/v1/conversations/{self.quoted(conversation_id)}/runs/{self.quoted(run_id)}/cancel",
            {202: RunStatus},
        )
        return answer

    async def get_conversation_run_events(
        self, conversation_id: str, run_id: str, *, after_seq: int | None = None, last_event_id: str | None = None
    ) -> RunEvents:
        """An answer's text, as far as it is written, after what the reader has."""
        answer: RunEvents = await self.call(
            "GET",
            f"/v1/conversations/{self.quoted(conversation_id)}/runs/{self.quoted(run_id)}/events",
            {200: RunEvents},
            query={"after_seq": after_seq},
            headers={"Last-Event-Id": last_event_id},
        )
        return answer

    async def get_project_agents(
        self, project_id: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> PageAgent:
        """Oldest first."""
        answer: PageAgent = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/agents",
            {200: PageAgent},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def post_project_agents(
        self, project_id: str, body: NewAgent, *, idempotency_key: str | None = None
    ) -> Agent:
        """Owners and admins may."""
        answer: Agent = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/agents",
            {201: Agent},
            body=body,
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_agent(self, agent_id: str, *, if_none_match: str | None = None) -> Agent:
        """Agent"""
        answer: Agent = await self.call(
            "GET", f"/v1/agents/{self.quoted(agent_id)}", {200: Agent}, headers={"If-None-Match": if_none_match}
        )
        return answer

    async def patch_agent(self, agent_id: str, body: AgentChange, *, if_match: str | None = None) -> Agent:
        """Owners and admins may. Answers that have begun go on as they were; a run says which version it used."""
        answer: Agent = await self.call(
            "PATCH", f"/v1/agents/{self.quoted(agent_id)}", {200: Agent}, body=body, headers={"If-Match": if_match}
        )
        return answer

    async def delete_agent(self, agent_id: str, *, if_match: str | None = None) -> None:
        """Its secrets are destroyed. What it said stays; where it was to answer by default, nobody does any longer."""
        answer: None = await self.call(
            "DELETE", f"/v1/agents/{self.quoted(agent_id)}", {204: None}, headers={"If-Match": if_match}
        )
        return answer

    async def get_agent_versions(
        self, agent_id: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> PageAgentVersion:
        """Newest first."""
        answer: PageAgentVersion = await self.call(
            "GET",
            f"/v1/agents/{self.quoted(agent_id)}/versions",
            {200: PageAgentVersion},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def get_project_wallet(self, project_id: str) -> Wallet:
        """What the project can spend. Every member may see it."""
        answer: Wallet = await self.call("GET", f"/v1/projects/{self.quoted(project_id)}/wallet", {200: Wallet})
        return answer

    async def post_project_credits(
        self, project_id: str, body: NewCredit, *, idempotency_key: str | None = None
    ) -> Credited:
        """Put credit in; it can be spent at once. Owners and admins may, or the
        installation's treasurers where it has some. The first credit decides the wallet's currency."""
        answer: Credited = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/credits",
            {201: Credited},
            body=body,
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_project_ledger(
        self, project_id: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> PageLedgerEntry:
        """The project's books, newest first. Every member may read them."""
        answer: PageLedgerEntry = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/ledger",
            {200: PageLedgerEntry},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def post_project_ledger_reverse(
        self, project_id: str, transaction_id: str, body: Reversal, *, idempotency_key: str | None = None
    ) -> Credited:
        """Take a credit or a charge back, by a transaction that mirrors it; a second time changes nothing. Owners and
        admins may, and of a credit only what has not been spent."""
        answer: Credited = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/ledger/{self.quoted(transaction_id)}/reverse",
            {201: Credited},
            body=body,
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_agent_prices(
        self, agent_id: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> PagePrice:
        """What the agent's answers cost, newest first; none where they are free, and always were."""
        answer: PagePrice = await self.call(
            "GET",
            f"/v1/agents/{self.quoted(agent_id)}/prices",
            {200: PagePrice},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def put_agent_price(self, agent_id: str, body: NewPrice) -> Price:
        """What the agent's answers cost from the next question on. Owners and admins may. What was asked before is charged
        with the price of its own time."""
        answer: Price = await self.call("PUT", f"/v1/agents/{self.quoted(agent_id)}/price", {200: Price}, body=body)
        return answer

    async def get_project_usage(
        self,
        project_id: str,
        *,
        from_: str | None | None = None,
        to: str | None | None = None,
        group_by: str | None = None,
    ) -> UsageReport:
        """What answers took, by UTC, the last 30 days where nothing is said; with `Accept: text/csv` a table. Every member
        may see it."""
        answer: UsageReport = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/usage",
            {200: UsageReport},
            query={"from": from_, "to": to, "group_by": group_by},
        )
        return answer

    async def get_project_statements(self, project_id: str) -> Months:
        """From the month of the first entry to this one. Every member may see them."""
        answer: Months = await self.call("GET", f"/v1/projects/{self.quoted(project_id)}/statements", {200: Months})
        return answer

    async def get_project_statement(self, project_id: str, month: str) -> Statement:
        """What was booked in a month, by UTC; with `Accept: text/csv` a table."""
        answer: Statement = await self.call(
            "GET", f"/v1/projects/{self.quoted(project_id)}/statements/{self.quoted(month)}", {200: Statement}
        )
        return answer

    async def get_project_budgets(self, project_id: str) -> Budgets:
        """Oldest first. Every member may see them."""
        answer: Budgets = await self.call("GET", f"/v1/projects/{self.quoted(project_id)}/budgets", {200: Budgets})
        return answer

    async def put_project_budgets(self, project_id: str, body: NewBudgets) -> Budgets:
        """All of them at once: what is not among them ends. One for the same person, agent and period keeps what it has
        counted. Owners and admins may."""
        answer: Budgets = await self.call(
            "PUT", f"/v1/projects/{self.quoted(project_id)}/budgets", {200: Budgets}, body=body
        )
        return answer

    async def get_search(
        self,
        *,
        q: str,
        project_id: str | None | None = None,
        limit: int | None = None,
        cursor: str | None | None = None,
    ) -> PageHit:
        """The best matches first, titles before messages; of words that are in hundreds of messages, the newest first.

        A page may be short, even empty, and not be the last: `next_cursor` says whether it is. A project that is not the
        caller's has no matches."""
        answer: PageHit = await self.call(
            "GET",
            "/v1/search",
            {200: PageHit},
            query={"q": q, "project_id": project_id, "limit": limit, "cursor": cursor},
        )
        return answer

    async def get_project_audit(
        self, project_id: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> PageEntry:
        """What was done in the project and by whom, newest first. Owners and admins may read it; 400 days are kept."""
        answer: PageEntry = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/audit",
            {200: PageEntry},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def get_notifications(
        self, *, unread: bool | None = None, limit: int | None = None, cursor: str | None | None = None
    ) -> Notifications:
        """What happened while the caller was not looking, newest first, for 90 days."""
        answer: Notifications = await self.call(
            "GET", "/v1/notifications", {200: Notifications}, query={"unread": unread, "limit": limit, "cursor": cursor}
        )
        return answer

    async def post_notifications_read(self, body: Read, *, idempotency_key: str | None = None) -> Unread:
        """This notification is read, and all below it, on every screen; how many are left."""
        answer: Unread = await self.call(
            "POST", "/v1/notifications/read", {200: Unread}, body=body, headers={"Idempotency-Key": idempotency_key}
        )
        return answer

    async def get_notifications_preferences(self) -> Preferences:
        """By which channels the caller wants which kind."""
        answer: Preferences = await self.call("GET", "/v1/notifications/preferences", {200: Preferences})
        return answer

    async def put_notifications_preferences(self, body: Preferences) -> Preferences:
        """All of them at once. What was told before stays told."""
        answer: Preferences = await self.call("PUT", "/v1/notifications/preferences", {200: Preferences}, body=body)
        return answer

    async def get_project_webhooks(
        self, project_id: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> PageWebhook:
        """Oldest first; owners and admins see them."""
        answer: PageWebhook = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/webhooks",
            {200: PageWebhook},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def post_project_webhooks(
        self, project_id: str, body: NewWebhook, *, idempotency_key: str | None = None
    ) -> WebhookWithSecret:
        """The project's notifications are sent there from now on, signed as Standard Webhooks has it."""
        answer: WebhookWithSecret = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/webhooks",
            {201: WebhookWithSecret},
            body=body,
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_project_webhook(
        self, project_id: str, webhook_id: str, *, if_none_match: str | None = None
    ) -> Webhook:
        """Owners and admins see it."""
        answer: Webhook = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/webhooks/{self.quoted(webhook_id)}",
            {200: Webhook},
            headers={"If-None-Match": if_none_match},
        )
        return answer

    async def patch_project_webhook(
        self, project_id: str, webhook_id: str, body: WebhookChange, *, if_match: str | None = None
    ) -> Webhook:
        """One that was switched off, by hand or for its failures, is switched on again by `enabled`."""
        answer: Webhook = await self.call(
            "PATCH",
            f"/v1/projects/{self.quoted(project_id)}/webhooks/{self.quoted(webhook_id)}",
            {200: Webhook},
            body=body,
            headers={"If-Match": if_match},
        )
        return answer

    async def delete_project_webhook(self, project_id: str, webhook_id: str) -> None:
        """With what is still to be delivered, and the log of what was."""
        answer: None = await self.call(
            "DELETE", f"/v1/projects/{self.quoted(project_id)}/webhooks/{self.quoted(webhook_id)}", {204: None}
        )
        return answer

    async def post_project_webhook_secret(
        self, project_id: str, webhook_id: str, *, idempotency_key: str | None = None
    ) -> WebhookWithSecret:
        """Another secret. For 24 hours each webhook carries a signature with either, so receivers change when they like."""
        answer: WebhookWithSecret = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/webhooks/{self.quoted(webhook_id)}/secret",
            {200: WebhookWithSecret},
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def post_project_webhook_test(
        self, project_id: str, webhook_id: str, *, idempotency_key: str | None = None
    ) -> Testing:
        """Send one of type `webhook.test`, and see among the deliveries what becomes of it."""
        answer: Testing = await self.call(
            "POST",
            f"/v1/projects/{self.quoted(project_id)}/webhooks/{self.quoted(webhook_id)}/test",
            {202: Testing},
            headers={"Idempotency-Key": idempotency_key},
        )
        return answer

    async def get_project_webhook_deliveries(
        self, project_id: str, webhook_id: str, *, limit: int | None = None, cursor: str | None | None = None
    ) -> PageDelivery:
        """What was sent, or is to be, with every attempt; newest first, for 30 days."""
        answer: PageDelivery = await self.call(
            "GET",
            f"/v1/projects/{self.quoted(project_id)}/webhooks/{self.quoted(webhook_id)}/deliveries",
            {200: PageDelivery},
            query={"limit": limit, "cursor": cursor},
        )
        return answer

    async def get_config(self) -> Config:
        """Config"""
        answer: Config = await self.call("GET", "/v1/config", {200: Config})
        return answer

"""What clients get, shape by shape: also the schemas of the OpenAPI document."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Answer(BaseModel):
    # The structs of `schemas` and rows of the projections are read by attribute.
    model_config = ConfigDict(from_attributes=True)


class Page(Answer, Generic[T]):
    """A part of a list. `next_cursor` is null where it is the last."""

    data: list[T]
    next_cursor: str | None


class User(Answer):
    """`email` is null where someone came by a provider that tells none."""

    id: str
    email: str | None
    email_verified: bool = False
    display_name: str
    created_at: datetime


class SignedIn(Answer):
    """`expires_in` is how many seconds the access token is good for. `refresh_token` is null where it came as a cookie,
    and goes back as one."""

    user: User
    access_token: str
    refresh_token: str | None
    token_type: Literal["Bearer"] = Field(default="Bearer")
    expires_in: int


class Project(Answer):
    """`role` is the caller's own. One that is deleted waits to be restored since `deleted_at`."""

    id: str
    name: str
    role: str
    default_agent_id: str | None
    created_at: datetime
    deleted_at: datetime | None = None


class Member(Answer):
    status: Literal["active"] = "active"
    user_id: str
    email: str | None
    display_name: str
    role: str
    created_at: datetime


class Agent(Answer):
    """`version` counts the changes of `config`, in which no secret is shown: `has_secret` says whether there is one."""

    id: str
    project_id: str
    name: str
    version: int
    config: dict[str, Any]
    created_at: datetime


class Conversation(Answer):
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
    deleted_at: datetime | None = None
    pinned: bool = False


class ConversationNamed(Answer):
    """It is safe, and readable in a moment."""

    id: str


class Usage(Answer):
    """`source` is `provider`, or `estimated` where the agent said nothing. `price_version` is null where the answer was
    free."""

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    from_cache: bool
    source: str
    cost_micros: int
    currency: str
    price_version: int | None = None


class Message(Answer):
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
    usage: Usage | None
    deleted: bool
    client_message_id: str | None


class Messages(Answer):
    """`top` is the newest position of the conversation; `epoch` the first half of every cursor in it."""

    data: list[Message]
    epoch: str
    top: int


class MessageSent(Answer):
    """`run_id` is null where no agent answers. With `cursor` the message can be read at once."""

    message_id: str
    run_id: str | None
    cursor: str | None = None


class RunNamed(Answer):
    run_id: str


class RunStatus(Answer):
    status: str


class RunError(Answer):
    code: str
    message: str


class Run(Answer):
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
    usage: Usage | None
    error: RunError | None
    queued_at: datetime
    requested_at: datetime | None
    ended_at: datetime | None


class Delta(Answer):
    """Deltas `from_seq` … `seq`, their texts joined."""

    from_seq: int
    seq: int
    text: str


class RunEvents(Answer):
    """The deltas of the newest attempt. Where the first `from_seq` is 1, what came before it is to be forgotten."""

    run_id: str
    status: str
    attempt: int
    data: list[Delta]


class Limits(Answer):
    max_content_characters: int
    max_title_characters: int
    max_frame_bytes: int
    max_body_bytes: int
    max_page: int


class Config(Answer):
    """`treasurers`: credit, reversals and prices are for people whom the installation names, and not for the owners and
    admins of a project."""

    ws_url: str
    version: str
    oauth_providers: list[str]
    treasurers: bool
    limits: Limits


class FieldError(Answer):
    field: str = Field(description="Its path, such as `title`; empty where it is the body as a whole.")
    message: str


class Problem(Answer):
    """RFC 9457. `code` is from one table, for REST and the WebSocket alike. `retry_after_ms`: milliseconds after which
    the same request may succeed, where that is known."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] | None = None
    retry_after_ms: int | None = None


class Webhook(Answer):
    """`failing_since`: nothing was delivered since. `disabled_at`: nothing is sent any more, and `disabled_why`."""

    id: str
    url: str
    kinds: list[str]
    created_by: str | None
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_why: str | None

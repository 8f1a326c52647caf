"""The frames of the WebSocket, and the tables of codes that code, tests and the AsyncAPI document share."""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.events import RunError, Usage

SUBPROTOCOL: Final = "chorus.v1"
MAX_FRAME_BYTES: Final = 64 * 1024
MAX_CONTENT_CHARACTERS: Final = 16_000
MAX_TITLE_CHARACTERS: Final = 200


class ErrorCode(StrEnum):
    UNAUTHENTICATED = "unauthenticated"
    TOKEN_EXPIRED = "token_expired"
    FORBIDDEN_ORIGIN = "forbidden_origin"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    TOO_LARGE = "too_large"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    IN_PROGRESS = "in_progress"
    PRECONDITION_FAILED = "precondition_failed"
    CONVERSATION_BUSY = "conversation_busy"
    CONVERSATION_ARCHIVED = "conversation_archived"
    RUN_ENDED = "run_ended"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    RATE_LIMITED = "rate_limited"
    AGENT_UNAVAILABLE = "agent_unavailable"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class ErrorMeaning(NamedTuple):
    """What a code means to a client: its HTTP status, whether the same request may succeed later, and a sentence."""

    status: int
    retryable: bool
    message: str


ERRORS: Final[dict[ErrorCode, ErrorMeaning]] = {
    ErrorCode.UNAUTHENTICATED: ErrorMeaning(401, False, "Sign in first: the credentials are missing or wrong."),
    ErrorCode.TOKEN_EXPIRED: ErrorMeaning(401, False, "The access token has expired; refresh it and try again."),
    ErrorCode.FORBIDDEN_ORIGIN: ErrorMeaning(403, False, "This origin may not connect."),
    ErrorCode.NOT_FOUND: ErrorMeaning(404, False, "There is no such thing, or it is not yours."),
    ErrorCode.FORBIDDEN: ErrorMeaning(403, False, "Your role does not allow this."),
    ErrorCode.INVALID: ErrorMeaning(422, False, "The request is not valid."),
    ErrorCode.TOO_LARGE: ErrorMeaning(413, False, "The content is too large."),
    ErrorCode.IDEMPOTENCY_MISMATCH: ErrorMeaning(
        422, False, "This id was used before with other content; use a new id for a new request."
    ),
    ErrorCode.IN_PROGRESS: ErrorMeaning(409, True, "The first request with this key is still being done; ask again."),
    ErrorCode.PRECONDITION_FAILED: ErrorMeaning(
        412, False, "It was changed meanwhile; read it again, and then change what it is now."
    ),
    ErrorCode.CONVERSATION_BUSY: ErrorMeaning(409, False, "An answer is still being written; wait for it or stop it."),
    ErrorCode.CONVERSATION_ARCHIVED: ErrorMeaning(409, False, "The conversation is archived; restore it to go on."),
    ErrorCode.RUN_ENDED: ErrorMeaning(409, False, "The answer has already ended."),
    ErrorCode.INSUFFICIENT_CREDITS: ErrorMeaning(402, False, "There is no credit left for an answer."),
    ErrorCode.RATE_LIMITED: ErrorMeaning(429, True, "Too many requests; slow down."),
    ErrorCode.AGENT_UNAVAILABLE: ErrorMeaning(503, True, "The agent does not answer at the moment."),
    ErrorCode.UNAVAILABLE: ErrorMeaning(
        503, True, "Not known to be stored; send it again with the same id in a moment."
    ),
    ErrorCode.INTERNAL: ErrorMeaning(500, True, "Something went wrong on our side."),
}


class CloseCode(IntEnum):
    """4000–4499: the client reconnects. 4500–4999: it does not, until a person did something."""

    GOING_AWAY = 1001
    TOO_LARGE = 1009
    SERVICE_RESTART = 1012
    SHUTTING_DOWN = 4001
    TOKEN_EXPIRED = 4005
    TOO_SLOW = 4008
    CANNOT_RESUME = 4010
    NO_PONG = 4012
    TOO_MANY_REQUESTS = 4013
    BAD_TOKEN = 4500
    MALFORMED = 4501
    NO_HELLO = 4502
    REVOKED = 4503
    TOO_MANY_CONNECTIONS = 4504


CLOSE_REASONS: Final[dict[CloseCode, str]] = {
    CloseCode.GOING_AWAY: "going away",
    CloseCode.TOO_LARGE: "frame too large",
    CloseCode.SERVICE_RESTART: "service restart",
    CloseCode.SHUTTING_DOWN: "shutting down",
    CloseCode.TOKEN_EXPIRED: "token expired",
    CloseCode.TOO_SLOW: "too slow",
    CloseCode.CANNOT_RESUME: "cannot resume, start anew",
    CloseCode.NO_PONG: "no pong",
    CloseCode.TOO_MANY_REQUESTS: "too many requests",
    CloseCode.BAD_TOKEN: "bad or foreign token",
    CloseCode.MALFORMED: "malformed frame",
    CloseCode.NO_HELLO: "no hello in time",
    CloseCode.REVOKED: "revoked or disabled",
    CloseCode.TOO_MANY_CONNECTIONS: "too many connections",
}

# -- client → server --

UuidText = Annotated[str, Meta(pattern="^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Title = Annotated[str, Meta(max_length=MAX_TITLE_CHARACTERS)]


class RunCursor(Struct, frozen=True):
    """How far a client got in a run."""

    attempt: Annotated[int, Meta(ge=0)]
    seq: Annotated[int, Meta(ge=0)]


class ResumePoint(Struct, frozen=True):
    conversation_id: UuidText
    cursor: str | None = None
    runs: dict[str, RunCursor] = {}


class ClientFrame(Struct, frozen=True, kw_only=True, tag_field="type"):
    id: int


class Hello(ClientFrame, frozen=True, kw_only=True, tag="hello"):
    token: str | None = None
    resume: Annotated[list[ResumePoint], Meta(max_length=200)] = []


class TokenRefresh(ClientFrame, frozen=True, kw_only=True, tag="token.refresh"):
    token: str


class Subscribe(ClientFrame, frozen=True, kw_only=True, tag="subscribe"):
    conversation_id: UuidText
    cursor: str | None = None
    runs: dict[str, RunCursor] = {}


class Unsubscribe(ClientFrame, frozen=True, kw_only=True, tag="unsubscribe"):
    conversation_id: UuidText


class ConversationCreate(ClientFrame, frozen=True, kw_only=True, tag="conversation.create"):
    """An absent `agent_id` means the project's default agent; null means that people talk among themselves."""

    project_id: UuidText
    conversation_id: UuidText | None = None
    title: Title | None = None
    agent_id: UuidText | None | UnsetType = UNSET


class ConversationUpdate(ClientFrame, frozen=True, kw_only=True, tag="conversation.update"):
    conversation_id: UuidText
    title: Title | None | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    agent_id: UuidText | None | UnsetType = UNSET


class ConversationDelete(ClientFrame, frozen=True, kw_only=True, tag="conversation.delete"):
    conversation_id: UuidText


class ConversationRestore(ClientFrame, frozen=True, kw_only=True, tag="conversation.restore"):
    """Bring a deleted conversation back, which is possible for 30 days."""

    conversation_id: UuidText


class MessageSend(ClientFrame, frozen=True, kw_only=True, tag="message.send"):
    """Content is measured in characters by the session, so that an empty or a long one gets its own error."""

    conversation_id: UuidText
    client_message_id: UuidText
    content: str
    agent_id: UuidText | None | UnsetType = UNSET
    when_busy: str = "enqueue"
    edits: UuidText | None = None
    """An earlier message of the sender's own, to be said differently: this one stands beside it, under one parent."""


class MessageRegenerate(ClientFrame, frozen=True, kw_only=True, tag="message.regenerate"):
    conversation_id: UuidText
    message_id: UuidText
    client_request_id: UuidText


class RunCancel(ClientFrame, frozen=True, kw_only=True, tag="run.cancel"):
    conversation_id: UuidText
    run_id: UuidText | None = None
    client_message_id: UuidText | None = None


PresenceStatus = Literal["online", "away", "offline"]


class Typing(ClientFrame, frozen=True, kw_only=True, tag="typing"):
    """The person is writing; say it again every few seconds for as long as they are."""

    conversation_id: UuidText


class PresenceSet(ClientFrame, frozen=True, kw_only=True, tag="presence.set"):
    """Whether the person looks at this window; a new connection is `online`. They are away where every window is."""

    status: Literal["online", "away"]


class NotificationsRead(ClientFrame, frozen=True, kw_only=True, tag="notifications.read"):
    """The person has seen this notification, and with it all that are older."""

    up_to: UuidText


class Ping(ClientFrame, frozen=True, kw_only=True, tag="ping"):
    """Also the answer to the server's own ping; then the id may be left out."""

    id: int | None = None  # type: ignore[assignment]


ClientFrames = (
    Hello
    | TokenRefresh
    | Subscribe
    | Unsubscribe
    | ConversationCreate
    | ConversationUpdate
    | ConversationDelete
    | ConversationRestore
    | MessageSend
    | MessageRegenerate
    | RunCancel
    | Typing
    | PresenceSet
    | NotificationsRead
    | Ping
)

WHEN_BUSY: Final = frozenset({"enqueue", "reject", "interrupt", "rollback"})

# -- server → client --


class Message(Struct, frozen=True, kw_only=True):
    """A message as clients see it."""

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
    deleted: bool = False
    """Its text is gone with its owner's key; `content` is then empty."""
    client_message_id: str | None = None
    """The id under which its sender sent it: how a screen knows its own message before the reply has come."""


class Conversation(Struct, frozen=True, kw_only=True):
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
    """Since when it waits in the bin; null where it does not."""


class Run(Struct, frozen=True, kw_only=True):
    """A run in a `subscribe` reply. `text` is deltas `from_seq` … `seq` of `attempt`."""

    run_id: str
    message_id: str
    agent_id: str
    status: str
    attempt: int
    from_seq: int
    seq: int
    text: str
    question_id: str | None = None
    """The message that the run answers."""


class Present(Struct, frozen=True, kw_only=True):
    """Another person who looks at the conversation: `online` or `away`."""

    user_id: str
    status: PresenceStatus


class Rejected(Struct, frozen=True, kw_only=True):
    message_id: str
    client_message_id: str
    code: str


class Notification(Struct, frozen=True, kw_only=True):
    """Something that happened while this person was not looking; `data` says what it is about, by ids."""

    id: str
    kind: str
    project_id: str
    data: dict[str, str | int]
    occurred_at: datetime
    created_at: datetime
    """Their order; one that is told late stands above those that were told before."""
    read: bool


class Push(Struct, frozen=True, kw_only=True, tag_field="type"):
    pass


class MessageCreated(Push, frozen=True, kw_only=True, tag="message.created"):
    conversation_id: str
    cursor: str
    message: Message


class ConversationCreatedPush(Push, frozen=True, kw_only=True, tag="conversation.created"):
    cursor: str
    conversation: Conversation


class ConversationUpdatedPush(Push, frozen=True, kw_only=True, tag="conversation.updated"):
    cursor: str
    conversation: Conversation


class ConversationDeletedPush(Push, frozen=True, kw_only=True, tag="conversation.deleted"):
    cursor: str
    conversation: Conversation


class MessageRejectedPush(Push, frozen=True, kw_only=True, tag="message.rejected"):
    conversation_id: str
    message_id: str
    client_message_id: str
    code: str


class RunQueuedPush(Push, frozen=True, kw_only=True, tag="run.queued"):
    run_id: str
    conversation_id: str
    message_id: str
    agent_id: str
    attempt: int
    question_id: str | None = None


class RunStartedPush(Push, frozen=True, kw_only=True, tag="run.started"):
    run_id: str
    conversation_id: str
    message_id: str
    agent_id: str
    attempt: int
    question_id: str | None = None


class RunDelta(Push, frozen=True, kw_only=True, tag="run.delta"):
    run_id: str
    conversation_id: str
    attempt: int
    from_seq: int
    seq: int
    text: str


class RunRestarted(Push, frozen=True, kw_only=True, tag="run.restarted"):
    run_id: str
    conversation_id: str
    attempt: int


class RunFinished(Push, frozen=True, kw_only=True, omit_defaults=True, tag="run.finished"):
    run_id: str
    conversation_id: str
    attempt: int
    last_seq: int
    status: str
    finish_reason: str
    usage: Usage | None
    error: RunError | None = None


class PresencePush(Push, frozen=True, kw_only=True, omit_defaults=True, tag="presence"):
    """Another person who looks at the conversation came, looked away, or went; `last_seen` is of those who went."""

    conversation_id: str
    user_id: str
    status: PresenceStatus
    last_seen: datetime | None = None


class TypingPush(Push, frozen=True, kw_only=True, tag="typing"):
    """Another person is writing: show it until a message of theirs comes, and no longer than `expires_in_ms`."""

    conversation_id: str
    user_id: str
    expires_in_ms: int


class NotificationCreated(Push, frozen=True, kw_only=True, tag="notification.created"):
    """To all sockets of its person. It may come twice: what has the same id is the same. `unread` counts it."""

    notification: Notification
    unread: int


class NotificationsReadPush(Push, frozen=True, kw_only=True, tag="notifications.read"):
    """Read on one of their screens: this one and all below it are read, and `unread` are left."""

    up_to: str
    unread: int


class ServerPing(Push, frozen=True, kw_only=True, tag="ping"):
    pass


class Goodbye(Push, frozen=True, kw_only=True, tag="goodbye"):
    reason: str
    reconnect_in_ms: int


class SubscribeReply(Struct, frozen=True, kw_only=True):
    cursor: str
    recovered: bool
    state: Conversation
    messages: list[Message]
    runs: list[Run]
    rejected: list[Rejected]
    present: list[Present] = []


# -- replies: `{"id", "ok": true}` with these fields, or `ErrorReply` --


class SessionUser(Struct, frozen=True, kw_only=True):
    id: str


class Limits(Struct, frozen=True, kw_only=True):
    """What a connection may do; commands above the rate are refused with `rate_limited`."""

    frame_bytes: int
    content_characters: int
    commands_per_s: float
    commands_burst: float


class HelloReply(Struct, frozen=True, kw_only=True):
    """Seconds and milliseconds as the names say; `ping_interval` is in seconds."""

    session_id: str
    user: SessionUser
    token_expires_in: int
    ping_interval: float
    reconnect_jitter_ms: int
    limits: Limits


class TokenRefreshReply(Struct, frozen=True, kw_only=True):
    token_expires_in: int


class ConversationReply(Struct, frozen=True, kw_only=True):
    conversation_id: str


class MessageReply(Struct, frozen=True, kw_only=True):
    """`run_id` is null where no agent answers."""

    message_id: str
    run_id: str | None


class RegenerateReply(Struct, frozen=True, kw_only=True):
    run_id: str


class CancelReply(Struct, frozen=True, kw_only=True):
    status: str


class NotificationsReadReply(Struct, frozen=True, kw_only=True):
    """How many notifications are still unread."""

    unread: int


class EmptyReply(Struct, frozen=True, kw_only=True):
    pass


class CommandError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code` is one of `ErrorCode`. `fields` says what is wrong with each field, by its name."""

    code: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None
    fields: dict[str, str] | None = None


class Subscribed(Push, frozen=True, kw_only=True, tag="subscribed"):
    """What came of one of the conversations that `hello` wanted back: the fields of `subscribe`'s reply, or `error`."""

    conversation_id: str
    cursor: str | UnsetType = UNSET
    recovered: bool | UnsetType = UNSET
    state: Conversation | UnsetType = UNSET
    messages: list[Message] | UnsetType = UNSET
    runs: list[Run] | UnsetType = UNSET
    rejected: list[Rejected] | UnsetType = UNSET
    present: list[Present] | UnsetType = UNSET
    error: CommandError | UnsetType = UNSET


class ErrorReply(Struct, frozen=True, kw_only=True):
    """`id` is null where the frame's own could not be read."""

    id: int | None
    ok: Literal[False]
    error: CommandError


REPLIES: Final[dict[type[ClientFrame], type[Struct]]] = {
    Hello: HelloReply,
    TokenRefresh: TokenRefreshReply,
    Subscribe: SubscribeReply,
    Unsubscribe: EmptyReply,
    ConversationCreate: ConversationReply,
    ConversationUpdate: ConversationReply,
    ConversationDelete: ConversationReply,
    ConversationRestore: ConversationReply,
    MessageSend: MessageReply,
    MessageRegenerate: RegenerateReply,
    RunCancel: CancelReply,
    Typing: EmptyReply,
    PresenceSet: EmptyReply,
    NotificationsRead: NotificationsReadReply,
    Ping: EmptyReply,
}

PUSHES: Final = (
    MessageCreated,
    ConversationCreatedPush,
    ConversationUpdatedPush,
    ConversationDeletedPush,
    MessageRejectedPush,
    RunQueuedPush,
    RunStartedPush,
    RunDelta,
    RunRestarted,
    RunFinished,
    Subscribed,
    PresencePush,
    TypingPush,
    NotificationCreated,
    NotificationsReadPush,
    ServerPing,
    Goodbye,
)

PERSONAL = MessageRejectedPush | NotificationCreated | NotificationsReadPush
"""What goes to all sockets of one person, whatever they follow."""

decode_client_frame = msgspec.json.Decoder(ClientFrames).decode

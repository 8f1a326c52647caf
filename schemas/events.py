"""What is asked, what happened, and what is requested: the events of the conversation and agent topics.

Commands say what people ask and what the replies processor reports; facts say what followed, in the conversation's
own order; requests ask for an effect. Fields are only ever added, with a default: a replay reads the oldest record
there is, and an old reader reads new records.

Texts typed `Sealed` are encrypted with the data key of a person (see `schemas.sealing`); the rest stays readable.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from schemas.ids import Uuid

Sealed = str
"""Text in sealed form on every topic; in plain form once a reader has opened it."""

Position = Annotated[int, Meta(ge=1)]
Attempt = Annotated[int, Meta(ge=1)]


class AgentRef(Struct, frozen=True, kw_only=True):
    """The agent that answers, as it was when the edge resolved it."""

    agent_id: Uuid
    version: int
    context_messages: int = 10
    """How many messages of the path the agent is shown, its question included."""
    price: int | None = None
    """The version of the price that answers are charged at; null where they are free."""


class Usage(Struct, frozen=True, kw_only=True):
    """What one answer took. `source` is `provider`, or `estimated` where the provider said nothing."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    from_cache: bool = False
    source: str = "estimated"
    cost_micros: int = 0
    currency: str = "USD"
    price_version: int | None = None
    """The price that `cost_micros` was worked out with; null where the answer is free."""


class RunError(Struct, frozen=True, kw_only=True):
    """Why a run failed: a code of the protocol's table and a sentence that a person understands."""

    code: str
    message: str


# -- commands --


class Command(Struct, frozen=True, kw_only=True):
    """Something asked of one conversation by a person. `role` is the member's role when the edge checked it.

    `ask` names the decision channel of the process that waits for the outcome, or is null where nobody waits.
    """

    conversation_id: Uuid
    project_id: Uuid
    user_id: Uuid
    role: str
    ask: str | None = None


class SendMessage(Command, frozen=True, kw_only=True):
    """A person says something. `digest` tells two texts under one id apart without opening them."""

    type: ClassVar[str] = "chorus.message.send.v1"
    message_id: Uuid
    client_message_id: Uuid
    content: Sealed
    digest: str
    agent: AgentRef | None = None
    when_busy: str = "enqueue"
    edits: Uuid | None = None
    """The sender's own earlier message that this one is to stand beside, said differently."""


class RegenerateAnswer(Command, frozen=True, kw_only=True):
    """A person wants another answer to a question; `message_id` is the question or one of its answers."""

    type: ClassVar[str] = "chorus.message.regenerate.v1"
    message_id: Uuid
    client_request_id: Uuid
    run_id: Uuid
    agent: AgentRef


class CancelRun(Command, frozen=True, kw_only=True):
    """A person wants an answer stopped, perhaps before the conversation has seen the question."""

    type: ClassVar[str] = "chorus.run.cancel.v1"
    run_id: Uuid


class CreateConversation(Command, frozen=True, kw_only=True):
    type: ClassVar[str] = "chorus.conversation.create.v1"
    title: Sealed | None = None
    agent_id: Uuid | None = None


class UpdateConversation(Command, frozen=True, kw_only=True):
    """Fields that are absent stay as they are."""

    type: ClassVar[str] = "chorus.conversation.update.v1"
    title: Sealed | None | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    agent_id: Uuid | None | UnsetType = UNSET
    seen: int | None = None
    """The position that its sender saw: refused where the conversation was updated since."""


class DeleteConversation(Command, frozen=True, kw_only=True):
    type: ClassVar[str] = "chorus.conversation.delete.v1"


class RestoreConversation(Command, frozen=True, kw_only=True):
    """A person wants a deleted conversation back."""

    type: ClassVar[str] = "chorus.conversation.restore.v1"


class PurgeConversation(Struct, frozen=True, kw_only=True):
    """A conversation has been deleted for so long that nothing of it is to be kept. Asked by no person."""

    type: ClassVar[str] = "chorus.conversation.purge.v1"
    conversation_id: Uuid
    deleted_at: datetime
    """Which deletion has run out: it may have been restored since, and deleted anew."""


class RunStartedReport(Struct, frozen=True, kw_only=True):
    """Replies is about to call the agent for the n-th time."""

    type: ClassVar[str] = "chorus.run.started.v1"
    conversation_id: Uuid
    run_id: Uuid
    attempt: Attempt


class RunEndedReport(Struct, frozen=True, kw_only=True):
    """An attempt is over. `content` is the whole text that the attempt's deltas 1 … `last_seq` add up to."""

    type: ClassVar[str] = "chorus.run.ended.v1"
    conversation_id: Uuid
    run_id: Uuid
    attempt: Attempt
    last_seq: int
    status: str
    finish_reason: str
    content: Sealed
    usage: Usage | None = None
    error: RunError | None = None
    title: Sealed | None = None
    """What the conversation may be called after this exchange, if nobody has named it. Sealed under its id."""
    user_id: Uuid | None = None
    agent: AgentRef | None = None
    """Who asked, and who was asked: what the attempt took is told of them. Null in what was reported before there was
    such telling, and where the request could not be read."""


ConversationCommand = (
    SendMessage
    | RegenerateAnswer
    | CancelRun
    | CreateConversation
    | UpdateConversation
    | DeleteConversation
    | RestoreConversation
    | PurgeConversation
    | RunStartedReport
    | RunEndedReport
)

# -- facts --


class Fact(Struct, frozen=True, kw_only=True, tag_field="fact"):
    """One thing that followed from a command."""


class ConversationCreated(Fact, frozen=True, kw_only=True, tag="conversation.created"):
    user_id: Uuid
    title: Sealed | None = None
    agent_id: Uuid | None = None


class ConversationUpdated(Fact, frozen=True, kw_only=True, tag="conversation.updated"):
    user_id: Uuid
    title: Sealed | None | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    agent_id: Uuid | None | UnsetType = UNSET
    automatic: bool = False
    """Nobody asked for it: the title was made of the first exchange. `user_id` is then whose key seals it."""


class ConversationDeleted(Fact, frozen=True, kw_only=True, tag="conversation.deleted"):
    """Nobody sees it any more. It can be restored until it is purged."""

    user_id: Uuid


class ConversationRestored(Fact, frozen=True, kw_only=True, tag="conversation.restored"):
    """It is not deleted any more."""

    user_id: Uuid


class ConversationPurged(Fact, frozen=True, kw_only=True, tag="conversation.purged"):
    """Its messages and runs are to be kept by nobody, for good; only that it was there is known from now on."""


class MessagePosted(Fact, frozen=True, kw_only=True, tag="message.posted"):
    """A message is in the conversation. `owner_id` is the person whose data key seals it: its author, or who asked."""

    message_id: Uuid
    role: str
    owner_id: Uuid
    content: Sealed
    created_at: datetime
    author_id: Uuid | None = None
    agent_id: Uuid | None = None
    client_message_id: Uuid | None = None
    digest: str | None = None
    parent_message_id: Uuid | None = None
    run_id: Uuid | None = None
    finish_reason: str | None = None
    usage: Usage | None = None


class MessageRejected(Fact, frozen=True, kw_only=True, tag="message.rejected"):
    """The broker had taken it, the rule did not. Final for this `client_message_id`."""

    message_id: Uuid
    client_message_id: Uuid
    user_id: Uuid
    code: str


class RunQueued(Fact, frozen=True, kw_only=True, tag="run.queued"):
    """An answer is owed. `front` puts it before all that wait (an interrupting message)."""

    run_id: Uuid
    message_id: Uuid
    """The answer's message."""
    question_id: Uuid
    agent: AgentRef
    user_id: Uuid
    front: bool = False


class RunRequested(Fact, frozen=True, kw_only=True, tag="run.requested"):
    """It is this run's turn: replies has been, or is about to be, asked for it."""

    run_id: Uuid


class RunStarted(Fact, frozen=True, kw_only=True, tag="run.started"):
    """The agent is being called. An attempt above 1 takes the place of the text of the one before."""

    run_id: Uuid
    attempt: Attempt


class RunCancelling(Fact, frozen=True, kw_only=True, tag="run.cancelling"):
    """The running answer is to stop; `keep` says whether its text so far stays as a message."""

    run_id: Uuid
    keep: bool = True


class RunEnded(Fact, frozen=True, kw_only=True, tag="run.ended"):
    """The run is over, once and for all."""

    run_id: Uuid
    attempt: int
    """0 where the agent was never called."""
    last_seq: int
    status: str
    finish_reason: str
    usage: Usage | None = None
    error: RunError | None = None


class CancelRemembered(Fact, frozen=True, kw_only=True, tag="cancel.remembered"):
    """A run was cancelled before its question arrived; the question will be posted and not answered."""

    run_id: Uuid


class UnknownFact(Struct, frozen=True, kw_only=True):
    """A fact of a later version than this reader: kept, and without effect."""

    fact: str
    raw: bytes


KnownFact = (
    ConversationCreated
    | ConversationUpdated
    | ConversationDeleted
    | ConversationRestored
    | ConversationPurged
    | MessagePosted
    | MessageRejected
    | RunQueued
    | RunRequested
    | RunStarted
    | RunCancelling
    | RunEnded
    | CancelRemembered
)
AnyFact = KnownFact | UnknownFact


class ConversationAdvanced(Struct, frozen=True, kw_only=True):
    """Everything that followed from one command: the only record type of `conversation-events`.

    `position` counts 1, 2, 3 … for each conversation, without a hole. The first record of a position counts; readers
    ignore any other. `cause` is the id of the command.
    """

    type: ClassVar[str] = "chorus.conversation.advanced.v1"
    conversation_id: Uuid
    project_id: Uuid
    position: Position
    cause: Uuid
    at: datetime
    facts: list[AnyFact] = field(default_factory=list)


# -- requests --


class ContextMessage(Struct, frozen=True, kw_only=True):
    """One message that the agent is shown. It is sealed under `message_id`, with its owner's key."""

    message_id: Uuid
    role: str
    content: Sealed


class AnswerRequested(Struct, frozen=True, kw_only=True):
    """A run is to be answered. `context` ends with the message being answered."""

    type: ClassVar[str] = "chorus.answer.requested.v1"
    conversation_id: Uuid
    project_id: Uuid
    run_id: Uuid
    message_id: Uuid
    """The answer's message; its text is sealed under this id with the key of `user_id`."""
    user_id: Uuid
    agent: AgentRef
    context: list[ContextMessage]
    requested_at: datetime
    """When the conversation first asked, however often the request is sent again."""
    untitled: bool = False
    """Whether the conversation has no title: then the report of the end brings one."""


class CancelRequested(Struct, frozen=True, kw_only=True):
    """A run is to be stopped: a control record, acted upon the moment it is read."""

    type: ClassVar[str] = "chorus.cancel.requested.v1"
    conversation_id: Uuid
    run_id: Uuid


AgentRequest = AnswerRequested | CancelRequested

# -- decisions (Redis, to the process that waits) --


class Decision(Struct, frozen=True, kw_only=True):
    """What the conversation decided about one command, for the process that waits for it.

    `code` is null where the command was accepted. `position` is where the conversation stood after it.
    """

    command_id: str
    conversation_id: str
    position: int
    code: str | None = None
    status: str | None = None
    run_id: str | None = None


# -- wire form of facts --


class KnownAdvanced(Struct, kw_only=True):
    """A `ConversationAdvanced` whose facts this version knows, all of them."""

    conversation_id: Uuid
    project_id: Uuid
    position: Position
    cause: Uuid
    at: datetime
    facts: list[KnownFact]


class _AdvancedWire(Struct, kw_only=True):
    conversation_id: Uuid
    project_id: Uuid
    position: Position
    cause: Uuid
    at: datetime
    facts: list[msgspec.Raw]


class _Tagged(Struct):
    fact: str


_advanced_known = msgspec.json.Decoder(KnownAdvanced)
_advanced = msgspec.json.Decoder(_AdvancedWire)
_known = msgspec.json.Decoder(KnownFact)
_tag = msgspec.json.Decoder(_Tagged)
KNOWN_TAGS: Final = frozenset(t.__struct_config__.tag for t in KnownFact.__args__)


def decode_advanced(value: bytes) -> ConversationAdvanced:
    """Read a fact record; facts of unknown kinds become `UnknownFact`.

    Raises:
        msgspec.DecodeError: not JSON, or not of this shape.
    """
    try:
        return _read_advanced(value)
    except UnicodeDecodeError as error:  # msgspec's own word for text that is no UTF-8
        raise msgspec.DecodeError(str(error)) from error


def _read_advanced(value: bytes) -> ConversationAdvanced:
    wire: KnownAdvanced | _AdvancedWire
    try:
        wire = _advanced_known.decode(value)
        facts: list[AnyFact] = list(wire.facts)
    except msgspec.ValidationError:
        # Fact by fact is slower, and tells an unknown one from a malformed one.
        wire = _advanced.decode(value)
        facts = [_decode_fact(raw) for raw in wire.facts]
    return ConversationAdvanced(
        conversation_id=wire.conversation_id,
        project_id=wire.project_id,
        position=wire.position,
        cause=wire.cause,
        at=wire.at,
        facts=facts,
    )


def _decode_fact(raw: msgspec.Raw) -> AnyFact:
    tag = _tag.decode(raw).fact
    if tag not in KNOWN_TAGS:
        return UnknownFact(fact=tag, raw=bytes(raw))
    fact: KnownFact = _known.decode(raw)
    return fact


def encode_advanced(record: ConversationAdvanced) -> bytes:
    """Write a fact record; facts of unknown kinds go out as they came in."""
    if any(isinstance(fact, UnknownFact) for fact in record.facts):
        facts: list[Any] = [msgspec.Raw(f.raw) if isinstance(f, UnknownFact) else f for f in record.facts]
        return msgspec.json.encode(
            _AdvancedWire(
                conversation_id=record.conversation_id,
                project_id=record.project_id,
                position=record.position,
                cause=record.cause,
                at=record.at,
                facts=facts,
            )
        )
    return msgspec.json.encode(record)

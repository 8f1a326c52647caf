"""The recent past in Redis: a window of each conversation's records, and the channels on which new ones are told.

The live projection writes it (`streams.projections.live`), the edges read it. Everything here can be lost and made
again.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from infra.deltas import DeltaMessage
from infra.presence import PresenceMessage, TypingMessage
from schemas import events, frames
from schemas.conversation import ConversationView

WINDOW_RECORDS = 500
"""Most records in a window: what `subscribe` may answer at once."""
WINDOW_BYTES = 2**20
"""Most bytes in a window, for the same reason."""
WINDOW_S = 24 * 60 * 60
"""Seconds that a window outlives its conversation's last record; later readers go to PostgreSQL."""


def project_channel(project_id: str) -> str:
    """`LiveRecord`s of the project's conversations that were created, updated or deleted; see `decode_live`."""
    return f"project:{project_id}"


def user_channel(user_id: str) -> str:
    """Pushes for all sockets of one person, ready to be sent as they are (`frames.PERSONAL`)."""
    return f"user:{user_id}"


def decisions_channel(ask: str) -> str:
    """`events.Decision`s for the process that asked under this name."""
    return f"decisions:{ask}"


def state_key(conversation_id: str) -> str:
    """Hash: epoch, top, base, bytes, sent (the highest position told on the channels), view (JSON at `top`)."""
    return f"live:{conversation_id}"


def records_key(conversation_id: str) -> str:
    """List: the `LiveRecord`s base + 1 … top, as they were published."""
    return f"live:{conversation_id}:records"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRecord:
    """One record as it is told to those who watch.

    Attributes:
        epoch: first half of the record's cursor, `epoch:position`.
        record: with its texts opened.
        gone: ids of the messages (or of the conversation, for its title) whose text was deleted with its owner's
            key; the text is then empty.
        conversation: the conversation after this record, where the record created, updated or deleted it. After Redis
            lost everything it may already be a later state.
    """

    epoch: str
    record: events.ConversationAdvanced
    gone: frozenset[str] = frozenset()
    conversation: frames.Conversation | None = None


class _LiveWire(Struct, frozen=True, kw_only=True, tag_field="kind", tag="record", omit_defaults=True):
    epoch: str
    record: msgspec.Raw
    gone: frozenset[str] = frozenset()
    conversation: frames.Conversation | None = None


LiveMessage = LiveRecord | DeltaMessage | PresenceMessage | TypingMessage
"""What stands on a conversation's channel."""

_wire = msgspec.json.Decoder(_LiveWire | DeltaMessage | PresenceMessage | TypingMessage)
_view = msgspec.json.Decoder(ConversationView)


def encode_record(live: LiveRecord) -> bytes:
    return msgspec.json.encode(
        _LiveWire(
            epoch=live.epoch,
            record=msgspec.Raw(events.encode_advanced(live.record)),
            gone=live.gone,
            conversation=live.conversation,
        )
    )


def decode_live(message: bytes) -> LiveMessage:
    """Read what stands on a conversation's or a project's channel.

    Raises:
        msgspec.DecodeError: none of them.
    """
    wire: _LiveWire | DeltaMessage | PresenceMessage | TypingMessage = _wire.decode(message)
    if not isinstance(wire, _LiveWire):
        return wire
    return LiveRecord(
        epoch=wire.epoch,
        record=events.decode_advanced(bytes(wire.record)),
        gone=wire.gone,
        conversation=wire.conversation,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveWindow:
    """What Redis knows of one conversation.

    Attributes:
        top: the newest position; `view` is the conversation as it is there.
        base: the position before the first of `records`; `records` holds base + 1 … top without a hole.
    """

    epoch: str
    top: int
    base: int
    view: ConversationView
    records: list[LiveRecord]


# State and records must be of one moment, hence a script. Nothing is written.
_READ = """
local state = redis.call('HMGET', KEYS[1], 'epoch', 'top', 'base', 'view')
if not state[1] then return false end
local top, base = tonumber(state[2]), tonumber(state[3])
-- Redis may have lost one key of the two.
if redis.call('LLEN', KEYS[2]) ~= top - base then return false end
local from = math.max(base, math.min(tonumber(ARGV[1]), top))
return {state[1], state[2], from, state[4], redis.call('LRANGE', KEYS[2], from - base, -1)}
"""


async def read_window(redis: Redis, conversation_id: str, after: int = 0) -> LiveWindow | None:
    """The window from the first record above `after` on; None where Redis knows nothing of the conversation.

    A `base` above `after` says that the window begins later: what is between is in PostgreSQL.

    Raises:
        one of `infra.redis.AWAY`.
    """
    keys = (state_key(conversation_id), records_key(conversation_id))
    found: list[Any] | None = await redis.eval(_READ, 2, *keys, after)
    if found is None:
        return None
    epoch, top, base, view, records = found
    return LiveWindow(
        epoch=epoch.decode(),
        top=int(top),
        base=int(base),
        view=_view.decode(view),
        records=[live for live in map(decode_live, records) if isinstance(live, LiveRecord)],
    )


async def read_tops(redis: Redis, conversation_ids: list[str]) -> dict[str, tuple[str, int]]:
    """Epoch and newest position of each conversation that Redis knows, in one round trip.

    Raises:
        one of `infra.redis.AWAY`.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        for conversation_id in conversation_ids:
            pipeline.hmget(state_key(conversation_id), ["epoch", "top"])
        answers = await pipeline.execute()
    return {
        conversation_id: (epoch.decode(), int(top))
        for conversation_id, (epoch, top) in zip(conversation_ids, answers, strict=True)
        if epoch is not None
    }

"""The live window: what a record becomes for those who watch, and the one script that writes and tells it.

Window and channels must agree: whoever reads the window up to a position, and the channel from there on, misses nothing
and sees nothing twice. So both happen in one script, which Redis runs whole, and which does either once: a record that
was told before is not told again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from infra.deltas import conversation_channel
from infra.live import (
    WINDOW_BYTES,
    WINDOW_RECORDS,
    WINDOW_S,
    LiveRecord,
    encode_record,
    project_channel,
    records_key,
    state_key,
    user_channel,
)
from schemas import events, frames, shown
from schemas.conversation import ConversationView
from schemas.opened import Opened

ADVANCE = """
-- KEYS: state, records.
-- ARGV: epoch, position of the record, position of the view, view, record, most records, most bytes, seconds,
--       then channels and messages in turn.
-- The view's position is the record's, or a later one where history was ahead, or 0 where nobody can say.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'top', 'base', 'bytes', 'sent')
local position, at = tonumber(ARGV[2]), tonumber(ARGV[3])
local top, base, bytes = tonumber(state[2]), tonumber(state[3]), tonumber(state[4])
-- Redis may have lost one key of the two.
local here = state[1] == ARGV[1] and redis.call('LLEN', KEYS[2]) == top - base
if here and top >= at then
    if tonumber(state[5]) >= position then return 0 end
    redis.call('HSET', KEYS[1], 'sent', position)
elseif at > 0 then
    if not here or top ~= position - 1 then
        redis.call('DEL', KEYS[1], KEYS[2])
        base, bytes = (at == position and position - 1 or at), 0
    end
    if at == position then
        redis.call('RPUSH', KEYS[2], ARGV[5])
        bytes = bytes + #ARGV[5]
    end
    while bytes > tonumber(ARGV[7]) or at - base > tonumber(ARGV[6]) do
        bytes = bytes - #redis.call('LPOP', KEYS[2])
        base = base + 1
    end
    redis.call('HSET', KEYS[1],
        'epoch', ARGV[1], 'top', at, 'base', base, 'bytes', bytes, 'sent', position, 'view', ARGV[4])
    redis.call('EXPIRE', KEYS[1], ARGV[8])
    redis.call('EXPIRE', KEYS[2], ARGV[8])
end
for n = 9, #ARGV, 2 do redis.call('PUBLISH', ARGV[n], ARGV[n + 1]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class Advance:
    """One run of the script."""

    keys: tuple[str, str]
    arguments: tuple[str | bytes | int, ...]


def advance(epoch: str, opened: Opened, view: ConversationView | None) -> Advance:
    """Write a record into the window and tell it.

    Args:
        view: the conversation after the record, or at a later position; None where nobody can say: then the record
            is told, and kept in no window.
    """
    record = opened.record
    conversation = shown.conversation(view) if view and _changes_the_list(record) else None
    told = encode_record(LiveRecord(epoch=epoch, record=record, gone=opened.gone, conversation=conversation))
    messages: list[str | bytes] = [conversation_channel(record.conversation_id), told]
    if conversation is not None:
        messages += [project_channel(record.project_id), told]
    for user_id, push in _refusals(record):
        messages += [user_channel(user_id), msgspec.json.encode(push)]
    return Advance(
        keys=(state_key(record.conversation_id), records_key(record.conversation_id)),
        arguments=(
            epoch,
            record.position,
            0 if view is None else view.position,
            b"" if view is None else msgspec.json.encode(view),
            told,
            WINDOW_RECORDS,
            WINDOW_BYTES,
            WINDOW_S,
            *messages,
        ),
    )


def _changes_the_list(record: events.ConversationAdvanced) -> bool:
    changes = events.ConversationCreated | events.ConversationUpdated | events.ConversationDeleted
    return any(isinstance(fact, changes) for fact in record.facts)


def _refusals(record: events.ConversationAdvanced) -> Iterator[tuple[str, frames.MessageRejectedPush]]:
    for fact in record.facts:
        if isinstance(fact, events.MessageRejected):
            yield (
                fact.user_id,
                frames.MessageRejectedPush(
                    conversation_id=record.conversation_id,
                    message_id=fact.message_id,
                    client_message_id=fact.client_message_id,
                    code=fact.code,
                ),
            )

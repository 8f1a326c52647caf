"""The window of a conversation: its newest records and its state in Redis, and the script that writes them.

Nothing here tells anybody: what is told stands in `streams.projections.live`.
"""

import msgspec

from infra.live import WINDOW_BYTES, WINDOW_RECORDS, WINDOW_S, LiveRecord
from schemas import shown
from schemas.conversation import LISTED, ConversationView
from schemas.opened import Opened

WRITE = """
-- KEYS: state, records.
-- ARGV: epoch, position of the record, position of the view, view, record, most records, most bytes, seconds.
-- The view's position is the record's, or a later one where history was ahead, or 0 where nobody can say.
-- Answers 0 where the record was told already.
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
"""


def live_record(epoch: str, opened: Opened, view: ConversationView | None) -> LiveRecord:
    """The record as a window keeps it and channels tell it. `view` is the conversation after it, or later."""
    listed = view is not None and any(isinstance(fact, LISTED) for fact in opened.record.facts)
    return LiveRecord(
        epoch=epoch,
        record=opened.record,
        gone=opened.gone,
        conversation=shown.conversation(view) if view is not None and listed else None,
    )


def write_arguments(
    epoch: str, position: int, view: ConversationView | None, record: bytes
) -> tuple[str | bytes | int, ...]:
    """What `WRITE` takes.

    Args:
        view: the conversation after the record, or at a later position; None where nobody can say.
        record: the encoded `LiveRecord`.
    """
    return (
        epoch,
        position,
        0 if view is None else view.position,
        b"" if view is None else msgspec.json.encode(view),
        record,
        0 if view is not None and view.purged else WINDOW_RECORDS,
        WINDOW_BYTES,
        WINDOW_S,
    )

"""What a record becomes for those who watch, and the one script that writes it into the window and tells it.

Window and channels must agree: whoever reads the window up to a position, and the channel from there on, misses nothing
and sees nothing twice. So both happen in one script, which Redis runs whole, and which does either once: a record that
was told before is not told again.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from infra.deltas import conversation_channel
from infra.live import encode_record, project_channel, records_key, state_key, user_channel
from schemas import events, frames
from schemas.conversation import ConversationView
from schemas.opened import Opened
from streams.projections.window import WRITE, live_record, write_arguments

ADVANCE = f"""
{WRITE}
-- Then channels and messages in turn.
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
    live = live_record(epoch, opened, view)
    told = encode_record(live)
    messages: list[str | bytes] = [conversation_channel(record.conversation_id), told]
    if live.conversation is not None:
        messages += [project_channel(record.project_id), told]
    for user_id, push in _refusals(record):
        messages += [user_channel(user_id), msgspec.json.encode(push)]
    return Advance(
        keys=(state_key(record.conversation_id), records_key(record.conversation_id)),
        arguments=(*write_arguments(epoch, record.position, view, told), *messages),
    )


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

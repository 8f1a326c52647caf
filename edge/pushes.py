"""What a record is for those who watch: its facts as the frames that tell them. Pure.

`run.started` and `run.restarted` are not made here, because the first delta of an attempt may come before the record
that says it began; who follows the text (`edge.subscriptions`) tells them once.
"""

import msgspec

from infra.live import LiveRecord
from schemas import events, frames, shown
from schemas.conversation import LISTED, ConversationView


def cursor(epoch: str, position: int) -> str:
    return f"{epoch}:{position}"


def position_in(cursor: str | None, epoch: str) -> int | None:
    """The position of a cursor of this epoch; None for another epoch's, or for what is no cursor at all."""
    if cursor is None:
        return None
    of, colon, position = cursor.partition(":")
    return int(position) if of == epoch and colon and position.isdecimal() and len(position) < 19 else None


def push_of(fact: events.AnyFact, live: LiveRecord, conversation: frames.Conversation) -> frames.Push | None:
    """The frame that tells a fact; None where it is told otherwise, or to nobody.

    Args:
        conversation: as it is after the record.
    """
    record = live.record
    at = cursor(live.epoch, record.position)
    match fact:
        case events.ConversationCreated():
            return frames.ConversationCreatedPush(cursor=at, conversation=conversation)
        case events.ConversationUpdated() | events.ConversationRestored():
            return frames.ConversationUpdatedPush(cursor=at, conversation=conversation)
        case events.ConversationDeleted() | events.ConversationPurged():
            return frames.ConversationDeletedPush(cursor=at, conversation=conversation)
        case events.MessagePosted():
            return frames.MessageCreated(
                conversation_id=record.conversation_id, cursor=at, message=shown.message(fact, live.gone)
            )
        case events.MessageRejected():
            return frames.MessageRejectedPush(
                conversation_id=record.conversation_id,
                message_id=fact.message_id,
                client_message_id=fact.client_message_id,
                code=fact.code,
            )
        case events.RunQueued():
            return frames.RunQueuedPush(
                run_id=fact.run_id,
                conversation_id=record.conversation_id,
                message_id=fact.message_id,
                agent_id=fact.agent.agent_id,
                attempt=0,
                question_id=fact.question_id,
            )
        case events.RunEnded():
            return frames.RunFinished(
                run_id=fact.run_id,
                conversation_id=record.conversation_id,
                attempt=fact.attempt,
                last_seq=fact.last_seq,
                status=fact.status,
                finish_reason=fact.finish_reason,
                usage=fact.usage,
                error=fact.error,
            )
        case _:
            return None


def list_push(live: LiveRecord) -> bytes | None:
    """What a record says to those who see the conversation in a list only; None where it says nothing to them."""
    if live.conversation is None:
        return None
    for fact in live.record.facts:
        if isinstance(fact, LISTED):
            return msgspec.json.encode(push_of(fact, live, live.conversation))
    return None


def at_once(view: ConversationView, epoch: str) -> frames.ConversationUpdatedPush | frames.ConversationDeletedPush:
    """The conversation as it is now, for those who missed how it came to be so."""
    kind = frames.ConversationDeletedPush if view.deleted else frames.ConversationUpdatedPush
    return kind(cursor=cursor(epoch, view.position), conversation=shown.conversation(view))

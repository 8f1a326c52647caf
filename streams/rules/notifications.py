"""Which record tells whom of what. Pure: what must be known besides the record is asked for first (`needs`)."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct, field

from schemas import events, ids
from schemas.conversation import RunStatus
from schemas.notifications import Kind, Notice
from streams.rules.mentions import Person, mentioned

OLDEST: Final = timedelta(days=3)
"""What happened before is told to nobody any more: longer than this process is ever away, and short enough that one
which reads the log for the first time does not tell people of last year."""

_FINISHED: Final = (RunStatus.COMPLETED, RunStatus.FAILED)
"""How an answer ends by itself. Who stops one knows it."""


class Needs(Struct, frozen=True):
    """What must be known to decide on a record.

    Attributes:
        project_id: whose members may have been mentioned; None where nobody was.
        conversation_id: whose present people are to be known; None where nothing ended.
        runs: runs of which the record does not say who asked.
    """

    project_id: str | None = None
    conversation_id: str | None = None
    runs: frozenset[str] = frozenset()


class Known(Struct, frozen=True, kw_only=True):
    """What is known when a record is decided on.

    Attributes:
        texts: opened, by the message's id; those of destroyed keys are missing.
        members: the people of each project.
        looking: who looks at each conversation now, by its id.
        askers: who asked for a run, by its id.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Sequence[Person]] = field(default_factory=dict)
    looking: Mapping[str, Set[str]] = field(default_factory=dict)
    askers: Mapping[str, str] = field(default_factory=dict)


def needs(record: events.ConversationAdvanced, texts: Mapping[str, str]) -> Needs:
    """What must be known to decide on this record; `texts` as in `Known`."""
    ended = {fact.run_id for fact in _finished(record)}
    return Needs(
        project_id=record.project_id if any("@" in texts[id] for id in _said(record) if id in texts) else None,
        conversation_id=record.conversation_id if ended else None,
        runs=frozenset(ended - _answered(record).keys()),
    )


def is_too_old(record: events.ConversationAdvanced, now: datetime) -> bool:
    """Whether nobody is to be told of it any more."""
    return record.at < now - OLDEST


def notices(record: events.ConversationAdvanced, known: Known) -> list[Notice]:
    """Who is told what follows from this record, now."""
    return [*_mentions(record, known), *_answers(record, known)]


def _mentions(record: events.ConversationAdvanced, known: Known) -> list[Notice]:
    return [
        Notice(
            id=ids.notification_id(message_id, Kind.MENTION, user_id),
            user_id=user_id,
            kind=Kind.MENTION,
            project_id=record.project_id,
            occurred_at=record.at,
            data={"conversation_id": record.conversation_id, "message_id": message_id, "by": author_id},
        )
        for message_id, author_id in _said(record).items()
        for user_id in sorted(
            mentioned(known.texts.get(message_id, ""), known.members.get(record.project_id, ())) - {author_id}
        )
    ]


def _answers(record: events.ConversationAdvanced, known: Known) -> list[Notice]:
    askers = {**known.askers, **_answered(record)}
    looking = known.looking.get(record.conversation_id, frozenset())
    return [
        Notice(
            id=ids.notification_id(fact.run_id, Kind.ANSWER, asker),
            user_id=asker,
            kind=Kind.ANSWER,
            project_id=record.project_id,
            occurred_at=record.at,
            data={
                "conversation_id": record.conversation_id,
                "message_id": ids.answer_id(fact.run_id),
                "run_id": fact.run_id,
                "status": fact.status,
            },
        )
        for fact in _finished(record)
        if (asker := askers.get(fact.run_id)) is not None and asker not in looking
    ]


def _finished(record: events.ConversationAdvanced) -> list[events.RunEnded]:
    return [fact for fact in record.facts if isinstance(fact, events.RunEnded) and fact.status in _FINISHED]


def _said(record: events.ConversationAdvanced) -> dict[str, str]:
    """The authors of people's messages, by the message's id."""
    return {
        fact.message_id: fact.author_id
        for fact in record.facts
        if isinstance(fact, events.MessagePosted) and fact.author_id is not None
    }


def _answered(record: events.ConversationAdvanced) -> dict[str, str]:
    """Who asked for the answers in this record, by the run's id: an answer belongs to whoever asked."""
    return {
        fact.run_id: fact.owner_id
        for fact in record.facts
        if isinstance(fact, events.MessagePosted) and fact.author_id is None and fact.run_id is not None
    }

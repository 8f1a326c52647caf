"""Which record tells whom of what."""

from collections.abc import Mapping, Set
from datetime import UTC, datetime, timedelta

import pytest

from schemas import events, ids
from schemas.notifications import Kind
from streams.rules.mentions import Person
from streams.rules.notifications import OLDEST, Known, Needs, is_too_old, needs, notices

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TALK, PROJECT, ADA, BOB, QUESTION, RUN, AGENT = (ids.new_id() for _ in range(7))
ANSWER = ids.answer_id(RUN)


def record(*facts: events.AnyFact, at: datetime = NOW) -> events.ConversationAdvanced:
    return events.ConversationAdvanced(
        conversation_id=TALK, project_id=PROJECT, position=1, cause=ids.new_id(), at=at, facts=list(facts)
    )


def said(by: str = ADA, message_id: str = QUESTION) -> events.MessagePosted:
    return events.MessagePosted(
        message_id=message_id, role="user", owner_id=by, author_id=by, content="sealed", created_at=NOW
    )


def answered(run_id: str = RUN, asker: str = ADA) -> events.MessagePosted:
    return events.MessagePosted(
        message_id=ids.answer_id(run_id), role="assistant", owner_id=asker, agent_id=AGENT, content="sealed",
        created_at=NOW, run_id=run_id,
    )  # fmt: skip


def ended(status: str = "completed", run_id: str = RUN) -> events.RunEnded:
    return events.RunEnded(run_id=run_id, attempt=1, last_seq=3, status=status, finish_reason="stop")


def known(
    *, text: str = "", looking: Mapping[str, Set[str]] | None = None, askers: Mapping[str, str] | None = None
) -> Known:
    people = [Person(ADA, "Ada", None), Person(BOB, "Bob", None)]
    return Known(texts={QUESTION: text}, members={PROJECT: people}, looking=looking or {}, askers=askers or {})


def test_whoever_is_mentioned_is_told() -> None:
    """One notification for each person and message, with ids that say where, and none for the author."""
    [told] = notices(record(said()), known(text="@Bob and @bob and @Ada"))

    assert (told.user_id, told.kind, told.project_id, told.occurred_at) == (BOB, Kind.MENTION, PROJECT, NOW)
    assert told.data == {"conversation_id": TALK, "message_id": QUESTION, "by": ADA}


def test_answers_mention_nobody() -> None:
    """What an agent writes calls nobody: it would do so on whoever's behalf."""
    made = Known(texts={ANSWER: "@Bob"}, members=known().members)

    assert notices(record(answered()), made) == []
    assert needs(record(answered()), made.texts) == Needs()


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_whoever_asked_and_is_away_is_told(status: str) -> None:
    """Of the end of their answer, whether it was reached or not."""
    [told] = notices(record(answered(), ended(status)), known(looking={TALK: {BOB}}))

    assert (told.user_id, told.kind) == (ADA, Kind.ANSWER)
    assert told.data == {"conversation_id": TALK, "message_id": ANSWER, "run_id": RUN, "status": status}


def test_whoever_looks_is_not_told() -> None:
    """They have seen it end."""
    assert notices(record(answered(), ended()), known(looking={TALK: {ADA}})) == []
    assert notices(record(answered(), ended()), known(looking={ids.new_id(): {ADA}}))


def test_who_stopped_an_answer_is_not_told() -> None:
    """A cancelled run is nobody's news."""
    assert notices(record(answered(), ended("cancelled")), known()) == []
    assert needs(record(answered(), ended("cancelled")), {}) == Needs()


def test_an_end_without_an_answer_is_told_to_who_asked() -> None:
    """The record does not say who that is, so it is asked for; of a run that nobody knows nobody is told."""
    failed = record(ended("failed"))

    assert needs(failed, {}) == Needs(conversation_id=TALK, runs=frozenset({RUN}))
    assert [n.user_id for n in notices(failed, known(askers={RUN: BOB}))] == [BOB]
    assert notices(failed, known()) == []


def test_what_must_be_known_is_asked_for_only_where_it_is() -> None:
    """Members where there is an `@`, who looks where something ended, and nothing for all the rest."""
    assert needs(record(said()), {QUESTION: "a @ b"}) == Needs(project_id=PROJECT)
    assert needs(record(said()), {QUESTION: "nobody"}) == Needs()
    assert needs(record(said()), {}) == Needs()
    assert needs(record(answered(), ended()), {}) == Needs(conversation_id=TALK)
    assert needs(record(events.RunRequested(run_id=RUN)), {}) == Needs()


def test_a_deleted_text_mentions_nobody() -> None:
    """Its key was destroyed before it was read."""
    assert notices(record(said()), Known(members=known().members)) == []


def test_ids_follow_from_causes() -> None:
    """The same record gives the same ids; another message, run, person or kind another one."""
    both = record(said(), answered(), ended(), said(message_id=BOB))
    first, again = (notices(both, known(text="@Bob")) for _ in range(2))

    assert [n.id for n in first] == [n.id for n in again]
    found = {ids.notification_id(cause, kind, who) for cause in (RUN, QUESTION) for kind in Kind for who in (ADA, BOB)}
    assert len(found) == 2 * len(Kind) * 2


def test_what_is_old_is_told_to_nobody() -> None:
    """A process that reads the log for the first time does not tell people of last year."""
    assert is_too_old(record(at=NOW - OLDEST - timedelta(seconds=1)), NOW)
    assert not is_too_old(record(at=NOW - OLDEST), NOW)

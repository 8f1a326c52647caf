"""What is deleted can be had back for a while, and is then gone for good."""

from datetime import timedelta

import pytest

from schemas import events, ids
from schemas.conversation import DELETED_KEPT_S, ConversationView, apply
from streams.rules.state import State, fold
from tests.rules.talk import HERE, Talk, an_id, message_id, run_of, tags

KEPT = timedelta(seconds=DELETED_KEPT_S)


def view(talk: Talk) -> ConversationView:
    assert talk.state is not None
    return talk.state.view


def deleted(days: float = 0) -> Talk:
    """A conversation of one answered question that was deleted so many days ago."""
    talk = Talk()
    talk.send("q1")
    talk.started(run_of("q1"))
    talk.ended(run_of("q1"))
    talk.delete()
    talk.now += timedelta(days=days)
    return talk


def test_restoring_brings_it_back_as_it_was() -> None:
    """What was said is there again, and people go on; an answer that the deletion stopped stays stopped."""
    talk = deleted()
    talk.restore()
    talk.send("q2")
    talk.delete()

    restored = talk.restore()

    assert tags(restored) == ["conversation.restored"]
    assert (view(talk).deleted, view(talk).deleted_at) == (False, None)
    assert tags(talk.ended(run_of("q2"))) == ["run.ended"]
    assert tags(talk.send("q3")) == ["message.posted", "run.queued", "run.requested"]
    assert talk.state is not None
    assert list(talk.state.messages)[:2] == [message_id("q1"), ids.answer_id(run_of("q1"))]


def test_a_deletion_that_comes_again_after_a_restore_deletes_nothing() -> None:
    """The same command is known, whatever has happened since; so is the same restore."""
    talk = deleted()
    talk.restore(cause=an_id("restore"))
    talk.delete(cause=an_id("delete"))
    talk.restore()

    assert tags(talk.delete(cause=an_id("delete"))) == []
    assert not view(talk).deleted
    talk.delete()
    assert tags(talk.restore(cause=an_id("restore"))) == []
    assert view(talk).deleted


@pytest.mark.parametrize("undone", ["delete", "restore"])
def test_what_changed_nothing_undoes_nothing_later(undone: str) -> None:
    """Decided again after one behind it, as a worker does that begins anew, it finds that it was decided."""
    talk = deleted() if undone == "delete" else Talk()
    again, behind = (talk.delete, talk.restore) if undone == "delete" else (talk.restore, talk.delete)
    again(cause=an_id("first"))
    behind(cause=an_id("second"))
    before = view(talk)

    assert tags(again(cause=an_id("first"))) == []
    assert view(talk) == before


def test_who_may_restore() -> None:
    """Whoever may delete; for another project's it is not there."""
    talk = deleted()

    assert talk.restore(role="viewer").code == "forbidden"
    assert talk.restore(project_id=an_id("other")).code == "not_found"
    assert view(talk).deleted


@pytest.mark.parametrize("early_s", [0.001, 1.5, DELETED_KEPT_S])
def test_nothing_is_purged_early(early_s: float) -> None:
    """Whoever asks, by whatever clock: before its time is up nothing happens, and after it everything does."""
    talk = deleted()
    deleted_at = view(talk).deleted_at
    assert deleted_at is not None
    talk.now = deleted_at + KEPT - timedelta(seconds=1 + early_s)
    assert tags(talk.purge()) == []
    talk.now = deleted_at + KEPT - timedelta(seconds=1)
    assert tags(talk.purge()) == ["conversation.purged"]


def test_a_clock_that_was_behind_when_it_was_deleted() -> None:
    """It was not deleted before the last word was said in it."""
    talk = Talk()
    talk.send("q1", agent=None)
    said_at = talk.now
    talk.now -= timedelta(days=40)
    talk.delete()
    assert view(talk).deleted_at == said_at


def test_deleting_twice_does_not_begin_the_time_anew() -> None:
    """The first deletion counts, until it is undone."""
    talk = deleted()
    first = view(talk).deleted_at
    talk.now += timedelta(days=9)
    talk.delete()
    assert view(talk).deleted_at == first
    talk.restore()
    talk.delete()
    assert view(talk).deleted_at == talk.now


def test_another_deletion_is_not_purged() -> None:
    """What was restored and deleted anew has its whole time again, whatever is still on its way."""
    talk = deleted(days=20)
    first = view(talk).deleted_at
    talk.restore()
    assert tags(talk.purge(first)) == []
    talk.delete()
    talk.now += timedelta(days=29)
    assert tags(talk.purge(first)) == []
    assert tags(talk.purge()) == []
    talk.now += timedelta(days=2)
    assert tags(talk.purge(first)) == [], "two clocks have to agree on the same deletion"
    assert tags(talk.restore()) == ["conversation.restored"]


def test_an_answer_that_is_being_made_is_waited_for() -> None:
    """Its end, with what it took, is still written down."""
    talk = Talk()
    talk.send("q1")
    talk.delete()
    talk.now += 2 * KEPT
    assert tags(talk.purge()) == []
    assert tags(talk.ended(run_of("q1"))) == ["run.ended"]
    assert tags(talk.purge()) == ["conversation.purged"]


def test_after_a_purge_nothing_happens_any_more() -> None:
    """No command of anybody, no report, and no second purge writes anything; nobody's id begins it anew."""
    talk = deleted(days=31)
    deleted_at = view(talk).deleted_at
    talk.purge()
    records = len(talk.records)

    outcomes = [
        talk.send("q1"),
        talk.send("new"),
        talk.regenerate(message_id("q1"), "again"),
        talk.cancel(run_of("q1")),
        talk.update(archived=True),
        talk.delete(),
        talk.restore(),
    ]
    assert {outcome.code for outcome in outcomes} == {"not_found"}
    assert talk.create().code == "idempotency_mismatch"
    assert tags(talk.purge(deleted_at)) == []
    assert tags(talk.started(run_of("q1"))) == tags(talk.ended(run_of("q1"))) == []
    assert len(talk.records) == records


def test_nothing_of_it_is_kept() -> None:
    """The state has no message, no text and no title; replayed from the first record it is the same."""
    talk = deleted()
    talk.restore()
    talk.update(title=f"1.{an_id('ann')}.secret")
    talk.delete()
    talk.now += KEPT
    talk.purge()

    state: State | None = None
    plain: ConversationView | None = None
    for record in talk.records:
        state = fold(state, record)
        plain = apply(plain, record)
    assert state == talk.state
    assert talk.state == State(view(talk), causes=talk.state.causes if talk.state else [])
    assert talk.state is not None
    assert talk.state.texts == {}
    assert plain is not None
    assert (plain.title, plain.deleted, plain.purged, plain.runs) == (None, True, True, {})


def test_a_purge_of_what_was_never_there() -> None:
    """It begins nothing."""
    talk = Talk(created=False)
    purge = events.PurgeConversation(conversation_id=HERE, deleted_at=talk.now)
    assert tags(talk.do(purge)) == []
    assert talk.state is None

"""Another answer, and a question said differently: siblings under one parent, of which the newest counts."""

import pytest

from schemas import events, ids
from streams.rules import context
from streams.rules.state import State
from tests.rules.talk import ANN, BEN, Talk, an_id, message_id, run_of, tags


def answered(talk: Talk, run_id: str, **report: object) -> str:
    """The agent answers; the answer's message."""
    talk.started(run_id)
    talk.ended(run_id, **report)
    return ids.answer_id(run_id)


def a_talk() -> Talk:
    """Three questions of Ann's, each with its answer."""
    talk = Talk()
    for name in ("q1", "q2", "q3"):
        talk.send(name)
        answered(talk, run_of(name))
    return talk


def state(talk: Talk) -> State:
    assert talk.state is not None
    return talk.state


def way(talk: Talk, name: str) -> list[str]:
    return context.path(state(talk), message_id(name), 10)


def parent(talk: Talk, name: str) -> str | None:
    return state(talk).messages[message_id(name)].parent_id


def test_an_edit_stands_beside_what_it_edits() -> None:
    """Under the same parent, with what came before as its context; what is said next follows the edit."""
    talk = a_talk()

    edited = talk.send("q2 anew", edits=message_id("q2"))
    answer = answered(talk, run_of("q2 anew"))
    talk.send("q4")

    assert tags(edited) == ["message.posted", "run.queued", "run.requested"]
    assert parent(talk, "q2 anew") == parent(talk, "q2") == message_id("q1")
    assert parent(talk, "q4") == message_id("q2 anew")
    first = [message_id("q1"), ids.answer_id(run_of("q1"))]
    assert way(talk, "q4") == [*first, message_id("q2 anew"), answer, message_id("q4")]
    assert way(talk, "q3")[2:] == [message_id("q2"), ids.answer_id(run_of("q2")), message_id("q3")]


def test_the_first_message_can_be_edited() -> None:
    """Its siblings have no parent, as it has none."""
    talk = a_talk()
    talk.send("q1 anew", edits=message_id("q1"))
    assert parent(talk, "q1 anew") is None
    assert way(talk, "q1 anew") == [message_id("q1 anew")]


def test_an_edit_of_an_edit() -> None:
    """Is one more sibling, not one below."""
    talk = a_talk()
    talk.send("second", edits=message_id("q2"))
    talk.send("third", edits=message_id("second"))
    assert parent(talk, "third") == parent(talk, "second") == message_id("q1")


def test_sent_again_an_edit_changes_nothing() -> None:
    """The same id gives the same answer, whatever has been said since."""
    talk = a_talk()
    first = talk.send("q2 anew", edits=message_id("q2"))
    talk.send("q4")
    again = talk.send("q2 anew", edits=message_id("q2"))
    assert (tags(again), again.code, again.run_id) == ([], None, first.run_id)


@pytest.mark.parametrize(
    ("edits", "user", "code"),
    [
        (an_id("nothing"), ANN, "not_found"),
        (ids.answer_id(run_of("q2")), ANN, "invalid"),
        (message_id("q2"), BEN, "forbidden"),
    ],
)
def test_what_cannot_be_edited(edits: str, user: str, code: str) -> None:
    """What is not there, what an agent said, and what another person said; refused for good, and nothing is stored."""
    talk = a_talk()
    refused = talk.send("anew", edits=edits, user=user)
    assert (tags(refused), refused.code) == (["message.rejected"], code)
    again = talk.send("anew", edits=edits, user=user)
    assert (tags(again), again.code) == ([], code)


@pytest.mark.parametrize(("when_busy", "keep"), [("interrupt", True), ("rollback", False)])
def test_editing_the_question_that_is_being_answered(when_busy: str, keep: bool) -> None:
    """It waits its turn, is refused, interrupts or rolls back, as any message does."""
    talk = a_talk()
    talk.send("q4")
    talk.started(run_of("q4"))

    assert talk.send("no", edits=message_id("q4"), when_busy="reject").code == "conversation_busy"
    assert tags(talk.send("later", edits=message_id("q4"))) == ["message.posted", "run.queued"]
    cut = talk.send("q4 anew", edits=message_id("q4"), when_busy=when_busy)
    ended = talk.ended(run_of("q4"))

    assert cut.stop == run_of("q4")
    assert ("message.posted" in tags(ended)) is keep
    assert ended.answer == run_of("q4 anew")
    assert way(talk, "q4 anew")[-2:] == [ids.answer_id(run_of("q3")), message_id("q4 anew")]


def test_a_regenerated_answer_stands_beside_the_first() -> None:
    """Under the question; what is asked next is shown the newest."""
    talk = a_talk()
    question, first = message_id("q2"), ids.answer_id(run_of("q2"))
    run_id = ids.regenerated_run_id(first, an_id("again"))

    talk.regenerate(first, "again")
    second = answered(talk, run_id)

    assert state(talk).messages[second].parent_id == state(talk).messages[first].parent_id == question
    assert way(talk, "q3")[3] == second
    # Of the question's own other answer the request shows nothing: it asks for another one.
    third = talk.regenerate(question, "and again")
    assert third.answer is not None
    asked = context.request(state(talk), third.answer)
    assert [m.message_id for m in asked.context][-1] == question


# -- titles --


def test_the_first_exchange_gives_a_title() -> None:
    """The report brings it, and only where there is none; the fact says that nobody asked for it."""
    talk = Talk()
    talk.send("q1")
    assert context.request(state(talk), run_of("q1")).untitled
    ended = talk.ended(run_of("q1"), title=f"1.{ANN}.made of words")

    assert tags(ended) == ["message.posted", "run.ended", "conversation.updated"]
    assert ended.record is not None
    assert ended.record.facts[-1] == events.ConversationUpdated(
        user_id=ANN, title=f"1.{ANN}.made of words", automatic=True
    )
    talk.send("q2")
    assert not context.request(state(talk), run_of("q2")).untitled
    assert tags(talk.ended(run_of("q2"), title=f"1.{ANN}.another")) == ["message.posted", "run.ended"]


def test_a_name_is_not_overwritten() -> None:
    """Whoever names it while the first answer is being made is right; one that comes later is right as well."""
    talk = Talk()
    talk.send("q1")
    talk.started(run_of("q1"))
    talk.update(title=f"1.{ANN}.mine")
    assert tags(talk.ended(run_of("q1"), title=f"1.{ANN}.made")) == ["message.posted", "run.ended"]

    named = Talk(created=False)
    named.create(title=f"1.{ANN}.mine")
    named.send("q1")
    assert not context.request(state(named), run_of("q1")).untitled
    assert tags(named.ended(run_of("q1"), title=f"1.{ANN}.made")) == ["message.posted", "run.ended"]


def test_no_answer_no_title() -> None:
    """What is discarded, and what failed before a word, names nothing; the next exchange may."""
    talk = Talk()
    talk.send("q1")
    talk.started(run_of("q1"))
    talk.send("q2", when_busy="rollback")
    assert tags(talk.ended(run_of("q1"), title=f"1.{ANN}.made"))[0] == "run.ended"
    assert not state(talk).titled
    talk.ended(run_of("q2"), title=f"1.{ANN}.made")
    assert state(talk).titled


def test_a_title_that_is_taken_away_may_be_made_anew() -> None:
    """Whoever sets it to null asks for that."""
    talk = Talk(created=False)
    talk.create(title=f"1.{ANN}.mine")
    talk.update(title=None)
    talk.send("q1")
    assert tags(talk.ended(run_of("q1"), title=f"1.{ANN}.made"))[-1] == "conversation.updated"


def test_the_report_that_comes_again_titles_nothing() -> None:
    """A run ends once."""
    talk = Talk()
    talk.send("q1")
    talk.ended(run_of("q1"), title=f"1.{ANN}.made")
    talk.update(title=None)
    assert tags(talk.ended(run_of("q1"), title=f"1.{ANN}.made")) == []

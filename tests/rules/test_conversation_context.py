"""What an agent is shown when it is asked."""

import msgspec
import pytest

from schemas import ids
from schemas.events import AgentRef
from streams.rules import context
from streams.rules.state import State
from tests.rules.talk import Talk, an_id, message_id, run_of


def ask(talk: Talk, name: str, *, context_messages: int = 10, text: str | None = None) -> str:
    """Send a question whose turn comes at once; its run's id."""
    agent = AgentRef(agent_id=an_id("agent"), version=1, context_messages=context_messages)
    talk.send(name, agent=agent, text=text)
    return run_of(name)


def shown(talk: Talk, run_id: str) -> list[str]:
    assert talk.state is not None
    return [message.message_id for message in context.request(talk.state, run_id).context]


def answer(name: str) -> str:
    return ids.answer_id(run_of(name))


def state_of(talk: Talk) -> State:
    assert talk.state is not None
    return talk.state


def test_each_answer_stands_right_after_its_question() -> None:
    """Questions that waited come after the answers to those before them, though they were said earlier."""
    talk = Talk()
    ask(talk, "q1")
    ask(talk, "q2")
    talk.ended(run_of("q1"))

    assert [message_id("q1"), answer("q1"), message_id("q2")] == shown(talk, run_of("q2"))


def test_a_question_is_the_last_that_is_shown() -> None:
    """Whatever was said after a question is not shown to its agent."""
    talk = Talk()
    ask(talk, "q1")
    ask(talk, "q2")

    assert [message_id("q1")] == shown(talk, run_of("q1"))


def test_the_newest_answer_is_the_one_that_counts() -> None:
    """Of the answers to one question, the agent is shown the last; a regenerated one is not shown its siblings."""
    talk = Talk()
    ask(talk, "q1")
    talk.ended(run_of("q1"))
    another = talk.regenerate(message_id("q1"), "again").run_id
    assert another is not None
    assert [message_id("q1")] == shown(talk, another)
    talk.ended(another)

    ask(talk, "q2")

    assert [message_id("q1"), ids.answer_id(another), message_id("q2")] == shown(talk, run_of("q2"))


def test_what_people_said_among_themselves_is_shown() -> None:
    """Messages that no agent answered are part of the way."""
    talk = Talk()
    talk.send("aside", agent=None)
    ask(talk, "q")

    assert [message_id("aside"), message_id("q")] == shown(talk, run_of("q"))


def test_a_rolled_back_answer_is_not_shown() -> None:
    """The question stays, the discarded answer is in no context."""
    talk = Talk()
    ask(talk, "q1")
    talk.started(run_of("q1"))
    talk.send("q2", when_busy="rollback")
    talk.ended(run_of("q1"), status="cancelled")

    assert [message_id("q1"), message_id("q2")] == shown(talk, run_of("q2"))


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_an_agent_is_shown_as_much_as_it_is_set_to(limit: int) -> None:
    """The last `context_messages` of the way, its question included."""
    talk = Talk()
    for n in range(4):
        ask(talk, f"q{n}", context_messages=limit)
        talk.ended(run_of(f"q{n}"))
    ask(talk, "last", context_messages=limit)
    whole = [m for n in range(4) for m in (message_id(f"q{n}"), answer(f"q{n}"))]

    assert [*whole, message_id("last")][-limit:] == shown(talk, run_of("last"))


def test_a_request_fits_a_record() -> None:
    """Long texts are left out from the oldest on, until the request is small enough."""
    talk = Talk()
    for n in range(9):
        talk.send(f"q{n}", agent=None, text=f"{n}" * 200_000)
    ask(talk, "last")
    request = context.request(state_of(talk), run_of("last"))

    assert [message_id(f"q{n}") for n in (5, 6, 7, 8)] == [m.message_id for m in request.context[:-1]]
    assert context.MAX_REQUEST_BYTES - 200_000 < len(msgspec.json.encode(request)) <= context.MAX_REQUEST_BYTES


def test_what_cannot_be_read_any_more_is_left_out() -> None:
    """A message whose owner's key is gone is not shown."""
    talk = Talk()
    talk.send("gone", agent=None)
    ask(talk, "q")
    state_of(talk).texts[message_id("gone")] = None

    assert [message_id("q")] == shown(talk, run_of("q"))


def test_a_request_sent_again_is_the_same() -> None:
    """Asking again later asks the same, with the time of the first request."""
    talk = Talk()
    run_id = ask(talk, "q")
    first = context.request(state_of(talk), run_id)
    talk.started(run_id)
    talk.send("later")

    assert first == context.request(state_of(talk), run_id)
    assert talk.records[1].at == first.requested_at


def test_old_texts_are_let_go_and_needed_ones_are_not() -> None:
    """However long a conversation grows, few texts are kept, and all that the next requests need are among them."""
    talk = Talk()
    first = ask(talk, "q")
    for n in range(500):
        talk.send(f"m{n}", agent=None)
        context.forget_texts(state_of(talk))
        assert [] == context.missing(state_of(talk), first)
    talk.ended(first)
    ask(talk, "next")

    assert [] == context.missing(state_of(talk), run_of("next"))
    assert len(state_of(talk).texts) < 200


def test_a_text_that_was_let_go_is_asked_for() -> None:
    """An old question that is answered anew names the texts that must be fetched first."""
    talk = Talk()
    ask(talk, "q")
    talk.ended(run_of("q"))
    for n in range(500):
        talk.send(f"m{n}", agent=None)
    context.forget_texts(state_of(talk))

    again = talk.regenerate(message_id("q"), "again").run_id
    assert again is not None

    assert [message_id("q")] == context.missing(state_of(talk), again)

"""Which messages are versions of each other, and which way through them is the newest."""

import random

from hypothesis import given
from hypothesis import strategies as st

from edge.branches import Line, Place, newest_path, places
from schemas import ids
from streams.rules import context
from tests.client import Screen
from tests.rules.talk import Talk, an_id, message_id, run_of

LINES: list[Line] = [
    ("q1", "user", None),
    ("a1", "assistant", "q1"),
    ("q2", "user", "q1"),
    ("a2", "assistant", "q2"),
    ("a2 again", "assistant", "q2"),
    ("q2 anew", "user", "q1"),
    ("q3", "user", "q2 anew"),
    ("a1 again", "assistant", "q1"),
]


def test_the_newest_path() -> None:
    """From the newest question back to the first, each with its newest answer."""
    assert newest_path(LINES) == ["q1", "a1 again", "q2 anew", "q3"]
    assert newest_path(LINES[:5]) == ["q1", "a1", "q2", "a2 again"]
    assert newest_path([]) == []


def test_the_place_of_each_version() -> None:
    """Counted in the order in which they were said, answers apart from questions."""
    found = places(LINES)
    assert found["a2"] == Place(1, 2, False)
    assert found["a2 again"] == Place(2, 2, False)
    assert found["q2"] == Place(1, 2, False)
    assert found["q2 anew"] == Place(2, 2, True)
    assert found["q3"] == Place(1, 1, True)
    assert found["a1"] == Place(1, 2, False)


@given(st.integers())
def test_what_people_see_is_what_an_agent_is_shown(seed: int) -> None:
    """Whatever is said, edited and answered again: the path here, on a screen, and in the rule are one."""
    draw = random.Random(seed)
    talk = Talk()
    for n in range(draw.randrange(1, 12)):
        said = [m for m, one in talk.state.messages.items() if one.role == "user"] if talk.state else []
        edits = draw.choice([None, None, *said])
        talk.send(f"m{n}", edits=edits)
        if draw.random() < 0.8:
            talk.ended(run_of(f"m{n}"))
        else:
            talk.cancel(run_of(f"m{n}"))
            talk.ended(run_of(f"m{n}"), status="cancelled", last_seq=0)
        if said and draw.random() < 0.3:
            again = draw.choice(said)
            talk.regenerate(again, f"r{n}")
            talk.ended(ids.regenerated_run_id(again, an_id(f"r{n}")))

    assert talk.state is not None
    messages = talk.state.messages
    lines = [(id, said.role, said.parent_id) for id, said in messages.items()]
    newest = talk.state.view.last_question_id
    assert newest == message_id(f"m{n}")
    expected = context.path(talk.state, newest, 1_000)
    if (answer := talk.state.newest_answer.get(newest)) is not None:
        expected = [*expected, answer]

    assert newest_path(lines) == expected
    screen = Screen("here")
    for id, role, parent in lines:
        screen.say({"id": id, "role": role, "parent_message_id": parent})
    assert [m["id"] for m in screen.path()] == expected

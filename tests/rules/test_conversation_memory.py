"""What the conversations processor keeps at hand, and what it lets go."""

from schemas import events
from streams.rules.state import State, fold
from streams.workers.tail import Tail
from streams.workers.warm import Warm
from tests.rules.talk import HERE, Talk, an_id


def record(conversation: str, position: int) -> events.ConversationAdvanced:
    return events.ConversationAdvanced(
        conversation_id=an_id(conversation),
        project_id=an_id("project"),
        position=position,
        cause=an_id(f"{conversation} {position}"),
        at=Talk().now,
        facts=[events.ConversationCreated(user_id=an_id("ann"))],
    )


def positions(tail: Tail, conversation: str) -> list[int]:
    return [r.position for r in tail.of(an_id(conversation))]


def test_the_tail_keeps_what_history_has_not_stored() -> None:
    """Facts stay until history is past their offset, and each conversation finds its own in order."""
    tail = Tail()
    tail.open(3, 100)
    for offset, one in enumerate((record("a", 1), record("b", 1), record("a", 2), record("b", 2)), 100):
        tail.add(3, offset, one)

    tail.forget(3, 102)

    assert ([2], [2], 102) == (positions(tail, "a"), positions(tail, "b"), tail.start(3))


def test_the_tail_tells_from_where_it_is_whole_when_history_is_past_it() -> None:
    """With all stored, the tail is empty and begins where history is; partitions that are not ours are no concern."""
    tail = Tail()
    tail.open(3, 100)
    tail.add(3, 100, record("a", 1))

    tail.forget(3, 101)
    tail.forget(4, 7)

    assert ([], 101, 0) == (positions(tail, "a"), tail.start(3), tail.size)


def test_the_tail_is_bounded() -> None:
    """When history is far behind, the oldest facts are let go, and the tail says from where it is whole."""
    tail = Tail(max_records=10)
    tail.open(0, 0)
    for n in range(25):
        tail.add(0, n, record("a", n + 1))

    assert (list(range(16, 26)), 15) == (positions(tail, "a"), tail.start(0))


def test_the_tail_is_bounded_in_bytes() -> None:
    """Few large texts count as much as many small ones."""
    tail = Tail(max_bytes=100_000)
    tail.open(0, 0)
    talk = Talk()
    for n in range(20):
        talk.send(f"q{n}", agent=None, text="x" * 20_000)
    for n, one in enumerate(talk.records):
        tail.add(0, n, one)

    assert 4 == len(tail.of(HERE))
    assert tail.size <= 100_000


def a_state(name: str) -> State:
    return fold(None, record(name, 1))


def test_those_that_were_busy_last_stay_in_memory() -> None:
    """Beyond the limit, the conversation that was used longest ago is let go."""
    warm = Warm(max_bytes=3 * a_state("a").size)
    for name in "abc":
        warm.put(a_state(name))
    warm.get(an_id("a"))

    warm.put(a_state("d"))

    assert ["c", "a", "d"] == [n for n in "cabd" if warm.get(an_id(n)) is not None]
    assert 3 == len(warm)


def test_one_conversation_may_be_larger_than_the_memory() -> None:
    """The one that is in use is kept, whatever its size."""
    warm = Warm(max_bytes=1)
    warm.put(a_state("a"))
    warm.put(a_state("b"))

    assert [an_id("b")] == [state.view.conversation_id for state in warm]


def test_a_conversation_is_counted_once() -> None:
    """Keeping a conversation again takes the place of what was kept of it."""
    warm = Warm(max_bytes=2 * a_state("a").size)
    for _ in range(5):
        warm.put(a_state("a"))
    warm.put(a_state("b"))

    assert 2 == len(warm)

"""What is due is looked at when it is due: once, not before, and not much later."""

from hypothesis import given
from hypothesis import strategies as st

from edge.wheel import Wheel


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-5, 20)), max_size=30), st.lists(st.floats(0, 3), min_size=20))
def test_whenever_something_is_due(puts: list[tuple[int, float]], pauses: list[float]) -> None:
    """Each thing comes once, at its last place, at most one turn late; nothing is forgotten, nor kept for ever."""
    wheel: Wheel[int] = Wheel(0.5, 0.0)
    due: dict[int, float] = {}
    now = 0.0
    for pause in [*pauses, 30.0]:
        if puts:
            item, at = puts.pop()
            wheel.put(item, at)
            due[item] = max(at, now)
        now += pause
        came = wheel.turn(now)
        assert len(came) == len(set(came))
        for item in came:
            assert due.pop(item) <= now
        assert all(now - 0.5 <= at or at > now for at in due.values())
    while puts:
        wheel.put(*puts.pop())
    wheel.turn(now + 60)
    assert not wheel._hanging
    assert not wheel._turn_of


def test_what_was_removed_does_not_come() -> None:
    """A connection that is gone is not looked at."""
    wheel: Wheel[str] = Wheel(1.0, 0.0)
    wheel.put("gone", 2.0)
    wheel.put("here", 2.0)
    wheel.remove("gone")

    assert wheel.turn(3.0) == ["here"]

"""When a quiet processor is stuck, and when it waits with good reason."""

import pytest

from streams.watchdog import Sight, Watchdog

STUCK = Sight(read=5, busy=False, behind=True)


@pytest.mark.parametrize(
    "sight",
    [
        pytest.param(Sight(read=5, busy=True, behind=True), id="long work, or a dependency that is waited for"),
        pytest.param(Sight(read=5, busy=False, behind=False), id="nothing to read"),
        pytest.param(Sight(read=5, busy=False, behind=None), id="the broker is away"),
    ],
)
def test_waiting_with_good_reason_is_never_stuck(sight: Sight) -> None:
    """However long it goes on; and afterwards there is the whole time again."""
    watchdog = Watchdog(60)
    assert not any(watchdog.stuck(now, sight) for now in range(0, 1000, 5))
    assert not any(watchdog.stuck(now, STUCK) for now in range(1000, 1055, 5))
    assert watchdog.stuck(1056, STUCK)


def test_reading_something_is_progress() -> None:
    """One record a minute, less a bit, is slow and not stuck."""
    watchdog = Watchdog(60)
    for n in range(10):
        assert not watchdog.stuck(n * 59, Sight(read=n, busy=False, behind=True))


def test_nothing_read_although_there_is_something_is_stuck() -> None:
    """Not before the time is over, and then at every look."""
    watchdog = Watchdog(60)
    seen = [(now, watchdog.stuck(now, STUCK)) for now in range(0, 80, 5)]
    assert [now for now, stuck in seen if stuck] == [65, 70, 75]

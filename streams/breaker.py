"""When so much fails that stopping is safer than putting all of it aside. Pure: no I/O, the clock is passed in."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """What a processor may put aside before it stops."""

    consecutive: int = 100
    """Dead letters of one partition in a row. 100: bad input comes alone or by the handful; a hundred with nothing good
    between them is a mistake of ours, and every further one has to be re-driven by somebody."""

    ratio: float = 0.5
    """Share of dead letters among all that was handled within the window, from 0 to 1. A half: a mistake that meets
    only one kind of record is mixed with good ones, and is never that many in a row."""

    window_s: float = 60.0
    """How far back the share is counted, in seconds. A minute: long enough to say something where little is going on,
    short enough that a good hour does not hide a bad minute."""

    least: int = 200
    """Dead letters within the window below which their share says nothing: two of three at night are no bad deploy."""


@dataclass(slots=True)
class _Second:
    at: int
    handled: int = 0
    dead: int = 0


class Breaker:
    """Counts what was handled and what failed; a new one, as after a restart, has seen nothing."""

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._in_a_row: dict[int, int] = {}
        self._recent: deque[_Second] = deque()
        self._handled = 0
        self._dead = 0

    def handled(self, partition: int, now_s: float) -> None:
        """A record of this partition was handled."""
        self._in_a_row.pop(partition, None)
        self._second(now_s).handled += 1
        self._handled += 1

    def stops(self, partition: int, now_s: float) -> str | None:
        """A record of this partition would be a dead letter: the limit that it reaches, in words, or None."""
        limits = self._limits
        self._in_a_row[partition] = in_a_row = self._in_a_row.get(partition, 0) + 1
        self._second(now_s).dead += 1
        self._dead += 1
        if in_a_row >= limits.consecutive:
            return f"{in_a_row} records in a row failed in partition {partition}"
        if self._dead >= limits.least and self._dead >= limits.ratio * (self._handled + self._dead):
            return f"{self._dead} of {self._handled + self._dead} records failed within {limits.window_s:g} s"
        return None

    def _second(self, now_s: float) -> _Second:
        now = int(now_s)
        if not self._recent or self._recent[-1].at != now:
            self._recent.append(_Second(now))
            while self._recent[0].at <= now - self._limits.window_s:
                old = self._recent.popleft()
                self._handled -= old.handled
                self._dead -= old.dead
        return self._recent[-1]

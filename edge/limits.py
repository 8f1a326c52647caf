"""How much one client may ask for, and how many connections one person may hold. Pure: the clock is passed in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """An allowance that grows with time.

    Attributes:
        per_s: how many a second in the long run.
        burst: how many at once, after a rest.
    """

    per_s: float
    burst: int


class Bucket:
    """What is left of one client's allowance (a token bucket)."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = float(rate.burst)
        self._at = now

    def take(self, now: float) -> float:
        """Take one; returns 0, or the seconds until there is one to take."""
        self._left = min(self._rate.burst, self._left + (now - self._at) * self._rate.per_s)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._rate.per_s
        self._left -= 1
        return 0.0

    def give_back(self) -> None:
        """Return one that was taken, and should not count."""
        self._left = min(self._rate.burst, self._left + 1)

"""When a processor that does nothing is stuck, and when it merely has nothing to do. Pure: the clock is passed in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of a processor at one moment.

    Attributes:
        read: how many records were read so far; any change is progress.
        busy: something is in flight, or partitions are being prepared: waiting and long work are no stall.
        behind: whether there is something to read; None while the broker does not say.
    """

    read: int
    busy: bool
    behind: bool | None


class Watchdog:
    """Says `stuck` when for `limit_s` seconds on end there was something to read, nothing in flight, nothing read.

    Whatever breaks one of these starts the time anew, a broker that is away too: after it has come back, the processor
    has the whole time to go on by itself.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: float | None = None
        self._read = -1

    def stuck(self, now_s: float, sight: Sight) -> bool:
        if sight.busy or not sight.behind or sight.read != self._read or self._since is None:
            self._since = now_s
            self._read = sight.read
        return now_s - self._since > self._limit_s

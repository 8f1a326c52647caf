"""Time that a limit counts: only that in which this process could have done something."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

TICK_S: Final = 0.25
LATE_S: Final = 0.5
"""A tick that comes later than this was not late because there was much to do: the process stood still."""


class AwakeClock:
    """Seconds in which the event loop ran.

    A process that was stopped, or whose machine slept, wakes up with every limit run out and with what it was waiting
    for unread: the timers come first. So whenever a tick comes late, all limits are put off by as much. It ticks only
    while there are limits.
    """

    def __init__(self) -> None:
        self._stood_still_s = 0.0
        self._limits: set[asyncio.Timeout] = set()
        self._next: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """Seconds, of any origin, that pass only while the process is awake."""
        return asyncio.get_running_loop().time() - self._stood_still_s

    @asynccontextmanager
    async def limit(self, when: float) -> AsyncIterator[asyncio.Timeout]:
        """What is inside ends by this time, or with TimeoutError; `move` puts it off."""
        async with asyncio.timeout_at(when + self._stood_still_s) as limit:
            self._limits.add(limit)
            if self._next is None:
                self._sleep()
            try:
                yield limit
            finally:
                self._limits.discard(limit)

    def move(self, limit: asyncio.Timeout, when: float) -> None:
        limit.reschedule(when + self._stood_still_s)

    def _sleep(self) -> None:
        loop = asyncio.get_running_loop()
        self._next = loop.call_at(loop.time() + TICK_S, self._tick, loop.time() + TICK_S)

    def _tick(self, due: float) -> None:
        late = asyncio.get_running_loop().time() - due
        if late > LATE_S:
            self._stood_still_s += late
            for limit in self._limits:
                if (when := limit.when()) is not None and not limit.expired():
                    limit.reschedule(when + late)
        self._next = None
        if self._limits:
            self._sleep()

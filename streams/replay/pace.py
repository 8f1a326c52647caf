"""How fast a replay may be, so that those who chat do not notice it."""

import asyncio
import gc
import time


class Pace:
    """At most so many records a second, on the whole; None: as fast as it goes."""

    def __init__(self, records_per_s: float | None) -> None:
        self._rate = records_per_s
        self._free_at = time.monotonic()

    async def keep(self, records: int) -> None:
        """So many were read: wait until more may be."""
        if self._rate:
            self._free_at = max(self._free_at, time.monotonic()) + records / self._rate
            await asyncio.sleep(self._free_at - time.monotonic())


def collect_seldom() -> None:
    """Let Python look for cycles a hundred times less often than it would: a quarter of a replay's time went there, for
    records that have none."""
    gc.set_threshold(70_000, 10, 10)

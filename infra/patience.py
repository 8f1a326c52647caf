"""Waiting for a dependency that is away: nothing is wrong with the work, so it is neither dropped nor failed."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from prometheus_client import Gauge

T = TypeVar("T")

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
"""A dependency that is back is noticed within this, and one that is away is not hammered."""

_waiting: Counter[str] = Counter()
_waiters = Gauge("chorus_dependency_waiters", "Pieces of work that wait for a dependency that is away", ["dependency"])


async def patiently(what: str, away: tuple[type[BaseException], ...], work: Callable[[], Awaitable[T]]) -> T:
    """Do `work`, again and again with growing pauses while it raises one of `away`. `what` is for the log.

    The work must be safe to repeat: it may have been done although it raised.
    """
    try:
        return await work()
    except away as error:
        if not _waiting[what]:  # many may wait at once; one line says it
            log.warning("waiting for a dependency", dependency=what, error=repr(error))
    _waiting[what] += 1
    _waiters.labels(what).inc()
    try:
        return await _again(away, work)
    finally:
        _waiters.labels(what).dec()
        _waiting[what] -= 1
        if not _waiting[what]:
            log.info("nobody waits any longer", dependency=what)


async def _again(away: tuple[type[BaseException], ...], work: Callable[[], Awaitable[T]]) -> T:
    pause = FIRST_PAUSE_S
    while True:
        # Spread, so that all who wait do not come back in one moment.
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  # guards no secret
        try:
            return await work()
        except away:
            pause = min(pause * 2, LONGEST_PAUSE_S)

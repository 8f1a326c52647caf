"""Redis: the cache and the live channels. Everything in it can be lost and made again."""

import time
from collections.abc import Callable
from typing import Any, Final

from redis import exceptions
from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from infra.settings import RedisSettings

AWAY = (
    OSError,
    TimeoutError,
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)
"""What a command raises when the server is away, loading, full or no longer the primary: wait and try again."""

LEFT_ALONE_S: Final = 1.0
"""Seconds for which a server that was found away is not asked."""


class Reach:
    """Whether a server is worth asking now, for those who can do without: one who hangs on it is enough.

    Once it was found away it is left alone for `LEFT_ALONE_S`; then one asks it, and nobody waits with that one.
    `now` is in seconds, of any origin.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._away_until: float | None = None

    def is_due(self) -> bool:
        """Whether to ask it; say `answered` or `failed` then."""
        if self._away_until is None:
            return True
        if self._now() < self._away_until:
            return False
        self.failed()  # until this one has an answer
        return True

    def answered(self) -> None:
        self._away_until = None

    def failed(self) -> None:
        self._away_until = self._now() + LEFT_ALONE_S


class _Connection(Connection):
    """Says that it is broken in a word that everybody waits for."""

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*arguments, **options)
        except RuntimeError as error:
            # uvloop's word for a write to a connection that was closed a moment ago. Taken for a bug, it ended tasks.
            raise exceptions.ConnectionError(str(error)) from error


def connect(settings: RedisSettings, *, timeout_s: float = 2.0) -> Redis:
    """A client that connects on first use, answers bytes, and fails within `timeout_s` instead of hanging.

    One retry, because a connection of the pool may have been closed while it was idle; none of what took too long:
    it would take twice as long, and might be done twice.
    """
    return Redis.from_url(
        settings.url,
        connection_class=_Connection,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1, (exceptions.ConnectionError,)),
        health_check_interval=30,
    )

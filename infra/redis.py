"""Redis: the cache and the live channels. Everything in it can be lost and made again."""

from redis import exceptions
from redis.asyncio import Redis
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


def connect(settings: RedisSettings, *, timeout_s: float = 2.0) -> Redis:
    """A client that connects on first use, answers bytes, and fails within `timeout_s` instead of hanging.

    One retry, because a connection of the pool may have been closed while it was idle.
    """
    return Redis.from_url(
        settings.url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=30,
    )

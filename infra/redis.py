"""Redis: the cache and the live channels. Everything in it can be lost and made again."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from infra.settings import RedisSettings


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

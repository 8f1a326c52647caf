"""Tells stored notifications to the sockets of their people, over Redis.

A notification is noted as told once Redis has it. Whatever dies in between, none is forgotten, and one that comes twice
has the same id.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis

from infra import effects, notifications, postgres, redis
from infra.live import user_channel
from infra.patience import patiently
from schemas import frames

if TYPE_CHECKING:
    import asyncpg

LOOK_S: Final = 0.5
"""Seconds after which is looked for what other processes have stored."""
AT_ONCE: Final = 500
"""Notifications of one round."""
KEPT: Final = timedelta(days=90)
"""How long a notification is kept, read or not: what nobody has looked at for so long is no news."""
_FORGET_EVERY_S: Final = 3_600.0
_LOCK: Final = 4_812_091_661
"""PostgreSQL's advisory lock of the one teller that works: rows are not locked while Redis is waited for, for their
people may be reading them just then."""

_told = Counter("chorus_notifications_told_total", "Notifications told to the sockets of their people")
_oldest = Gauge("chorus_notifications_untold_seconds", "Age of the oldest that is not told yet, at the last look")


class Teller:
    """Tells what is stored.

    Attributes:
        stored: set by those in this process who have stored something.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", cache: Redis) -> None:
        effects.check("telling people")
        self._pool = pool
        self._redis = cache
        self.stored = asyncio.Event()

    async def run(self) -> None:
        """Tell until cancelled, however long Redis or PostgreSQL are away."""
        away = (*postgres.AWAY, *redis.AWAY)
        clock = asyncio.get_running_loop().time
        forget_at = clock()
        while True:
            self.stored.clear()
            if await patiently("PostgreSQL or Redis", away, self._round) < AT_ONCE:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self.stored.wait()
            if clock() >= forget_at:
                forget_at = clock() + _FORGET_EVERY_S
                await patiently("PostgreSQL", postgres.AWAY, self._forget)

    async def _round(self) -> int:
        """Tell what is there; how much that was."""
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                return 0
            waiting = await notifications.untold(connection, AT_ONCE)
            age = datetime.now(UTC) - waiting[0][1].created_at if waiting else timedelta()
            _oldest.set(age.total_seconds())
            if waiting:
                unread = await notifications.unread(connection, list({user_id for user_id, _ in waiting}))
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for user_id, notification in waiting:
                        push = frames.NotificationCreated(notification=notification, unread=unread[user_id])
                        pipeline.publish(user_channel(user_id), msgspec.json.encode(push))
                    await pipeline.execute()
                await notifications.told(connection, [notification.id for _, notification in waiting])
        _told.inc(len(waiting))
        return len(waiting)

    async def _forget(self) -> None:
        async with self._pool.acquire() as connection:
            await notifications.forget(connection, datetime.now(UTC) - KEPT)

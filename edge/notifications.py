"""What a person has seen of their notifications, over WebSocket and REST alike: read on one screen is read on all."""

from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from redis.asyncio import Redis

from edge.errors import Refused
from infra import notifications, postgres, redis
from infra.live import user_channel
from schemas import frames
from schemas.frames import ErrorCode

if TYPE_CHECKING:
    import asyncpg

READ_WITHIN_S: Final = 3.0
"""Seconds to mark notifications as read; then PostgreSQL is away."""

log = structlog.get_logger(__name__)


class Notifications:
    """Marks notifications as read, and tells the person's other screens."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", cache: Redis) -> None:
        self._pool = pool
        self._redis = cache

    async def read(self, user_id: str, up_to: str) -> int:
        """This notification is read, and all that are shown below it; how many are left.

        Raises:
            Refused: `not_found` where it is none of this person's, `unavailable` where PostgreSQL is away.
        """
        try:
            unread = await postgres.within(READ_WITHIN_S, self._read(user_id, up_to))
        except postgres.AWAY as error:
            raise Refused(ErrorCode.UNAVAILABLE) from error
        if unread is None:
            raise Refused(ErrorCode.NOT_FOUND)
        push = frames.NotificationsReadPush(up_to=up_to, unread=unread)
        try:
            await self._redis.publish(user_channel(user_id), msgspec.json.encode(push))
        except redis.AWAY as error:
            log.warning("other screens are not told what was read", error=repr(error))
        return unread

    async def _read(self, user_id: str, up_to: str) -> int | None:
        async with self._pool.acquire() as connection:
            return await notifications.read(connection, user_id, up_to)

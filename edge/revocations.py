"""Sign-ins that have ended, so that their access tokens are good for nothing at once. See ADR 0024.

What counts are rows in PostgreSQL. Redis is their cache: one sorted set, so that it is there as a whole or not at all,
with a marker in it. Where the marker is missing the set is filled again before anybody is let in; where Redis is away
PostgreSQL is asked; where both are, nobody is let in. Each process reads the newest rows every two seconds and hands
them to the cache, so that nothing is missing there for longer, whoever died between a commit and the cache.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter

from edge.errors import Refused
from edge.tokens import ACCESS_LIFETIME
from infra import redis
from infra.postgres import AWAY, within
from schemas.frames import ErrorCode

if TYPE_CHECKING:
    import asyncpg
    from redis.asyncio import Redis

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

log = structlog.get_logger(__name__)

CHANNEL: Final = "revocations"
"""On which gateways hear of ended sign-ins."""
CACHE_WITHIN_S: Final = 0.5
"""Seconds that Redis may take for an answer before PostgreSQL is asked; its client is made with it."""
LOOK_S: Final = 2.0
"""Seconds between two looks for rows that nobody has told of."""
KEPT: Final = ACCESS_LIFETIME + timedelta(minutes=5)
"""How long a row is needed: the life of a token that was minted in the last moment, and five minutes for clocks."""

_KEY: Final = "revocations"
_MARKER: Final = "whole"
_OVERLAP: Final = timedelta(seconds=10)
"""Before the newest row known, others may be committed yet: longer than a transaction of a request may take."""
_WHOLE_EVERY_S: Final = 60.0
"""Seconds after which all rows are handed over again: what a failover of Redis lost is not missing for longer."""
_DATABASE_WITHIN_S: Final = 2.0

_CHECKS: Final = Counter("chorus_edge_revocation_checks_total", "Access tokens looked up, by who answered.", ["by"])

_REVOKE: Final = """
INSERT INTO revocations (sign_in_id, user_id, expires_at)
SELECT id, $2, clock_timestamp() + $3::interval FROM unnest($1::uuid[]) AS id ON CONFLICT DO NOTHING
"""
_ROWS: Final = """
SELECT sign_in_id::text, user_id::text, revoked_at, expires_at FROM revocations
WHERE ($1::timestamptz IS NULL OR revoked_at > $1) AND expires_at > now()
"""
_HAS_ENDED: Final = "SELECT EXISTS (SELECT FROM revocations WHERE sign_in_id = $1::uuid)"
_FORGET: Final = "DELETE FROM revocations WHERE expires_at < now()"


class Ended(NamedTuple):
    """A sign-in that has ended, and whose it was."""

    user_id: str
    sign_in_id: str


read_ended: Final = msgspec.json.Decoder(list[Ended]).decode
"""What stands in a message on `CHANNEL`."""


async def revoke(connection: "Connection", user_id: UUID, sign_ins: Iterable[UUID]) -> None:
    """Have access tokens of these sign-ins refused, once the caller's transaction is committed.

    Then call `Revocations.spread`: with its end it is so everywhere. Where that is forgotten, or the process dies
    before, it is so within `LOOK_S`.
    """
    await connection.execute(_REVOKE, list(sign_ins), user_id, KEPT)


class Revocations:
    """Knows which sign-ins have ended.

    Args:
        cache: a client that answers or fails within `CACHE_WITHIN_S`.
        reach: of that client; whoever else uses it shares it, so that a request does not wait for it twice.
        told: called with sign-ins that have ended of late, also with those that it was told of before.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        cache: "Redis",
        reach: redis.Reach,
        told: Callable[[Iterable[Ended]], None] = lambda _: None,
    ) -> None:
        self._pool = pool
        self._cache = cache
        self._told = told
        self._newest: datetime | None = None
        """Of the rows that the cache was given."""
        self._filling = asyncio.Lock()
        self._reach = reach

    async def check(self, sign_in_id: str) -> None:
        """Let tokens of this sign-in pass.

        Raises:
            Refused: `unauthenticated` where it has ended, `unavailable` where nobody can tell.
        """
        if await self._has_ended(sign_in_id):
            raise Refused(ErrorCode.UNAUTHENTICATED, "This sign-in has ended; sign in again.")

    async def _has_ended(self, sign_in_id: str) -> bool:
        if self._reach.is_due():
            try:
                whole, ended = await self._cache.zmscore(_KEY, [_MARKER, sign_in_id])
            except redis.AWAY:
                self._reach.failed()
            else:
                self._reach.answered()
                if whole is not None:
                    _CHECKS.labels("redis").inc()
                    return ended is not None
                await self._fill()
        try:
            found: bool = await within(_DATABASE_WITHIN_S, self._pool.fetchval(_HAS_ENDED, sign_in_id))
        except AWAY as error:
            _CHECKS.labels("nobody").inc()
            raise Refused(
                ErrorCode.UNAVAILABLE, "Whether this sign-in still holds cannot be told; try again in a moment."
            ) from error
        _CHECKS.labels("postgres").inc()
        return found

    async def _fill(self) -> None:
        """Give the cache all there is. Who finds it empty in the same moment waits, and does not do it again."""
        async with self._filling:
            try:
                if await self._cache.zscore(_KEY, _MARKER) is None:
                    await self._hand_over(await self._rows(None), whole=True)
            except (*redis.AWAY, *AWAY) as error:
                log.warning("revocations are not cached", error=repr(error))

    async def spread(self) -> None:
        """Have what was committed known everywhere, when it returns: in the cache, and on the gateways.

        Where Redis is away it is known all the same, because PostgreSQL is asked then; gateways hear within `LOOK_S`.
        """
        try:
            await self._look(publish=True)
        except (*redis.AWAY, *AWAY) as error:
            log.warning("revocations are spread later", error=repr(error))

    async def run(self) -> None:
        """Look for what others did not spread, until cancelled."""
        whole_at = time.monotonic()
        while True:
            try:
                if time.monotonic() >= whole_at:
                    await self._look(whole=True)
                    await self._pool.execute(_FORGET)
                    whole_at = time.monotonic() + _WHOLE_EVERY_S
                else:
                    await self._look()
            except (*redis.AWAY, *AWAY) as error:
                log.warning("revocations are not looked for", error=repr(error))
            await asyncio.sleep(LOOK_S)

    async def _look(self, *, whole: bool = False, publish: bool = False) -> None:
        since = None if whole or self._newest is None else self._newest - _OVERLAP
        rows = await self._rows(since)
        if rows:
            self._told([Ended(row["user_id"], row["sign_in_id"]) for row in rows])
        await self._hand_over(rows, whole=whole, publish=publish)
        # Only now: what the cache did not take is given again.
        self._newest = max((row["revoked_at"] for row in rows), default=self._newest)

    async def _rows(self, since: datetime | None) -> "list[asyncpg.Record]":
        return await within(_DATABASE_WITHIN_S, self._pool.fetch(_ROWS, since))

    async def _hand_over(self, rows: "list[asyncpg.Record]", *, whole: bool, publish: bool = False) -> None:
        scores = {row["sign_in_id"]: row["expires_at"].timestamp() for row in rows}
        if whole:
            scores[_MARKER] = float("inf")
        if not scores:
            return
        async with self._cache.pipeline(transaction=True) as pipeline:
            pipeline.zadd(_KEY, scores)
            pipeline.zremrangebyscore(_KEY, 0, time.time())
            if publish:
                pipeline.publish(
                    CHANNEL, msgspec.json.encode([Ended(row["user_id"], row["sign_in_id"]) for row in rows])
                )
            await pipeline.execute()

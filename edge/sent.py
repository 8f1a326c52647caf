"""What became of a message that was sent before under the same id.

A client that lost the reply sends again. Redis answers for a day; PostgreSQL answers for ever, where history has it.
The rule in the conversation remains the truth: what is not found here is published again and changes nothing.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import astuple
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra import history, postgres, redis
from infra.gather import Gather

KEPT_S: Final = 24 * 60 * 60
"""Seconds that Redis remembers: longer than a client keeps what it could not send."""
LOOKUP_TIMEOUT_S: Final = 1.0
"""Seconds for PostgreSQL: the broker's word does not wait longer for a frozen database."""

AWAY_RETRY_S: Final = 2.0
"""Seconds without look-ups once PostgreSQL was found away: nobody's reply waits for it over and over."""


class _Remembered(Struct, frozen=True):
    digest: str
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Before:
    """How the message was taken the first time.

    Attributes:
        code: why it was refused for good; None where it was not.
    """

    digest: str | None
    run_id: str | None = None
    code: str | None = None


_decode = msgspec.json.Decoder(_Remembered).decode


def _key(message_id: str) -> str:
    return f"sent:{message_id}"


class SentBefore:
    """Looks up, and remembers. Neither fails: while both stores are away nothing is known."""

    def __init__(self, redis: Redis, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._redis = redis
        self._pool = pool
        self._away_until = 0.0
        self._remembered = Gather(self._get)
        self._stored = Gather(self._look_up)
        self._new = Gather(self._set)

    async def recently(self, message_id: str) -> Before | None:
        """What Redis remembers."""
        try:
            return await self._remembered.one(message_id)
        except (*redis.AWAY, RedisError):
            return None

    async def ever(self, message_id: str) -> Before | None:
        """What history has."""
        if time.monotonic() < self._away_until:
            return None
        try:
            return await self._stored.one(message_id)
        except postgres.AWAY:
            self._away_until = time.monotonic() + AWAY_RETRY_S
            return None

    async def remember(self, message_id: str, digest: str, run_id: str | None) -> None:
        """The broker has the message."""
        with contextlib.suppress(*redis.AWAY, RedisError):  # a repeat then goes to PostgreSQL, or through the log
            await self._new.one((message_id, _Remembered(digest, run_id)))

    async def _get(self, message_ids: Sequence[str]) -> list[Before | None]:
        found = await self._redis.mget([_key(message_id) for message_id in message_ids])
        return [None if one is None else Before(*astuple(_decode(one))) for one in found]

    async def _set(self, sent: Sequence[tuple[str, _Remembered]]) -> list[None]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for message_id, remembered in sent:
                pipeline.set(_key(message_id), msgspec.json.encode(remembered), ex=KEPT_S, nx=True)
            await pipeline.execute()
        return [None] * len(sent)

    async def _look_up(self, message_ids: Sequence[str]) -> list[Before | None]:
        rows = await postgres.within(LOOKUP_TIMEOUT_S, history.taken(self._pool, message_ids))
        return [None if row is None else Before(row.digest, row.run_id, row.code) for row in rows]

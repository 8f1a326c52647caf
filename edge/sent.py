"""What became of a message that was sent before under the same id.

A client that lost the reply sends again. Redis answers for a day; PostgreSQL answers for ever, where history has it.
The rule in the conversation remains the truth: what is not found here is published again and changes nothing.
"""

from dataclasses import dataclass
from typing import Final

import asyncpg
import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra import history, postgres, redis
from schemas import ids

KEPT_S: Final = 24 * 60 * 60
"""Seconds that Redis remembers: longer than a client keeps what it could not send."""
LOOKUP_TIMEOUT_S: Final = 1.0
"""Seconds for PostgreSQL: the broker's word does not wait longer for a frozen database."""


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

    async def recently(self, message_id: str) -> Before | None:
        """What Redis remembers."""
        try:
            found = await self._redis.get(_key(message_id))
        except (*redis.AWAY, RedisError):
            return None
        if found is None:
            return None
        remembered = _decode(found)
        return Before(remembered.digest, remembered.run_id)

    async def ever(self, conversation_id: str, message_id: str) -> Before | None:
        """What history has."""
        try:
            return await postgres.within(LOOKUP_TIMEOUT_S, self._look_up(conversation_id, message_id))
        except postgres.AWAY:
            return None

    async def _look_up(self, conversation_id: str, message_id: str) -> Before | None:
        stored = await history.message(self._pool, conversation_id, message_id)
        if stored is not None:
            run = await history.run(self._pool, conversation_id, ids.run_id(message_id))
            return Before(stored.digest, None if run is None else run.run_id)
        code = await history.rejection(self._pool, conversation_id, message_id)
        return None if code is None else Before(None, code=code)

    async def remember(self, message_id: str, digest: str, run_id: str | None) -> None:
        """The broker has the message."""
        try:
            await self._redis.set(
                _key(message_id), msgspec.json.encode(_Remembered(digest, run_id)), ex=KEPT_S, nx=True
            )
        except (*redis.AWAY, RedisError):
            pass  # a repeat then goes to PostgreSQL, or through the log once more

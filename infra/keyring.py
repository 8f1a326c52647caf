"""Data keys: a row for each person, wrapped by the master key, kept in memory for a while."""

import os
import time
from collections.abc import Iterable

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.postgres import AWAY, within
from infra.settings import SealingSettings
from schemas.sealing import KEY_BYTES, DataKey

FRESH_S = 60.0
"""Seconds a key is used without asking again: how long a destroyed key may still open texts in a running process."""
LOOKUP_S = 3.0
"""Seconds for one look-up. A server that hangs is as good as away."""
AWAY_RETRY_S = 5.0
"""Seconds that a known key is used, once PostgreSQL was found away, before it is asked again."""

_NONCE_BYTES = 12


class Keyring:
    """Gets people's data keys.

    While PostgreSQL is away, keys that are known stay in use: a warm conversation goes on without it.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", settings: SealingSettings) -> None:
        self._pool = pool
        self._master = AESGCM(settings.master_key)
        self._known: dict[str, tuple[float, DataKey | None]] = {}

    async def create(
        self,
        connection: "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
        user_id: str,
    ) -> DataKey:
        """Make a new person's key, in the transaction that makes the person."""
        key = os.urandom(KEY_BYTES)
        nonce = os.urandom(_NONCE_BYTES)
        wrapped = nonce + self._master.encrypt(nonce, key, user_id.encode())
        await connection.execute("INSERT INTO data_keys (user_id, wrapped) VALUES ($1, $2)", user_id, wrapped)
        return DataKey.of(user_id, key)

    async def key(self, user_id: str) -> DataKey | None:
        """This person's key; None where it was destroyed or never was.

        Raises:
            one of `infra.postgres.AWAY`: it is not known here, and PostgreSQL is away.
        """
        return (await self.keys([user_id]))[user_id]

    async def keys(self, user_ids: Iterable[str]) -> dict[str, DataKey | None]:
        """The keys of several people, in one query for those that are not fresh. Raises as `key` does."""
        wanted = set(user_ids)
        now = time.monotonic()
        stale = [u for u in wanted if u not in self._known or self._known[u][0] < now]
        if stale:
            try:
                rows = await within(LOOKUP_S, self._look_up(stale))
            except AWAY:
                if any(u not in self._known for u in stale):
                    raise
                for user in stale:
                    self._known[user] = (now + AWAY_RETRY_S, self._known[user][1])
            else:
                found = {row["user_id"]: self._unwrap(row["user_id"], row["wrapped"]) for row in rows}
                for user in stale:
                    self._known[user] = (now + FRESH_S, found.get(user))
        return {user: self._known[user][1] for user in wanted}

    async def _look_up(self, user_ids: list[str]) -> "list[asyncpg.Record]":
        return await self._pool.fetch(
            "SELECT user_id::text, wrapped FROM data_keys WHERE user_id = ANY($1::uuid[])", user_ids
        )

    def _unwrap(self, user_id: str, wrapped: bytes | None) -> DataKey | None:
        if wrapped is None:
            return None
        nonce, box = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
        return DataKey.of(user_id, self._master.decrypt(nonce, box, user_id.encode()))

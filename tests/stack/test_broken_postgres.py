"""A server that goes away in the middle of things."""

import asyncpg
import pytest

from infra import postgres
from infra.settings import PostgresSettings
from tests.running import Stack

_SHUTTING_DOWN = b"SFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"


async def test_a_farewell_before_the_end_means_away(stack: Stack) -> None:
    """The server said that it goes, and a statement begins before the connection ends: that is as good as away."""
    async with await postgres.connect(PostgresSettings.from_env(stack.env)) as pool, pool.acquire() as connection:
        assert await connection.fetchval("SELECT 1") == 1
        farewell = b"E" + (len(_SHUTTING_DOWN) + 4).to_bytes(4, "big") + _SHUTTING_DOWN
        connection._con._protocol.data_received(farewell)

        with pytest.raises(postgres.AWAY) as told:
            await connection.fetchval("SELECT 1")

        assert isinstance(told.value, asyncpg.InternalClientError)
        connection.terminate()

"""A connection to Redis that broke a moment ago is Redis being away, not a bug."""

import asyncio

import pytest
import uvloop

from infra import redis
from infra.settings import RedisSettings


async def _answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        writer.write(b"+OK\r\n" * 4)
    writer.close()


async def _write_to_a_closed_connection() -> None:
    server = await asyncio.start_server(_answers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with redis.connect(RedisSettings(f"redis://127.0.0.1:{port}/0")) as client:
        connection = client.connection_pool.make_connection()
        await connection.connect()
        connection._writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)
        with pytest.raises(redis.AWAY):
            await connection.send_command("GET", "x")
    server.close()


def test_a_write_to_a_connection_that_broke() -> None:
    """On the loop that processes run on, too: its own word for it is none that anybody waits for."""
    uvloop.run(_write_to_a_closed_connection())

"""A connection to a broker that broke a moment ago is a broker that is away, not a bug."""

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

import infra.kafka  # what is tested is what it makes of aiokafka's connections

assert infra.kafka


async def _send_on_a_broken_connection() -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = AIOKafkaConnection("127.0.0.1", port)
    connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
    connection._read_task = asyncio.create_task(asyncio.sleep(0))
    connection._writer.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)
    with pytest.raises(KafkaConnectionError):
        connection.send(ApiVersionRequest())
    server.close()


def test_a_write_to_a_connection_that_broke() -> None:
    """On the loop that processes run on, too: its own word for it is none that aiokafka waits for."""
    uvloop.run(_send_on_a_broken_connection())

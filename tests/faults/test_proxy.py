"""The network that fails when told to does fail, and carries everything otherwise."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from infra.stack.ports import free_port
from tests.faults.proxy import Proxy
from tests.running import soon

PATIENCE_S = 5.0


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of a server that says everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    made = Proxy("echo", free_port(), server.sockets[0].getsockname()[1])
    await made.open()
    yield made
    await made.close()
    server.close()


async def connect(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def says_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bool:
    writer.write(data)
    async with asyncio.timeout(PATIENCE_S):
        return await reader.readexactly(len(data)) == data


async def test_carries_every_byte(proxy: Proxy) -> None:
    """Ten megabytes go through whole, though nobody reads while they are written."""
    reader, writer = await connect(proxy)
    data = bytes(range(256)) * 40_000
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.read(-1) == data


async def test_what_both_sides_have_ended_is_gone(proxy: Proxy) -> None:
    """Connections that end well leave nothing open, or an hour of looking at health takes every file descriptor."""
    for _ in range(5):
        reader, writer = await connect(proxy)
        assert await says_back(reader, writer, b"hello")
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read(-1) == b""
        writer.close()
    await soon("nothing is open", lambda: not proxy.ends, PATIENCE_S)


async def test_cut(proxy: Proxy) -> None:
    """A cut connection breaks at once; the next one is carried."""
    reader, writer = await connect(proxy)
    assert await says_back(reader, writer, b"hello")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(1), PATIENCE_S)
    assert await says_back(*await connect(proxy), b"hello")


async def test_refuse(proxy: Proxy) -> None:
    """Nobody gets in until it opens again."""
    reader, writer = await connect(proxy)
    assert await says_back(reader, writer, b"hello")
    await proxy.refuse()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(1), PATIENCE_S)
    with pytest.raises(ConnectionRefusedError):
        await connect(proxy)
    await proxy.open()
    assert await says_back(*await connect(proxy), b"hello")


async def test_swallow(proxy: Proxy) -> None:
    """Nothing comes through and nobody is told; then all of it does, on old connections and new ones."""
    old = await connect(proxy)
    assert await says_back(*old, b"hello")
    proxy.swallow(True)
    new = await connect(proxy)
    for _, writer in (old, new):
        writer.write(b"are you there?")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(old[0].read(1), 0.2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(new[0].read(1), 0.2)
    proxy.swallow(False)
    async with asyncio.timeout(PATIENCE_S):
        for reader, _ in (old, new):
            assert await reader.readexactly(14) == b"are you there?"


async def test_delay(proxy: Proxy) -> None:
    """Everything is late by as much as was said, in each direction."""
    reader, writer = await connect(proxy)
    assert await says_back(reader, writer, b"hello")
    proxy.delay_s = 0.1
    began = time.monotonic()
    assert await says_back(reader, writer, b"hello")
    assert time.monotonic() - began >= 0.2


async def test_throttle(proxy: Proxy) -> None:
    """No more gets through than was said."""
    reader, writer = await connect(proxy)
    assert await says_back(reader, writer, b"hello")
    proxy.bytes_per_s = 100_000
    began = time.monotonic()
    assert await says_back(reader, writer, b"x" * 30_000)
    assert time.monotonic() - began >= 0.25


async def test_breaks_in_the_middle(proxy: Proxy) -> None:
    """Half of what is said gets through, then the connection breaks."""
    reader, writer = await connect(proxy)
    assert await says_back(reader, writer, b"hello")
    proxy.breaks_next = True
    writer.write(b"0123456789")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(10), PATIENCE_S)

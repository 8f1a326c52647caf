"""The REST port against those who never finish what they begin."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from edge.rest.line import MAX_HEAD_BYTES, Line
from tests.running import soon
from tests.stack.rest_api import Api

WITHIN_S = 0.5
WHOLE = b"GET / HTTP/1.1\r\nHost: chorus\r\n\r\n"
LONG = WHOLE.replace(b"/", b"/long", 1)


class Impatient(Line):
    head_within_s = WITHIN_S


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers without looking at the body; for `/long` when the client has gone."""
    while scope["path"] == "/long" and (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = Server(uvicorn.Config(app, port=0, http=Impatient, ws="none", lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    await soon("the server listens", lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


@contextlib.asynccontextmanager
async def line(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until_cut(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(WITHIN_S + 4):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\n", b"X-Slow: 1\r\n", id="headers without an end"),
        pytest.param(b"", b"\r\n", id="empty lines"),
        pytest.param(WHOLE, b"\r\n", id="empty lines after an answer"),
        pytest.param(WHOLE.replace(b"\r\n\r\n", b"\r\nContent-Length: 9999\r\n\r\n"), b"x", id="a body of no use"),
        pytest.param(LONG + b"GET / HTTP/1.1\r\n", b"X-Slow: 1\r\n", id="a second head while the first is answered"),
    ],
)
async def test_who_is_slow_is_cut(port: int, first: bytes, then: bytes) -> None:
    """A connection on which no request's headers end is cut in time, however busily it sends."""
    async with line(port) as (reader, writer):
        began = time.monotonic()
        writer.write(first)

        async def drip() -> None:
            while True:
                await asyncio.sleep(0.02)
                writer.write(then)

        dripping = asyncio.create_task(drip())
        try:
            await until_cut(reader)
        finally:
            dripping.cancel()
        assert time.monotonic() - began >= WITHIN_S * 0.9


async def test_who_is_in_time_is_served(port: int) -> None:
    """One connection asks several times, each in pieces, and each time anew has as long as the first."""
    async with line(port) as (reader, writer):
        for _ in range(3):
            for piece in (WHOLE[:9], WHOLE[9:]):
                writer.write(piece)
                await asyncio.sleep(WITHIN_S * 0.4)
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\nok")


async def endless(port: int, piece: bytes) -> int:
    """Send headers without an end until the line is cut; how many bytes that took."""
    async with line(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nX-Long: ")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 4 * MAX_HEAD_BYTES and not reader.at_eof():
                writer.write(some := piece * (8192 // len(piece)))
                sent += len(some)
                await writer.drain()
                await asyncio.sleep(0.001)
        if sent < 4 * MAX_HEAD_BYTES:
            assert (answer := await until_cut(reader)) == b"" or b"400 Bad Request" in answer
    return sent


@pytest.mark.parametrize("piece", [b"x" * 8192, b"x\r\nX-More: "], ids=["one header", "many headers"])
async def test_headers_have_an_end(port: int, piece: bytes) -> None:
    """Headers that do not end are refused before they fill the memory."""
    assert await endless(port, piece) < 4 * MAX_HEAD_BYTES


async def test_the_api_is_behind_that_door(api: Api) -> None:
    """So it is on the real port."""
    assert await endless(int(api.url.rpartition(":")[2]), b"x" * 8192) < 4 * MAX_HEAD_BYTES

"""The socket's doors against those who mean harm: crowds from one address, slow handshakes, what is not asked for."""

import asyncio
import contextlib
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from edge.addresses import NOBODY, Crowd, Proxies
from infra.stack.ports import free_port
from tests.running import Stack

MOST = 3
HANDSHAKE_S = 1.5
UPGRADE = (
    "GET /v1/ws HTTP/1.1\r\nHost: chorus\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    """A gateway behind a proxy that is believed, for all tests of this module."""
    port = free_port()
    running = stack.start(
        "edge",
        "gateway",
        CHORUS_WS_PORT=str(port),
        CHORUS_WS_HANDSHAKE_S=str(HANDSHAKE_S),
        CHORUS_WS_CONNECTIONS_PER_ADDRESS=str(MOST),
        CHORUS_TRUSTED_PROXIES="127.0.0.1",
    )
    asyncio.run(running.ready())
    return f"ws://127.0.0.1:{port}/v1/ws"


# -- addresses --


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        pytest.param("203.0.113.9", ["198.51.100.1"], "203.0.113.9", id="a stranger's own word counts nothing"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="the proxy itself"),
        pytest.param("10.0.0.1", ["198.51.100.1"], "198.51.100.1", id="behind a proxy"),
        pytest.param("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1", id="what the client put in front"),
        pytest.param("10.0.0.1", ["1.1.1.1", "198.51.100.1, 10.0.0.2"], "198.51.100.1", id="two proxies, two headers"),
        pytest.param("10.0.0.1", ["1.1.1.1, nonsense"], "10.0.0.1", id="no address"),
        pytest.param("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1", id="IPv4 in IPv6"),
    ],
)
def test_where_a_request_comes_from(peer: str, forwarded: list[str], client: str) -> None:
    """The client is the last address that no proxy of ours wrote down; only proxies that are named are believed."""
    assert Proxies(["10.0.0.0/8"]).client(peer, forwarded) == client


def test_a_crowd_is_counted_by_who_owns_the_address() -> None:
    """IPv6 counts by its network of 64 bits, IPv4 in IPv6 as IPv4, loopback not; who goes makes room."""
    crowd = Crowd(most=2)
    assert [crowd.crowded(crowd.came(f"2001:db8::{n}") or "") for n in range(3)] == [False, False, True]
    assert not crowd.crowded(crowd.came("2001:db8:0:1::1") or "")
    assert crowd.came("::ffff:203.0.113.1") == crowd.came("203.0.113.1") == "203.0.113.1"
    assert {crowd.came(loopback) for loopback in ["127.0.0.1", "::1"] * 9} == {NOBODY}
    assert not crowd.crowded(NOBODY)
    crowd.left("203.0.113.1")
    crowd.came("203.0.113.1")
    assert not crowd.crowded("203.0.113.1")


def test_a_crowd_that_only_shakes_hands_is_cut() -> None:
    """Handshakes under way count, too: beyond twice what is allowed the line is cut."""
    crowd = Crowd(most=2)
    assert [crowd.came("203.0.113.1") is None for _ in range(6)] == [False] * 4 + [True] * 2
    crowd.left("203.0.113.1")
    assert crowd.came("203.0.113.1")


# -- connections --


async def test_too_many_from_one_address(url: str) -> None:
    """One too many is answered 429 before the upgrade; another address is let in; whoever goes makes room."""
    async with contextlib.AsyncExitStack() as sockets:
        for _ in range(MOST):
            last = await sockets.enter_async_context(
                connect(url, additional_headers={"X-Forwarded-For": "198.51.100.7"})
            )
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers={"X-Forwarded-For": "198.51.100.7"})
        assert refused.value.response.status_code == 429
        await sockets.enter_async_context(connect(url, additional_headers={"X-Forwarded-For": "198.51.100.8"}))
        await last.close()
        async with asyncio.timeout(10):
            while True:
                try:
                    await sockets.enter_async_context(
                        connect(url, additional_headers={"X-Forwarded-For": "198.51.100.7"})
                    )
                    break
                except InvalidStatus:
                    await asyncio.sleep(0.05)  # the server notices the close in its own time


@pytest.mark.parametrize("sent", ["", UPGRADE], ids=["nothing", "headers without an end"])
async def test_slow_handshakes(url: str, sent: str) -> None:
    """Whoever connects and does not finish the upgrade's headers is cut, however busily it sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
    began = time.monotonic()
    writer.write(sent.encode())

    async def drip() -> None:
        for n in range(200):
            writer.write(f"X-Slow-{n}: 1\r\n".encode() if sent else b"")
            await asyncio.sleep(0.1)

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(HANDSHAKE_S + 8):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        assert time.monotonic() - began >= HANDSHAKE_S - 0.1
    finally:
        dripping.cancel()
        writer.close()


@pytest.mark.parametrize(
    "headers",
    ["".join(f"X-{n}: 1\r\n" for n in range(200)), f"X-Long: {'x' * 20_000}\r\n"],
    ids=["too many headers", "a header too long"],
)
async def test_headers_have_an_end(url: str, headers: str) -> None:
    """Headers that do not end are refused at once, not stored."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
    writer.write((UPGRADE + headers + "\r\n").encode())
    try:
        async with asyncio.timeout(HANDSHAKE_S + 8):
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
        assert b" 101 " not in answer.partition(b"\r\n")[0]
    finally:
        writer.close()


@pytest.mark.parametrize("target", ["//[", "//[::1/v1/ws", "/v1/ws/../ws", "//v1/ws", "/v1/WS", "/%761/ws"])
async def test_addresses_that_nobody_can_read(url: str, target: str) -> None:
    """Whatever stands where the address should be, it is not ours, and no fault of ours either."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
    writer.write((UPGRADE.replace("/v1/ws", target) + "\r\n").encode())
    async with asyncio.timeout(HANDSHAKE_S + 8):
        assert b" 404 " in await reader.readline()
    writer.close()


async def test_nothing_is_told_of_us(url: str) -> None:
    """No compression, whose memory an attacker chooses, even where it is asked for; and no word on what software we
    run."""
    async with connect(url, compression="deflate") as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        assert "Server" not in socket.response.headers

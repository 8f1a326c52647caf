"""Presence and typing through real gateways: who sees whom, what does not blink, and what heals."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from infra.stack.ports import free_port
from tests.running import Running, Stack
from tests.stack.stage import Play, Raw, Someone, Stage, raw, staged

LINGER_S = 1.5
LEASE_S = 0.9
SETTINGS = {"CHORUS_WS_LINGER_S": str(LINGER_S), "CHORUS_WS_LEASE_S": str(LEASE_S), "CHORUS_DRAIN_S": "0.1"}


@pytest.fixture
async def stage(stack: Stack) -> AsyncIterator[Stage]:
    async with staged(stack) as stage:
        yield stage


def gateway(stack: Stack) -> tuple[Running, str]:
    port = free_port()
    running = stack.start("edge", "gateway", CHORUS_WS_PORT=str(port), **SETTINGS)
    return running, f"ws://127.0.0.1:{port}/v1/ws"


@pytest.fixture(scope="module")
def urls(stack: Stack) -> tuple[str, str]:
    """Two gateways for all tests of this module."""
    started = [gateway(stack) for _ in range(2)]
    for running, _ in started:
        asyncio.run(running.ready())
    first, second = (url for _, url in started)
    return first, second


@pytest.fixture
async def ada(stage: Stage) -> Someone:
    return await stage.person()


@pytest.fixture
async def bob(stage: Stage, ada: Someone) -> Someone:
    return await stage.person(of=ada, role="viewer")


@pytest.fixture
async def play(stage: Stage, ada: Someone) -> Play:
    return await stage.play(ada)


async def looking(sockets: AsyncExitStack, url: str, someone: Someone, play: Play) -> tuple[Raw, list[dict[str, Any]]]:
    """A connection that watches the conversation, and who was present when it came."""
    socket = await sockets.enter_async_context(raw(url, someone.token))
    reply = await socket.ask("subscribe", conversation_id=play.conversation_id)
    assert reply["ok"], reply
    return socket, reply["present"]


async def presence_of(socket: Raw, someone: Someone) -> str:
    """The next status that the socket is told of someone."""
    while (frame := await socket.hear())["type"] != "presence" or frame["user_id"] != someone.user_id:
        pass
    return str(frame["status"])


async def nothing_more(socket: Raw, *types: str) -> None:
    """Everything sent so far has come, and none of it was of these types."""
    await socket.say({"id": 99, "type": "ping"})
    while (frame := await socket.hear()).get("id") != 99:
        assert frame.get("type") not in types, frame


async def test_those_who_watch_see_each_other(urls: tuple[str, str], ada: Someone, bob: Someone, play: Play) -> None:
    """Across gateways: who is there is in the reply, who comes, looks away and goes is told; nobody is told of
    themselves, and who went was there last when they left."""
    async with AsyncExitStack() as sockets:
        hers, present = await looking(sockets, urls[0], ada, play)
        assert present == []
        async with AsyncExitStack() as his_sockets:
            his, _ = await looking(his_sockets, urls[1], bob, play)
            assert await presence_of(hers, bob) == "online"
            other, present = await looking(sockets, urls[1], bob, play)
            # His gateway may be about to look who else is there; then it is told.
            assert (
                present == [{"user_id": ada.user_id, "status": "online"}] or await presence_of(other, ada) == "online"
            )
            assert (await his.ask("presence.set", status="away"))["ok"]
            await nothing_more(hers, "presence")  # his other window is still there
        await sockets.aclose()

    async with AsyncExitStack() as sockets:
        hers, _ = await looking(sockets, urls[0], ada, play)
        his, present = await looking(sockets, urls[1], bob, play)
        assert await presence_of(his, ada) == "online" if not present else present[0]["user_id"] == ada.user_id
        assert (await his.ask("presence.set", status="away"))["ok"]
        while await presence_of(hers, bob) != "away":
            pass
        left = time.time()
        await his.connection.close()
        while (frame := await hers.hear())["type"] != "presence" or frame["status"] != "offline":
            pass
        assert frame["user_id"] == bob.user_id
        assert time.time() - left >= LINGER_S
        await nothing_more(hers, "presence")


async def test_a_reload_does_not_blink(urls: tuple[str, str], ada: Someone, bob: Someone, play: Play) -> None:
    """Someone who comes back within the linger, through whichever gateway, is never told as gone."""
    async with AsyncExitStack() as sockets:
        hers, _ = await looking(sockets, urls[0], ada, play)
        async with AsyncExitStack() as page:
            await looking(page, urls[1], bob, play)
            assert await presence_of(hers, bob) == "online"
        for url in (urls[1], urls[0]):
            await asyncio.sleep(LINGER_S / 2)  # a slow page
            async with AsyncExitStack() as page:
                await looking(page, url, bob, play)
        await looking(sockets, urls[0], bob, play)
        await asyncio.sleep(2 * LINGER_S)  # what must not happen has had its time
        await nothing_more(hers, "presence")


async def test_only_members_who_watch_are_told(
    urls: tuple[str, str], stage: Stage, ada: Someone, bob: Someone, play: Play
) -> None:
    """A stranger is told nothing and cannot make themselves seen; a member is told of what they watch only."""
    other = await stage.play(ada)
    stranger = await stage.person()
    async with AsyncExitStack() as sockets:
        hers, _ = await looking(sockets, urls[0], ada, play)
        elsewhere, _ = await looking(sockets, urls[1], ada, other)
        eve = await sockets.enter_async_context(raw(urls[1], stranger.token))
        assert await eve.refused("subscribe", conversation_id=play.conversation_id) == "not_found"
        assert await eve.refused("typing", conversation_id=play.conversation_id) == "not_found"
        assert (await eve.ask("presence.set", status="online"))["ok"]
        await looking(sockets, urls[1], bob, play)
        assert await presence_of(hers, bob) == "online"
        for socket in (elsewhere, eve):
            await nothing_more(socket, "presence", "typing")


async def test_typing(urls: tuple[str, str], stage: Stage, ada: Someone, bob: Someone, play: Play) -> None:
    """Typing reaches those who watch, on any gateway, says how long it holds, is told once for many keys, and never
    comes back to a socket of its sender's; a viewer may not write, so they do not type."""
    async with AsyncExitStack() as sockets:
        hers, _ = await looking(sockets, urls[0], ada, play)
        her_other, _ = await looking(sockets, urls[1], ada, play)
        his, _ = await looking(sockets, urls[1], bob, play)
        for _ in range(5):
            assert (await hers.ask("typing", conversation_id=play.conversation_id))["ok"]
        while (frame := await his.hear())["type"] != "typing":
            pass
        assert frame == {
            "type": "typing",
            "conversation_id": play.conversation_id,
            "user_id": ada.user_id,
            "expires_in_ms": 6000,
        }
        assert await his.refused("typing", conversation_id=play.conversation_id) == "forbidden"
        for socket in (hers, her_other, his):
            await nothing_more(socket, "typing")


async def test_statuses_have_an_end(urls: tuple[str, str], ada: Someone) -> None:
    """Another status than online and away is invalid, and one connection cannot flicker without end."""
    async with raw(urls[0], ada.token) as socket:
        assert await socket.refused("presence.set", status="offline") == "invalid"
        replies = [await socket.ask("presence.set", status="away") for _ in range(20)]
        refused = [reply["error"] for reply in replies if not reply["ok"]]
        assert refused
        assert {error["code"] for error in refused} == {"rate_limited"}


async def test_a_killed_gateway_takes_its_people_with_it(
    urls: tuple[str, str], stack: Stack, stage: Stage, ada: Someone, bob: Someone, play: Play
) -> None:
    """Nobody stays present on a gateway that was killed, those who came back elsewhere do not blink, and Redis forgets
    it."""
    doomed, url = gateway(stack)
    await doomed.ready()
    carl = await stage.person(of=ada)
    async with AsyncExitStack() as sockets:
        hers, _ = await looking(sockets, urls[0], ada, play)
        async with AsyncExitStack() as lost:
            for someone in (bob, carl):
                await looking(lost, url, someone, play)
                assert await presence_of(hers, someone) == "online"
            doomed.kill()
            began = time.monotonic()
        await looking(sockets, urls[1], bob, play)
        while (frame := await hers.hear())["type"] != "presence":
            pass
        assert (frame["user_id"], frame["status"]) == (carl.user_id, "offline")
        assert time.monotonic() - began < 2 * LEASE_S + 5
        await nothing_more(hers, "presence")
        left = await stage.redis.hkeys(f"presence:{play.conversation_id}")
        assert {key.decode().partition("/")[2] for key in left} == {ada.user_id, bob.user_id}


async def test_a_flushed_redis_heals(
    urls: tuple[str, str], stage: Stage, ada: Someone, bob: Someone, play: Play
) -> None:
    """Redis loses all presence: nobody blinks, and whoever comes afterwards finds everybody who is there."""
    async with AsyncExitStack() as sockets:
        hers, _ = await looking(sockets, urls[0], ada, play)
        await looking(sockets, urls[1], bob, play)
        assert await presence_of(hers, bob) == "online"
        key = f"presence:{play.conversation_id}"
        await stage.redis.delete("gateways", key)
        async with asyncio.timeout(20):
            while len(await stage.redis.hkeys(key)) < 2:  # noqa: ASYNC110 - Redis has no event for it
                await asyncio.sleep(0.05)
        await asyncio.sleep(2 * LEASE_S)  # in which the gateways would have buried each other
        await nothing_more(hers, "presence")


async def test_what_went_unheard_is_read_again(
    urls: tuple[str, str], stage: Stage, ada: Someone, bob: Someone, play: Play
) -> None:
    """A gateway that heard nothing for a while finds out who came and went meanwhile."""
    async with AsyncExitStack() as sockets:
        hers, _ = await looking(sockets, urls[0], ada, play)
        his, _ = await looking(sockets, urls[1], bob, play)
        assert await presence_of(hers, bob) == "online"
        key = f"presence:{play.conversation_id}"
        # His going is written down, but not heard: as if the channel had been away when it was told.
        for field in await stage.redis.hkeys(key):
            if field.decode().endswith(bob.user_id):
                await stage.redis.hdel(key, field)
        await stage.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert await presence_of(hers, bob) == "offline"
        assert (await his.ask("presence.set", status="away"))["ok"]
        assert await presence_of(hers, bob) == "away"

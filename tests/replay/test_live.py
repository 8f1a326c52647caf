"""Live windows are rebuilt from the log, beside those in Redis, and replaced one by one, without a word to anybody."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from infra.deltas import conversation_channel
from infra.live import WINDOW_S, LiveWindow, read_window, records_key, state_key
from streams.replay import windows
from tests.conftest import StartProcess
from tests.projections.talk import Talk
from tests.replay.conftest import Replay, World
from tests.running import DEADLINE_S


@pytest_asyncio.fixture(autouse=True)
async def cleared(world: World) -> AsyncIterator[None]:
    """No replay is left behind."""
    yield
    async for key in world.redis.scan_iter(f"{windows.PREFIX}*"):
        await world.redis.delete(key)


async def shown(world: World, talks: list[Talk]) -> list[LiveWindow]:
    """The windows, once they say all that was published."""
    found = []
    for talk in talks:
        assert talk.view is not None
        async with asyncio.timeout(DEADLINE_S):
            while (  # noqa: ASYNC110  # nobody could set an event
                window := await read_window(world.redis, talk.conversation_id)
            ) is None or (window.top < talk.view.position):
                await asyncio.sleep(0.05)
        found.append(window)
    return found


@pytest.mark.slow
async def test_corrupted_windows_are_mended_and_nobody_sees_a_hole(
    world: World, start_process: StartProcess, replay: Replay
) -> None:
    """Windows that were lost, cut, changed, and moved ahead of the log say what the log says again, while their readers
    never find none where there was one, while others chat, and without a word on any channel."""
    talks = await world.begin(6)
    await asyncio.gather(*(start_process("streams", role) for role in ("history", "live")))
    await world.go_on(12)
    clean = await shown(world, talks)
    ids = [talk.conversation_id for talk in talks]
    await world.redis.delete(state_key(ids[0]), records_key(ids[0]))
    await world.redis.rpop(records_key(ids[1]))
    await world.redis.lset(records_key(ids[2]), 3, await world.redis.lindex(records_key(ids[3]), 4))
    await world.redis.hset(state_key(ids[4]), mapping={"top": 1_000, "base": 1_000 - len(clean[4].records)})
    await world.redis.expire(state_key(ids[2]), 5_000)
    channel = world.redis.pubsub()
    await channel.subscribe(*(conversation_channel(c) for c in ids))
    async with asyncio.timeout(DEADLINE_S):
        for _ in ids:
            await channel.get_message(timeout=5)
    holes: list[str] = []

    over = asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            for conversation_id in (ids[2], ids[3], ids[4], ids[5]):
                if await read_window(world.redis, conversation_id) is None:
                    holes.append(conversation_id)
            await asyncio.sleep(0.005)

    others = await world.begin(3)
    going_on = asyncio.gather(look(), world.chat(others, over))
    ended = await replay("live", "--json", "--swap")
    over.set()
    await going_on

    found = json.loads(ended.out)
    assert ended.code == 0
    assert ids[0] in found["missing"]
    assert {ids[1], ids[2], ids[4]} <= {*found["differs"]}
    assert {ids[3], ids[5]} <= {*found["same"]}
    assert await shown(world, talks) == clean
    assert not holes
    assert await channel.get_message(ignore_subscribe_messages=True, timeout=0.2) is None
    assert 4_000 < await world.redis.ttl(state_key(ids[2])) <= 5_000
    for kept in (ids[0], ids[5]):
        assert WINDOW_S - 600 < await world.redis.ttl(state_key(kept)) <= WINDOW_S
    await channel.aclose()  # type: ignore[no-untyped-call]

    await world.go_on(3, talks)
    for talk, window in zip(talks, await shown(world, talks), strict=True):
        assert window.view == talk.plain
        assert len(window.records) == window.top


@pytest.mark.slow
async def test_it_goes_on_where_it_was_killed(world: World, start_process: StartProcess, replay: Replay) -> None:
    """What another process had rebuilt is taken up, and a look without --swap changes nothing."""
    talks = await world.begin(2)
    await asyncio.gather(*(start_process("streams", role) for role in ("history", "live")))
    await world.go_on(5)
    clean = await shown(world, talks)
    spoilt = state_key(talks[0].conversation_id)
    await world.redis.hset(spoilt, "view", await world.redis.hget(state_key(talks[1].conversation_id), "view"))

    first = await replay("live")
    await world.go_on(1, talks[1:])
    await shown(world, talks)
    second = await replay("live", "--swap")

    assert first.code == 1
    assert "Going on" in second.said
    assert (await shown(world, talks))[0] == clean[0]
    assert not [key async for key in world.redis.scan_iter(f"{windows.PREFIX}*")]

"""The running text of answers in Redis: never garbled, whatever Redis loses."""

import random
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from infra import redis as our_redis
from infra.deltas import DeltaMessage, Deltas, Written, conversation_channel, deltas_key
from infra.settings import RedisSettings
from schemas.ids import new_id
from tests.running import Stack


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    async with our_redis.connect(RedisSettings.from_env(stack.env)) as client:
        yield client


def said(run_id: str, conversation_id: str, deltas: list[str], from_seq: int, **changes: bool) -> Written:
    return Written(
        conversation_id=conversation_id, run_id=run_id, attempt=1, from_seq=from_seq, deltas=deltas, **changes
    )


async def test_what_was_written_is_read(redis: Redis) -> None:
    """Deltas of several runs go in one batch, and are read from any number on."""
    one, other, conversation = new_id(), new_id(), new_id()
    deltas = Deltas(redis)
    await deltas.append_many([said(one, conversation, ["a", "bé"], 1), said(other, conversation, ["x"], 1)])
    await deltas.append_many([said(one, conversation, ["a", "bé", "c"], 3)])

    assert await deltas.read(one, 1) == ["a", "bé", "c"]
    assert await deltas.read(one, 1, after_seq=2) == ["c"]
    assert await deltas.read(one, 1, after_seq=3) == []
    assert await deltas.read(other, 1) == ["x"]
    assert await deltas.read(one, 2) == []


async def test_each_write_is_told(redis: Redis) -> None:
    """Whoever watches the conversation gets the new deltas, joined and numbered, once."""
    run, conversation = new_id(), new_id()
    deltas = Deltas(redis)
    async with redis.pubsub() as watcher:
        await watcher.subscribe(conversation_channel(conversation))
        await watcher.get_message(timeout=5)
        await deltas.append_many([said(run, conversation, ["a"], 1)])
        await deltas.append_many([said(run, conversation, ["a", "b", "c"], 2)])
        await deltas.append_many([said(run, conversation, ["a", "b", "c"], 4, last=True)])
        await deltas.append_many([said(run, conversation, ["a", "b", "c", "d"], 4)])
        told = [await watcher.get_message(timeout=5) for _ in range(3)]

    assert [msgspec.json.decode(message["data"], type=DeltaMessage) for message in told if message] == [
        DeltaMessage(run_id=run, attempt=1, from_seq=1, seq=1, text="a"),
        DeltaMessage(run_id=run, attempt=1, from_seq=2, seq=3, text="bc"),
        DeltaMessage(run_id=run, attempt=1, from_seq=4, seq=4, text="d"),
    ]


async def test_a_list_is_kept_for_a_day_and_for_an_hour_after_the_end(redis: Redis) -> None:
    """Redis is no archive."""
    run, conversation = new_id(), new_id()
    deltas = Deltas(redis)
    await deltas.append_many([said(run, conversation, ["a"], 1)])
    running = await redis.ttl(deltas_key(run, 1))
    await deltas.append_many([said(run, conversation, ["a"], 2, last=True)])
    ended = await redis.ttl(deltas_key(run, 1))

    assert 86_000 < running <= 86_400
    assert 3_500 < ended <= 3_600


async def test_whatever_is_lost_or_doubled_the_list_is_a_beginning_of_the_text(redis: Redis) -> None:
    """Flushed at any time, written twice, or believed lost though it was written: the next write mends it."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    deltas = Deltas(redis)
    for _ in range(30):
        run, conversation = new_id(), new_id()
        text: list[str] = []
        written = 0
        for n in range(chance.randrange(1, 20)):
            text.append(f"{n} ")
            await deltas.append_many([said(run, conversation, text, written + 1)])
            if chance.random() < 0.7:  # else its answer was lost, and the writer does not know that it was written
                written = len(text)
            if chance.random() < 0.2:
                await redis.delete(deltas_key(run, 1))
            else:
                assert await deltas.read(run, 1) == text
        await deltas.append_many([said(run, conversation, text, written + 1, last=True)])

        assert await deltas.read(run, 1) == text


async def test_a_very_long_text_is_written_again_whole(redis: Redis) -> None:
    """More deltas than a script could unpack at once."""
    run, conversation = new_id(), new_id()
    text = [f"{n} " for n in range(20_000)]
    await Deltas(redis).append_many([said(run, conversation, text, 20_000)])

    assert await Deltas(redis).read(run, 1) == text

"""The processes `history` and `live`, from Kafka to the tables and the windows, while things break."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from infra import history, postgres
from infra import redis as our_redis
from infra.kafka import Publisher
from infra.keyring import Keyring
from infra.live import read_window
from infra.settings import KafkaSettings, PostgresSettings, RedisSettings, SealingSettings
from schemas import ids
from schemas.topics import CONVERSATION_EVENTS
from tests.conftest import StartProcess
from tests.projections.talk import Talk
from tests.running import DEADLINE_S, Stack


class World:
    """Some conversations that go on, whose records are published; and what became of them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.publisher = Publisher(KafkaSettings.from_env(stack.env), "/test")
        self.redis = our_redis.connect(RedisSettings.from_env(stack.env))
        self.talks: list[Talk] = []

    async def open(self) -> None:
        self.pool = await postgres.connect(PostgresSettings.from_env(self.stack.env))
        async with self.pool.acquire() as connection:
            keyring = Keyring(self.pool, SealingSettings.from_env(self.stack.env))
            key = await keyring.create(connection, ids.new_id())
        seed = int(os.environ.get("CHORUS_TEST_SEED") or random.randrange(2**32))
        print(f"seed {seed} (CHORUS_TEST_SEED)")
        drawn = random.Random(seed)
        self.talks = [Talk(drawn, key) for _ in range(20)]
        await self.publisher.start()

    async def close(self) -> None:
        await self.publisher.stop()
        await self.redis.aclose()
        await self.pool.close()

    async def go_on(self, records: int) -> None:
        """Publish so many records of each conversation."""
        for _ in range(records):
            for talk in self.talks:
                record = talk.next()
                await self.publisher.publish(
                    CONVERSATION_EVENTS,
                    record,
                    key=talk.conversation_id,
                    id=ids.fact_id(talk.conversation_id, record.cause),
                )

    async def agree(self) -> None:
        """Wait until tables and windows say what the records say."""
        for talk in self.talks:
            async with asyncio.timeout(DEADLINE_S):
                while await self._behind(talk):  # noqa: ASYNC110  # nobody here could set an event
                    await asyncio.sleep(0.05)
            assert await history.load_view(self.pool, talk.conversation_id) == talk.plain
            found = await read_window(self.redis, talk.conversation_id)
            assert found is not None
            assert found.view == talk.plain

    async def _behind(self, talk: Talk) -> bool:
        assert talk.view is not None
        found = await read_window(self.redis, talk.conversation_id)
        if found is None or found.top < talk.view.position:
            return True
        try:
            return await history.position(self.pool, talk.conversation_id) < talk.view.position
        except postgres.AWAY:
            return True


@pytest_asyncio.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    world = World(stack)
    await world.open()
    yield world
    await world.close()


async def test_records_arrive_in_tables_and_windows(world: World, start_process: StartProcess) -> None:
    """What is published is stored and shown; and a SIGTERM ends both processes within 5 s, in order."""
    running = await asyncio.gather(*(start_process("streams", role) for role in ("history", "live")))
    await world.go_on(10)
    await world.agree()

    for process in running:
        process.kill(signal.SIGTERM)
    for process in running:
        assert await process.ended(deadline_s=5) == 0


@pytest.mark.slow
async def test_nothing_is_lost_when_postgresql_restarts(world: World, start_process: StartProcess) -> None:
    """PostgreSQL crashes in mid-flow: both processes wait for it and go on, without a restart of their own."""
    running = await asyncio.gather(*(start_process("streams", role) for role in ("history", "live")))
    await world.go_on(5)
    postmaster = int((world.stack.data / "postgres" / "postmaster.pid").read_text().splitlines()[0])

    os.kill(postmaster, signal.SIGQUIT)
    await world.go_on(15)

    await world.agree()
    assert [process.process.poll() for process in running] == [None, None]


async def test_nothing_is_lost_when_redis_is_flushed(world: World, start_process: StartProcess) -> None:
    """Redis forgets everything, and live is killed too: the windows are there again with each conversation's next
    record."""
    _, live = await asyncio.gather(*(start_process("streams", role) for role in ("history", "live")))
    await world.go_on(5)
    live.kill()
    await live.ended()

    await world.redis.flushall()
    await world.go_on(5)
    await start_process("streams", "live")

    await world.agree()


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_when_both_are_killed(world: World, start_process: StartProcess) -> None:
    """SIGKILL in mid-flow, twice: what comes again is known."""
    for _ in range(3):
        running = await asyncio.gather(*(start_process("streams", role) for role in ("history", "live")))
        publishing = asyncio.create_task(world.go_on(10))
        await asyncio.sleep(random.uniform(0, 0.3))  # the moment of the kill, drawn; nothing is waited for
        for process in running:
            process.kill()
            await process.ended()
        await publishing
    await asyncio.gather(*(start_process("streams", role) for role in ("history", "live")))

    await world.agree()


@pytest.mark.slow
async def test_an_empty_database_is_filled_again(world: World, start_process: StartProcess) -> None:
    """History that lost its tables, though its group has read everything, reads the whole log again by itself."""
    running, _ = await asyncio.gather(*(start_process("streams", role) for role in ("history", "live")))
    await world.go_on(10)
    await world.agree()
    await running.stop()
    await world.pool.execute(
        "TRUNCATE conversations, messages, runs, rejections, remembered_cancels, unfit_facts, sink_offsets"
    )

    await start_process("streams", "history")

    await world.agree()

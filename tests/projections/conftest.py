"""The projections against real PostgreSQL and Redis."""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from infra import postgres
from infra import redis as our_redis
from infra.keyring import Keyring
from infra.settings import KafkaSettings, PostgresSettings, RedisSettings, SealingSettings
from schemas import events, ids
from schemas.contract import Envelope
from schemas.sealing import DataKey
from streams.intake import Delivery
from streams.workers.history import HistorySink
from tests.projections.talk import START, Talk
from tests.running import Stack

Pool = "asyncpg.Pool[asyncpg.Record]"
NewSink = Callable[..., Awaitable[HistorySink]]
Delivered = Delivery[events.ConversationAdvanced]


def delivered(records: Iterable[events.ConversationAdvanced], offset: int = 0, partition: int = 0) -> list[Delivered]:
    """The records as an intake hands them on, from this offset on."""
    return [
        Delivery(
            event=record,
            envelope=Envelope(
                id=ids.fact_id(record.conversation_id, record.cause), type=record.type, source="/test", time=START
            ),
            topic="conversation-events",
            partition=partition,
            offset=offset + n,
            key=record.conversation_id.encode(),
            timestamp_ms=0,
        )
        for n, record in enumerate(records)
    ]


@pytest_asyncio.fixture
async def pool(stack: Stack) -> AsyncIterator[Pool]:
    async with await postgres.connect(PostgresSettings.from_env(stack.env)) as pool:
        yield pool


@pytest_asyncio.fixture
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    async with our_redis.connect(RedisSettings.from_env(stack.env)) as redis:
        yield redis


@pytest.fixture
def keyring(pool: Pool, stack: Stack) -> Keyring:
    return Keyring(pool, SealingSettings.from_env(stack.env))


@pytest_asyncio.fixture
async def key(pool: Pool, keyring: Keyring) -> DataKey:
    """A person's data key, stored as the accounts do."""
    async with pool.acquire() as connection:
        return await keyring.create(connection, ids.new_id())


@pytest.fixture
def talk(key: DataKey) -> Talk:
    """A conversation of that person, its seed printed."""
    seed = int(os.environ.get("CHORUS_TEST_SEED") or random.randrange(2**32))
    print(f"seed {seed} (CHORUS_TEST_SEED)")
    return Talk(random.Random(seed), key)


@pytest.fixture
def new_sink(pool: Pool, stack: Stack) -> NewSink:
    """Makes a history sink, as in a new process, that reads partition 0 of a topic that nobody else reads."""

    async def make(topic_id: str | None = None) -> HistorySink:
        keyring = Keyring(pool, SealingSettings.from_env(stack.env))
        sink = HistorySink(pool, keyring, KafkaSettings.from_env(stack.env), topic_id or ids.new_id())
        await sink.assigned({0: 0})
        return sink

    return make

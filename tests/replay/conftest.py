"""A world that goes on while it is replayed: conversations whose records are published, and `replay` as a process."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from infra import history, postgres
from infra import redis as our_redis
from infra.kafka import Publisher
from infra.keyring import Keyring
from infra.settings import KafkaSettings, PostgresSettings, RedisSettings, SealingSettings
from schemas import ids
from schemas.sealing import DataKey
from schemas.topics import CONVERSATION_EVENTS
from tests.projections.talk import Talk
from tests.running import DEADLINE_S, ROOT, Stack

KEYS = {
    "conversations": "id",
    "messages": "conversation_id",
    "runs": "conversation_id",
    "rejections": "conversation_id",
    "remembered_cancels": "conversation_id",
}
"""The projection's tables, and what says whose a row is."""

Rows = dict[str, list[tuple[object, ...]]]


@dataclass
class World:
    """Some conversations, all of one person."""

    stack: Stack
    publisher: Publisher
    pool: "asyncpg.Pool[asyncpg.Record]"
    redis: Redis
    keyring: Keyring
    random: random.Random
    talks: list[Talk] = field(default_factory=list)

    async def person(self) -> DataKey:
        async with self.pool.acquire() as connection:
            return await self.keyring.create(connection, ids.new_id())

    async def begin(self, count: int, key: DataKey | None = None) -> list[Talk]:
        """New conversations."""
        begun = [Talk(self.random, key or await self.person()) for _ in range(count)]
        self.talks += begun
        return begun

    async def go_on(self, records: int, talks: list[Talk] | None = None) -> None:
        """Publish so many records of each conversation."""
        for _ in range(records):
            sent = []
            for talk in talks or self.talks:
                record = talk.next()
                sent.append(
                    await self.publisher.enqueue(
                        CONVERSATION_EVENTS,
                        record,
                        key=talk.conversation_id,
                        id=ids.fact_id(talk.conversation_id, record.cause),
                    )
                )
            await asyncio.gather(*sent)

    async def chat(self, talks: list[Talk], over: asyncio.Event) -> None:
        """Publish records of these conversations until it is over."""
        while not over.is_set():
            await self.go_on(1, talks)
            await asyncio.sleep(0.02)  # as people do: the processes under test share the machine

    async def stored(self, talks: list[Talk] | None = None) -> None:
        """Wait until history has stored everything."""
        async with asyncio.timeout(DEADLINE_S):
            for talk in talks or self.talks:
                assert talk.view is not None
                while await history.position(self.pool, talk.conversation_id) < talk.view.position:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def rows(self, talks: list[Talk] | None = None) -> Rows:
        """All rows of these conversations, in order."""
        mine = [talk.conversation_id for talk in talks or self.talks]
        return {
            table: [
                tuple(row)
                for row in await self.pool.fetch(f"SELECT * FROM {table} WHERE {key} = ANY($1) ORDER BY 1", mine)
            ]
            for table, key in KEYS.items()
        }


@pytest_asyncio.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    seed = int(os.environ.get("CHORUS_TEST_SEED") or random.randrange(2**32))
    print(f"seed {seed} (CHORUS_TEST_SEED)")
    publisher = Publisher(KafkaSettings.from_env(stack.env), "/test")
    await publisher.start()
    pool = await postgres.connect(PostgresSettings.from_env(stack.env))
    redis = our_redis.connect(RedisSettings.from_env(stack.env))
    keyring = Keyring(pool, SealingSettings.from_env(stack.env))
    yield World(stack, publisher, pool, redis, keyring, random.Random(seed))
    await publisher.stop()
    await redis.aclose()
    await pool.close()


@dataclass
class Ended:
    """How a replay ended."""

    code: int
    out: str
    said: str


Replay = Callable[..., Any]


@pytest.fixture
def begin_replay(stack: Stack) -> Callable[..., "subprocess.Popen[str]"]:
    """Start `python -m streams replay …`."""

    def start(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "streams", "replay", *arguments, "--nice", "0"],
            cwd=ROOT,
            env=stack.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def replay(begin_replay: Callable[..., "subprocess.Popen[str]"]) -> Replay:
    """`await replay("history", "--swap")` runs one to its end."""

    async def run(*arguments: str) -> Ended:
        process = begin_replay(*arguments)
        try:
            out, said = await asyncio.to_thread(process.communicate, timeout=DEADLINE_S)
        finally:
            process.kill()
        print(out, said)
        return Ended(process.returncode, out, said)

    return run

"""Operators' commands against real parts."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from click.testing import CliRunner, Result

from infra import postgres
from infra.command import main
from infra.kafka import Publisher, end_offsets, read_partition
from infra.keyring import Keyring
from infra.operator.reached import partitions_of
from infra.settings import KafkaSettings, PostgresSettings, SealingSettings
from schemas import events, ids
from schemas.sealing import DataKey
from schemas.topics import CONVERSATION_EVENTS
from tests.running import Stack
from tests.streams.conftest import make_topic  # noqa: F401 - a fixture


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal of a machine on which `stack` runs."""

    stack: Stack

    async def run(self, *arguments: str, **settings: str) -> Result:
        """Run `chorus …`; a traceback fails the test."""
        env: dict[str, str | None] = {**self.stack.env, "CHORUS_DATA": str(self.stack.data), **settings}
        result = await asyncio.to_thread(CliRunner(env=env).invoke, main, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise AssertionError(result.output) from result.exception
        return result

    async def told(self, *arguments: str) -> Any:
        """What `chorus … --json` prints, whole."""
        result = await self.run(*arguments, "--json")
        assert result.exit_code in (0, 1), result.output
        return json.loads(result.stdout)

    async def lines(self, *arguments: str) -> list[Any]:
        """What `chorus … --json` prints, line by line."""
        result = await self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    async def refused(self, *arguments: str, **settings: str) -> str:
        """The sentence with which it says that this cannot be done: exit code 2, nothing on standard output."""
        result = await self.run(*arguments, **settings)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert "Traceback" not in result.stderr
        return result.stderr

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None = b"key", headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.stack.kafka) as producer:
            await producer.send_and_wait(topic, value, key=key, headers=list(headers))

    async def records(self, topic: str) -> "list[ConsumerRecord[bytes, bytes]]":
        """All that is in a topic, partition by partition."""
        kafka = KafkaSettings(self.stack.kafka)
        ends = await end_offsets(kafka, topic, {p.partition for p in await partitions_of(kafka, topic)})
        return [record for p, end in sorted(ends.items()) async for record in read_partition(kafka, topic, p, 0, end)]

    async def publish(self, *records: events.ConversationAdvanced) -> None:
        """Write facts as the conversations processor does."""
        publisher = Publisher(KafkaSettings(self.stack.kafka), "/test")
        await publisher.start()
        for record in records:
            key = record.conversation_id
            await publisher.publish(CONVERSATION_EVENTS, record, key=key, id=ids.fact_id(key, record.cause))
        await publisher.stop()


@pytest.fixture
def operator(stack: Stack) -> Operator:
    return Operator(stack)


@pytest_asyncio.fixture
async def pool(stack: Stack) -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    async with await postgres.connect(PostgresSettings.from_env(stack.env)) as pool:
        yield pool


@pytest_asyncio.fixture
async def key(stack: Stack, pool: "asyncpg.Pool[asyncpg.Record]") -> DataKey:
    """A person's data key, stored as the accounts do."""
    async with pool.acquire() as connection:
        return await Keyring(pool, SealingSettings.from_env(stack.env)).create(connection, ids.new_id())

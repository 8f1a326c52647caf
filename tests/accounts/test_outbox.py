"""The outbox: what was committed is told, whatever dies in between; what was rolled back never is."""

import asyncio
import json
import os
import signal
from typing import Any

import asyncpg
import pytest
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from edge import outbox
from infra.kafka import end_offsets, partition_of, read_partition
from infra.postgres import AWAY
from infra.settings import KafkaSettings
from schemas.ids import new_id
from schemas.topics import ACCOUNT_EVENTS, ACCOUNT_PARTITIONS
from tests.conftest import StartProcess
from tests.running import Stack, until

KAFKA_AWAY = (KafkaError, KafkaException)


class Project:
    """A project's row, and what the log says of it since the test began."""

    def __init__(self, stack: Stack, database: Any, id: str, begin: int) -> None:
        self.id = id
        self._kafka = KafkaSettings.from_env(stack.env)
        self._database = database
        self._partition = partition_of(id, ACCOUNT_PARTITIONS)
        self._begin = begin

    async def reconnect(self, stack: Stack) -> None:
        self._database = await asyncpg.connect(stack.database_url)

    async def leave(self) -> None:
        await self._database.close()

    async def change(self) -> None:
        async with self._database.transaction():
            await outbox.project_changed(self._database, self.id)

    async def told(self) -> list[tuple[str, int]]:
        """The id and revision of each event."""
        topic, found = ACCOUNT_EVENTS.topic, []
        end = (await end_offsets(self._kafka, topic, {self._partition}))[self._partition]
        async for record in read_partition(self._kafka, topic, self._partition, self._begin, end):
            event, envelope = ACCOUNT_EVENTS.decode(record.value, record.headers)
            if event.project_id == self.id:
                assert record.key == self.id.encode()
                found.append((envelope.id, event.revision))
        return found

    async def waiting(self) -> int:
        return int(await self._database.fetchval("SELECT count(*) FROM outbox WHERE key = $1", self.id))

    async def is_told(self, *revisions: int) -> None:
        """Wait until each of them was told, and nothing is left to tell."""

        async def look() -> bool:
            return [revision for _, revision in await self.told()] == list(revisions) and not await self.waiting()

        await until(f"the outbox tells {revisions}", look)


@pytest.fixture
async def project(stack: Stack, database: Any) -> Project:
    id = new_id()
    await database.execute("INSERT INTO projects (id, name) VALUES ($1, 'Told')", id)
    partition = partition_of(id, ACCOUNT_PARTITIONS)
    ends = await end_offsets(KafkaSettings.from_env(stack.env), ACCOUNT_EVENTS.topic, {partition})
    return Project(stack, database, id, ends[partition])


async def test_what_is_committed_is_told_and_nothing_else(
    project: Project, database: Any, start_process: StartProcess
) -> None:
    """A transaction that is rolled back leaves no event; those that are committed leave one each, in their order."""
    await start_process("streams", "outbox")
    for _ in range(3):
        await project.change()
    rolled_back = database.transaction()
    await rolled_back.start()
    await outbox.project_changed(database, project.id)
    await rolled_back.rollback()
    await project.change()

    await project.is_told(1, 2, 3, 4)


async def test_whoever_commits_wakes_the_relay(project: Project, start_process: StartProcess) -> None:
    """An event is told long before the relay would look by itself."""
    await start_process("streams", "outbox", CHORUS_OUTBOX_LOOK_S="60")
    await project.change()
    await project.is_told(1)
    await project.change()

    await project.is_told(1, 2)


async def test_nothing_is_lost_between_commit_and_publish(project: Project, start_process: StartProcess) -> None:
    """A relay that is killed after the commit and before it published: the next one tells it."""
    relay = await start_process("streams", "outbox")
    await project.change()
    await project.is_told(1)
    os.kill(relay.process.pid, signal.SIGSTOP)
    await project.change()
    relay.kill(signal.SIGKILL)
    relay.process.wait()
    assert [revision for _, revision in await project.told()] == [1]
    assert await project.waiting() == 1

    await start_process("streams", "outbox")

    await project.is_told(1, 2)


async def test_what_comes_twice_has_the_same_id(
    stack: Stack, project: Project, database: Any, start_process: StartProcess
) -> None:
    """A relay that is killed after it published and before it noted so: the event comes again, as the same."""
    await project.change()
    async with database.transaction():
        # Whoever holds the row keeps the relay from removing it.
        await database.execute("SELECT FROM outbox WHERE key = $1 FOR UPDATE", project.id)
        relay = await start_process("streams", "outbox")

        async def is_told() -> bool:
            return len(await project.told()) == 1

        await until("the event is told", is_told)
        relay.kill(signal.SIGKILL)
        relay.process.wait()
        # PostgreSQL would carry out what the dead relay was waiting for.
        ended = await database.fetch("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        assert ended

    await start_process("streams", "outbox")

    async def is_told_twice() -> bool:
        return len(await project.told()) == 2 and not await project.waiting()

    await until("the event is told again", is_told_twice)
    assert len(set(await project.told())) == 1


async def test_two_relays_do_not_tell_everything_twice(project: Project, start_process: StartProcess) -> None:
    """One works, the other waits, and takes over when the first is killed."""
    first = await start_process("streams", "outbox")
    waiting = asyncio.ensure_future(start_process("streams", "outbox"))
    await project.change()
    await project.is_told(1)
    assert not waiting.done()
    first.kill(signal.SIGKILL)
    await waiting
    await project.change()

    await project.is_told(1, 2)


async def test_a_lost_connection_is_made_anew(project: Project, database: Any, start_process: StartProcess) -> None:
    """PostgreSQL ends the relay's connection, as it does when it restarts: the relay lives on, and tells."""
    relay = await start_process("streams", "outbox")
    await project.change()
    await project.is_told(1)
    ended = await database.fetch("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    assert ended
    await project.change()

    await project.is_told(1, 2)
    assert relay.process.poll() is None


async def all_told(project: Project, *revisions: int) -> None:
    """Wait until each was told: what comes again is the same event, and a newer one never came before an older one."""

    async def look() -> bool:
        try:
            told = await project.told()
        except KAFKA_AWAY:
            return False
        first = list(dict.fromkeys(told))
        assert [revision for _, revision in first] == list(revisions)[: len(first)]
        return len(first) == len(revisions) and not await project.waiting()

    await until(f"the outbox tells {revisions}", look)


@pytest.mark.slow
async def test_kafka_dies_and_comes_back(stack: Stack, project: Project, start_process: StartProcess) -> None:
    """What is committed while Kafka is away is told when it is back, in its order, by the relay that was there."""
    relay = await start_process("streams", "outbox")
    await project.change()
    await project.is_told(1)
    parts = json.loads((stack.data / "stack.json").read_text())["parts"]
    os.kill(next(part["pid"] for part in parts if part["role"] == "kafka"), signal.SIGKILL)
    for _ in range(5):
        await project.change()
    await asyncio.sleep(1)  # a relay that does not wait for Kafka's word would forget them now
    assert await project.waiting() == 5

    await all_told(project, 1, 2, 3, 4, 5, 6)
    assert relay.process.poll() is None


async def test_postgresql_crashes_and_comes_back(stack: Stack, project: Project, start_process: StartProcess) -> None:
    """What was committed before PostgreSQL crashed is told afterwards, and so is what follows."""
    relay = await start_process("streams", "outbox")
    await project.change()
    await project.is_told(1)
    os.kill(relay.process.pid, signal.SIGSTOP)
    for _ in range(3):
        await project.change()
    postmaster = (stack.data / "postgres" / "postmaster.pid").read_text().splitlines()[0]
    os.kill(int(postmaster), signal.SIGQUIT)
    os.kill(relay.process.pid, signal.SIGCONT)

    async def is_back() -> bool:
        try:
            await project.reconnect(stack)
        except AWAY:
            return False
        return True

    await until("PostgreSQL is back", is_back)
    await project.change()

    await all_told(project, 1, 2, 3, 4, 5)
    assert relay.process.poll() is None
    await project.leave()

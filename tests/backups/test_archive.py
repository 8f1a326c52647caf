"""The archive of the log, on the real parts."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from infra import archives
from infra.kafka import end_offsets, first_offsets
from infra.objects import Objects, ObjectsSettings
from tests.backups.conftest import Operator

TOPIC = archives.TOPIC
BUSY = 5


@pytest_asyncio.fixture
async def producer(operator: Operator) -> AsyncIterator[AIOKafkaProducer]:
    """Writes to an empty log."""
    await operator.begin_anew()
    async with AIOKafkaProducer(bootstrap_servers=operator.kafka.bootstrap, linger_ms=5) as producer:
        yield producer


async def publish(producer: AIOKafkaProducer, count: int, partition: int = BUSY, size: int = 300) -> None:
    reports = []
    for n in range(count):
        value = f"{n:08}".encode() * (size // 8)
        reports.append(await producer.send(TOPIC, value, key=b"k", partition=partition))
    await asyncio.gather(*reports)


async def archived(operator: Operator, partition: int = BUSY) -> int:
    """How many records of a partition the archive holds, each of them read."""
    objects = Objects(ObjectsSettings(str(operator.objects)))
    found = (await archives.segments(objects, await operator.topic_id())).get(partition, [])
    end = archives.reach({partition: found})[partition]
    return len([r async for r in archives.read_archived(objects, found, 0, end)])


@pytest.mark.slow
async def test_an_archiver_that_is_killed_leaves_a_whole_archive(
    operator: Operator, producer: AIOKafkaProducer
) -> None:
    """While records are published, archivers are killed at any moment; the next one goes on, and all is there."""
    await publish(producer, 250, size=500_000)  # four segments
    stopping = asyncio.Event()

    async def chat() -> None:
        while not stopping.is_set():
            await publish(producer, 20)
            await asyncio.sleep(0.05)

    def written() -> int:
        return len(list(operator.objects.rglob("*.gz")))

    chatting = asyncio.create_task(chat())
    killed, held = [], 0
    for delay_s in (0.2, 0.0, 0.1):
        crumbs = written()
        archiver = operator.begin("archive")
        while written() == crumbs and archiver.poll() is None:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.005)
        await asyncio.sleep(delay_s)
        archiver.kill()
        killed.append(await asyncio.to_thread(archiver.wait))
        before, held = held, await archived(operator)
        assert held >= before, "what was archived stays so"
    stopping.set()
    await chatting

    await operator.run("archive")
    await operator.run("archive", "--verify")

    assert -signal.SIGKILL in killed, "at least one was killed in the middle"
    assert (await end_offsets(operator.kafka, TOPIC, {BUSY}))[BUSY] == await archived(operator)


@pytest.mark.slow
async def test_small_runs_make_no_crumbs(operator: Operator, producer: AIOKafkaProducer) -> None:
    """A last segment that is small is written again with what is new."""
    for _ in range(3):
        await publish(producer, 10)
        await operator.run("archive")

    names = [path.name for path in (operator.objects / "log").rglob("*.gz")]
    assert [f"{0:020}-{30:020}.jsonl.gz"] == names
    assert "Archived 0 records" in await operator.run("archive")


async def test_a_damaged_segment_is_noticed(operator: Operator, producer: AIOKafkaProducer) -> None:
    """`--verify` names what is damaged or missing, and ends with 1."""
    await publish(producer, 20)
    await operator.run("archive")
    [path] = (operator.objects / "log").rglob("*.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))

    assert "damaged" in await operator.run("archive", "--verify", status=1)

    path.rename(path.with_name(f"{5:020}-{20:020}.jsonl.gz"))
    assert "missing" in await operator.run("archive", "--verify", status=1)


@pytest.mark.slow
async def test_what_is_trimmed_is_read_from_the_archive(operator: Operator, producer: AIOKafkaProducer) -> None:
    """Only what is archived, stored, in a backup and old enough leaves Kafka; a reader notices nothing."""
    await publish(producer, 100)
    connection = await asyncpg.connect(operator.postgres.url)
    topic_id = await operator.topic_id()
    await connection.execute("INSERT INTO sink_offsets VALUES ('history', $1, $2, 80)", topic_id, BUSY)

    now = datetime.now(UTC).isoformat()
    assert "oldest backup" in await operator.run("archive", "--trim-before", now)
    assert {BUSY: 0} == await first_offsets(operator.kafka, TOPIC, {BUSY})

    await operator.run("backup")
    await connection.execute("UPDATE sink_offsets SET next_offset = 100")
    await connection.close()
    assert "Would remove 80 records" in await operator.run("archive", "--trim-before", now, "--dry-run")
    assert "Would remove 0 records" in await operator.run("archive", "--trim-before", "1d", "--dry-run")
    await operator.run("archive", "--trim-before", now)
    await publish(producer, 7)

    assert {BUSY: 80} == await first_offsets(operator.kafka, TOPIC, {BUSY})
    objects = Objects(ObjectsSettings(str(operator.objects)))
    read = [record.offset async for record in archives.read_log(operator.kafka, objects, BUSY, 3, 105)]
    assert list(range(3, 105)) == read
    assert 100 == await archived(operator)
    await operator.run("archive")
    assert 107 == await archived(operator)

    elsewhere = operator.objects.with_name("elsewhere")
    assert "begins at offset 80" in await operator.run("archive", "--to", str(elsewhere), status=2)
    assert not list(elsewhere.rglob("*.gz")), "nothing pretends to be an archive that cannot be whole"

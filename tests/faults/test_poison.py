"""Records that nobody can read, on every topic: processors go on, the bytes are kept, the neighbours are unharmed."""

import random
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from infra import postgres
from infra.kafka import end_offsets, first_offsets, partition_of, read_partition
from infra.keyring import Keyring
from infra.settings import KafkaSettings, PostgresSettings, SealingSettings
from schemas import events, ids
from schemas.contract import Envelope, Headers, envelope_headers
from schemas.topics import AGENT_REQUESTS, CONVERSATION_COMMANDS, CONVERSATION_EVENTS, CONVERSATION_PARTITIONS
from tests.faults.conftest import Play
from tests.faults.scenario import RETURN_LINE_S, Scene
from tests.faults.stack import FaultStack
from tests.projections.talk import Talk

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

MARK = "poison"
"""Header that tells our records apart; a dead letter keeps the headers of its record."""

READERS = {
    CONVERSATION_COMMANDS: {"conversations"},
    AGENT_REQUESTS: {"replies"},
    CONVERSATION_EVENTS: {"history", "live"},
}
"""The groups of each topic, each of which puts aside what it cannot read."""

WRONG_TYPE = "chorus.weather.changed.v1"


@dataclass(frozen=True)
class Poison:
    name: str
    key: bytes
    value: bytes | None
    headers: Headers


def poisons(topic_type: str, drawn: random.Random) -> list[Poison]:
    """One of each kind; `topic_type` is an event type of the topic, so that only the value is wrong."""

    def made(kind: str, value: bytes | None, of: str = topic_type) -> Poison:
        envelope = Envelope(id=ids.new_id(), type=of, source="/tests/faults", time=datetime.now(UTC))
        name = f"{kind} {drawn.getrandbits(64):x}"
        return Poison(name, ids.new_id().encode(), value, [*envelope_headers(envelope), (MARK, name.encode())])

    return [
        made("bad UTF-8", b'{"conversation_id": "\xff\xfe\x80"}'),
        made("bad JSON", b'{"conversation_id": '),
        made("wrong type", b"{}", of=WRONG_TYPE),
        made("wrong shape", b'{"conversation_id": 7}'),
        made("900 kB", b"\x00" * 900_000),
        made("tombstone", None),
    ]


async def publish(kafka: KafkaSettings, topic: str, records: list[Poison]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, max_request_size=2 * 2**20, linger_ms=5)
    await producer.start()
    try:
        for record in records:
            partition = partition_of(record.key.decode(), CONVERSATION_PARTITIONS)
            await producer.send(topic, record.value, key=record.key, headers=record.headers, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()


async def dead_letters(kafka: KafkaSettings, topic: str) -> dict[str, dict[str, list[Poison]]]:
    """By the name of the poison and the group that put it aside."""
    name = f"{topic}-dlq"
    partitions = set(range(CONVERSATION_PARTITIONS))
    first, last = await first_offsets(kafka, name, partitions), await end_offsets(kafka, name, partitions)
    found: dict[str, dict[str, list[Poison]]] = defaultdict(lambda: defaultdict(list))
    for partition in partitions:
        async for record in read_partition(kafka, name, partition, first[partition], last[partition]):
            headers = dict(record.headers)
            if MARK in headers:
                poison = headers[MARK].decode()
                group = headers["dlq.consumer.group"].decode()
                found[poison][group].append(Poison(poison, record.key, record.value, list(record.headers)))
    return found


async def test_unreadable_records(play: Play, faults: FaultStack) -> None:
    """Bad UTF-8, bad JSON, a wrong type, a wrong shape, 900 kB of nothing, and a tombstone, on every topic."""
    kafka = KafkaSettings.from_env(faults.direct)
    sent: dict[str, list[Poison]] = {}

    async def fault(scene: Scene) -> None:
        for contract in READERS:
            sent[contract.topic] = poisons(next(iter(contract.types)), scene.random)
            await publish(kafka, contract.topic, sent[contract.topic])
        scene.ended_at = time.monotonic()

    async def after(scene: Scene) -> None:
        for contract, groups in READERS.items():
            found = await dead_letters(kafka, contract.topic)
            for poison in sent[contract.topic]:
                kept = found[poison.name]
                if missing := groups - kept.keys():
                    scene.problems.append(f"{poison.name} on {contract.topic}: not put aside by {sorted(missing)}")
                for letters in kept.values():
                    if any((letter.key, letter.value) != (poison.key, poison.value) for letter in letters):
                        scene.problems.append(f"{poison.name} on {contract.topic}: the bytes are not what they were")

    await play("poison in every topic", fault, line_s=RETURN_LINE_S, after=after)


BEFORE = AFTER = 249


@pytest.fixture
async def talk(faults: FaultStack) -> Talk:
    """A conversation that nobody of the load knows, of a person with a key."""
    settings = PostgresSettings.from_env(faults.direct)
    async with await postgres.connect(settings) as pool, pool.acquire() as connection:
        key = await Keyring(pool, SealingSettings.from_env(faults.direct)).create(connection, ids.new_id())
    return Talk(random.Random(1), key)


async def test_a_row_that_breaks_a_check(play: Play, faults: FaultStack, talk: Talk) -> None:
    """One record in a batch of 500 breaks a CHECK of its table: it is kept as it came, and 499 are stored."""
    kafka = KafkaSettings.from_env(faults.direct)
    records = [talk.created(), *(talk.record(talk.posted(f"before {n}")) for n in range(BEFORE))]
    bad = talk.record(replace(talk.posted("who says this?"), role="robot"))
    records += [bad, *(talk.record(talk.posted(f"after {n}")) for n in range(AFTER))]

    async def fault(scene: Scene) -> None:
        batch = []
        for record in records:
            value, headers = CONVERSATION_EVENTS.encode(
                record, id=ids.fact_id(record.conversation_id, record.cause), source="/tests/faults", time=record.at
            )
            batch.append(Poison("", record.conversation_id.encode(), value, headers))
        await publish(kafka, CONVERSATION_EVENTS.topic, batch)
        scene.ended_at = time.monotonic()

    async def after(scene: Scene) -> None:
        connection = await asyncpg.connect(faults.direct["CHORUS_DATABASE_URL"])
        try:
            stored = await connection.fetchval(
                "SELECT count(*) FROM messages WHERE conversation_id = $1", talk.conversation_id
            )
            unfit = await connection.fetchval(
                "SELECT record::text FROM unfit_facts WHERE record->>'cause' = $1", bad.cause
            )
        finally:
            await connection.close()
        if stored != BEFORE + AFTER:
            scene.problems.append(f"{stored} of {BEFORE + AFTER} neighbours are stored")
        if unfit is None or events.decode_advanced(unfit.encode()) != bad:
            scene.problems.append("the record that breaks a CHECK is not kept as it came")

    await play("a CHECK broken inside a batch of 500", fault, line_s=RETURN_LINE_S, after=after)

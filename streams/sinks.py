"""A sink: what stands on a topic becomes rows; a batch, and how far it reaches, are one transaction.

What is stored counts, whatever the group's offsets say: what is below `sink_offsets` is skipped, and what the group has
passed and the tables do not have (a restored backup, a new database) is read again.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import structlog
from aiokafka.errors import KafkaError

from infra import postgres
from infra.kafka import end_offsets, read_partition
from infra.patience import patiently
from infra.settings import KafkaSettings
from schemas.contract import Contract, Envelope, InvalidRecord
from streams.intake import Delivery

if TYPE_CHECKING:
    import asyncpg

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

log = structlog.get_logger(__name__)

E = TypeVar("E")

BEHIND_BATCH = 2_000
"""Records in a transaction while a sink catches up by itself: nobody waits for the first of them."""

BEHIND_AT_ONCE = 3
"""Partitions that catch up at once: while PostgreSQL writes for one, this process prepares the next."""


class SinkAhead(RuntimeError):
    """The sink has stored more of a partition than there is: the topic's log was cut back."""


async def opened(
    pool: "Pool", kafka: KafkaSettings, sink: str, topic: str, topic_id: str, partitions: Collection[int]
) -> dict[int, int]:
    """The next offset of each partition, however long PostgreSQL or Kafka are away; from now on each has a row, which
    can be locked: two processes that both believe to own a partition then take turns.

    Raises:
        SinkAhead: see there.
    """

    async def look() -> dict[int, int]:
        await pool.execute(
            """
            INSERT INTO sink_offsets (sink, topic_id, partition, next_offset)
            SELECT $1, $2, unnest($3::integer[]), 0 ON CONFLICT DO NOTHING
            """,
            sink,
            topic_id,
            list(partitions),
        )
        found = await pool.fetch(
            "SELECT partition, next_offset FROM sink_offsets WHERE sink = $1 AND topic_id = $2 AND partition = ANY($3)",
            sink,
            topic_id,
            list(partitions),
        )
        return {row["partition"]: row["next_offset"] for row in found}

    stored = await patiently("PostgreSQL", postgres.AWAY, look)
    ends = await patiently("Kafka", (KafkaError, OSError), lambda: end_offsets(kafka, topic, set(partitions)))
    for partition, offset in stored.items():
        if offset > ends[partition]:
            raise SinkAhead(
                f"{sink} has stored {topic} partition {partition} up to offset {offset}, but the partition ends at "
                f"{ends[partition]}: its log was cut back. Restore the log."
            )
    return stored


async def held(connection: "Connection", sink: str, topic_id: str, partitions: Iterable[int]) -> dict[int, int]:
    """The next offset of each partition, which nobody else changes until the transaction ends."""
    found = await connection.fetch(
        """
        SELECT partition, next_offset FROM sink_offsets
        WHERE sink = $1 AND topic_id = $2 AND partition = ANY($3) ORDER BY partition FOR UPDATE
        """,
        sink,
        topic_id,
        sorted(set(partitions)),
    )
    return {row["partition"]: row["next_offset"] for row in found}


async def advance(connection: "Connection", sink: str, topic_id: str, reached: Mapping[int, int]) -> None:
    """Note the next offset of each partition."""
    await connection.execute(
        """
        UPDATE sink_offsets SET next_offset = reached.next_offset, updated_at = now()
        FROM unnest($3::integer[], $4::bigint[]) AS reached (partition, next_offset)
        WHERE sink = $1 AND topic_id = $2 AND sink_offsets.partition = reached.partition
        """,
        sink,
        topic_id,
        list(reached),
        list(reached.values()),
    )


@dataclass(frozen=True, slots=True)
class Read(Generic[E]):
    """A record as it was read, by whichever way."""

    event: E
    envelope: Envelope
    partition: int
    offset: int


class Sink(ABC, Generic[E]):
    """Stores the records of one topic, in batches; `streams.intake.BatchProcessor`.

    Args:
        name: of the sink in `sink_offsets`.
        topic_id: Kafka's own id of the topic. One that was made anew has another, and is read from its beginning.
    """

    def __init__(
        self,
        name: str,
        contract: Contract[E],
        pool: "Pool",
        kafka: KafkaSettings,
        topic_id: str,
    ) -> None:
        self._name = name
        self._contract = contract
        self._pool = pool
        self._kafka = kafka
        self._topic_id = topic_id

    @abstractmethod
    async def store(self, connection: "Connection", records: Sequence[Read[E]]) -> None:
        """Store records, whose offsets ascend within each partition, inside the transaction of `connection`."""

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Find out how far each partition is stored, and catch up with where the group stands.

        Raises:
            SinkAhead: see there.
        """
        stored = await opened(self._pool, self._kafka, self._name, self._contract.topic, self._topic_id, partitions)
        limit = asyncio.Semaphore(BEHIND_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for partition, offset in partitions.items():
                if stored[partition] < offset:
                    group.create_task(self._catch_up(limit, partition, stored[partition], offset))

    async def revoked(self, partitions: Set[int]) -> None:
        """Nothing is kept between batches."""

    async def handle_batch(self, deliveries: Sequence[Delivery[E]]) -> None:
        """Store a batch, however long PostgreSQL is away."""
        await self._handle([Read(d.event, d.envelope, d.partition, d.offset) for d in deliveries])

    async def _handle(self, records: Sequence[Read[E]]) -> None:
        await patiently("PostgreSQL", postgres.AWAY, lambda: self._store(records))

    async def _catch_up(self, limit: asyncio.Semaphore, partition: int, start: int, end: int) -> None:
        async def work() -> None:
            batch: list[Read[E]] = []
            async for record in read_partition(self._kafka, self._contract.topic, partition, start, end):
                try:
                    event, envelope = self._contract.decode(record.value, record.headers)
                except InvalidRecord as error:  # the intake has put it aside when it came
                    log.warning(
                        "unreadable record skipped", partition=partition, offset=record.offset, error=str(error)
                    )
                    continue
                batch.append(Read(event, envelope, partition, record.offset))
                if len(batch) == BEHIND_BATCH:
                    await self._handle(batch)
                    batch = []
            if batch:
                await self._handle(batch)

        async with limit:
            log.info("catching up", sink=self._name, partition=partition, start=start, end=end)
            await patiently("Kafka", (KafkaError, OSError), work)

    async def _store(self, records: Sequence[Read[E]]) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            stored = await held(connection, self._name, self._topic_id, {record.partition for record in records})
            records = [record for record in records if record.offset >= stored[record.partition]]
            if records:
                await self.store(connection, records)
                reached = {record.partition: record.offset + 1 for record in records}
                await advance(connection, self._name, self._topic_id, reached)

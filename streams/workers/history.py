"""Writes what happened to PostgreSQL: `python -m streams history`."""

import asyncio
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from prometheus_client import Counter

from infra import postgres
from infra.kafka import end_offsets, read_partition, topic_ids
from infra.keyring import Keyring
from infra.patience import patiently
from infra.process import Process
from infra.process import run as run_process
from infra.settings import KafkaSettings, PostgresSettings, ProcessSettings, SealingSettings
from schemas import events
from schemas.topics import CONVERSATION_EVENTS
from streams.intake import Delivery, Intake, IntakeSettings
from streams.projections.storing import SINK, Item, Read, open_texts, write

GATHER_S = 0.04
"""Seconds that records gather at the broker: nobody waits for history as for a word."""

BEHIND_BATCH = 2_000
"""Records in a transaction while the sink catches up by itself: nobody waits for the first of them."""

BEHIND_AT_ONCE = 3
"""Partitions that catch up at once: while PostgreSQL writes for one, this process prepares the next."""

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger(__name__)

_stored = Counter("chorus_history_records_total", "Records stored in PostgreSQL")


class SinkAhead(RuntimeError):
    """The sink has stored more of a partition than there is: the topic's log was cut back."""


class HistorySink:
    """Stores records in batches: a batch, and how far it reaches in its partitions, are one transaction.

    What is stored counts, whatever the group's offsets say: what is below `sink_offsets` is skipped, and what the
    group has passed and the tables do not have (a restored backup, a new database) is read again.
    """

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", keyring: Keyring, kafka: KafkaSettings, topic_id: str
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._kafka = kafka
        self._topic_id = topic_id

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Find out how far each partition is stored, and catch up with where the group stands.

        Raises:
            SinkAhead: see there.
        """
        stored = await patiently("PostgreSQL", postgres.AWAY, lambda: self._open(list(partitions)))
        ends = await patiently(
            "Kafka", (KafkaError, OSError), lambda: end_offsets(self._kafka, CONVERSATION_EVENTS.topic, set(partitions))
        )
        for partition, offset in stored.items():
            if offset > ends[partition]:
                raise SinkAhead(
                    f"history has stored {CONVERSATION_EVENTS.topic} partition {partition} up to offset {offset}, but "
                    f"the partition ends at {ends[partition]}: its log was cut back. Restore the log, or rebuild "
                    "history from the log as it is."
                )
        limit = asyncio.Semaphore(BEHIND_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for partition, offset in partitions.items():
                if stored[partition] < offset:
                    group.create_task(self._catch_up(limit, partition, stored[partition], offset))

    async def revoked(self, partitions: Set[int]) -> None:
        """Nothing is kept between batches."""

    async def handle_batch(self, deliveries: Sequence[Delivery[events.ConversationAdvanced]]) -> None:
        """Store a batch, however long PostgreSQL is away."""
        await self._handle([(d.event, d.partition, d.offset) for d in deliveries])

    async def _handle(self, records: Sequence[Read]) -> None:
        async def work() -> None:
            await self._store(await open_texts(self._keyring, records))

        await patiently("PostgreSQL", postgres.AWAY, work)
        _stored.inc(len(records))

    async def _open(self, partitions: list[int]) -> dict[int, int]:
        # A row that is there can be locked: two processes that both believe to own a partition then take turns.
        await self._pool.execute(
            """
            INSERT INTO sink_offsets (sink, topic_id, partition, next_offset)
            SELECT $1, $2, unnest($3::integer[]), 0 ON CONFLICT DO NOTHING
            """,
            SINK,
            self._topic_id,
            partitions,
        )
        # What the version before stored; one more line of the migration, for what came after it had run.
        await self._pool.execute(
            """
            UPDATE messages SET project_id = c.project_id FROM conversations AS c
            WHERE messages.project_id IS NULL AND c.id = conversation_id
            """
        )
        found = await self._pool.fetch(
            "SELECT partition, next_offset FROM sink_offsets WHERE sink = $1 AND topic_id = $2 AND partition = ANY($3)",
            SINK,
            self._topic_id,
            partitions,
        )
        return {row["partition"]: row["next_offset"] for row in found}

    async def _catch_up(self, limit: asyncio.Semaphore, partition: int, start: int, end: int) -> None:
        async def work() -> None:
            batch: list[Read] = []
            async for record in read_partition(self._kafka, CONVERSATION_EVENTS.topic, partition, start, end):
                try:
                    event = events.decode_advanced(record.value or b"")
                except msgspec.DecodeError as error:  # the intake has put it aside when it came
                    log.warning(
                        "unreadable record skipped", partition=partition, offset=record.offset, error=str(error)
                    )
                    continue
                batch.append((event, partition, record.offset))
                if len(batch) == BEHIND_BATCH:
                    await self._handle(batch)
                    batch = []
            if batch:
                await self._handle(batch)

        async with limit:
            log.info("catching up", partition=partition, start=start, end=end)
            await patiently("Kafka", (KafkaError, OSError), work)

    async def _store(self, items: list[Item]) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            partitions = sorted({item.partition for item in items})
            found = await connection.fetch(
                """
                SELECT partition, next_offset FROM sink_offsets
                WHERE sink = $1 AND topic_id = $2 AND partition = ANY($3) ORDER BY partition FOR UPDATE
                """,
                SINK,
                self._topic_id,
                partitions,
            )
            stored = {row["partition"]: row["next_offset"] for row in found}
            items = [item for item in items if item.offset >= stored[item.partition]]
            if items:
                await write(connection, self._topic_id, items)
                reached = {item.partition: item.offset + 1 for item in items}
                await connection.execute(
                    """
                    UPDATE sink_offsets SET next_offset = reached.next_offset, updated_at = now()
                    FROM unnest($3::integer[], $4::bigint[]) AS reached (partition, next_offset)
                    WHERE sink = $1 AND topic_id = $2 AND sink_offsets.partition = reached.partition
                    """,
                    SINK,
                    self._topic_id,
                    list(reached),
                    list(reached.values()),
                )


def main(env: Mapping[str, str]) -> None:
    """Run the history sink with settings from the environment."""
    settings = ProcessSettings.from_env(env, "history")
    kafka = KafkaSettings.from_env(env)
    postgres_settings = PostgresSettings.from_env(env)
    sealing = SealingSettings.from_env(env)

    async def work(process: Process) -> None:
        ids = await patiently("Kafka", (KafkaException,), lambda: topic_ids(kafka, [CONVERSATION_EVENTS.topic]))
        async with await postgres.connect(postgres_settings) as pool:
            sink = HistorySink(pool, Keyring(pool, sealing), kafka, ids[CONVERSATION_EVENTS.topic])
            intake = Intake(
                IntakeSettings(
                    topic=CONVERSATION_EVENTS.topic, group="history", instance=settings.instance, gather_s=GATHER_S
                ),
                kafka,
                CONVERSATION_EVENTS,
                sink,
            )
            process.not_ready = intake.not_ready
            await intake.run(process.stopping)

    run_process("history", settings, work)

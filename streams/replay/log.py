"""The log as a replay reads it: from a position on, in batches; what Kafka no longer has, from the archive."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from infra import archives
from infra.kafka import end_offsets, first_offsets, offsets_at, topic_ids
from infra.objects import Objects, ObjectsSettings
from infra.segments import Record, chain
from infra.settings import KafkaSettings
from schemas.topics import CONVERSATION_EVENTS, CONVERSATION_PARTITIONS
from streams.replay.refusals import CannotReplay

TOPIC = CONVERSATION_EVENTS.topic
PARTITIONS = frozenset(range(CONVERSATION_PARTITIONS))

BATCH = 4_000
"""Records at once: large enough for PostgreSQL's commits not to count, small enough for a bar that moves."""

_FETCH_BYTES = 4 * 2**20


class Log:
    """conversation-events. Everything raises `aiokafka.errors.KafkaError` while Kafka is away.

    Args:
        archive: where the archive is.
    """

    def __init__(self, kafka: KafkaSettings, archive: ObjectsSettings) -> None:
        self._kafka = kafka
        self._archive = archive
        self._firsts: dict[int, int] = {}

    async def topic_id(self) -> str:
        """Kafka's id of the topic; raises `confluent_kafka.KafkaException`."""
        return (await topic_ids(self._kafka, [TOPIC]))[TOPIC]

    async def ends(self) -> dict[int, int]:
        return await end_offsets(self._kafka, TOPIC, set(PARTITIONS))

    async def at(self, time: datetime) -> dict[int, int]:
        """For each partition the first offset whose record is not older than the time."""
        return await offsets_at(self._kafka, TOPIC, dict.fromkeys(PARTITIONS, time))

    async def reaches_back_to(self, starts: Mapping[int, int]) -> None:
        """See that all records from these offsets on can be read; before any is.

        Raises:
            CannotReplay: some are gone.
            infra.objects.ObjectsError: the archive is needed and cannot be read.
        """
        self._firsts = await first_offsets(self._kafka, TOPIC, set(PARTITIONS))
        archived = {p: start for p, start in sorted(starts.items()) if start < self._firsts[p]}
        if not archived:
            return
        found = await archives.segments(Objects(self._archive), await self.topic_id())
        for partition, start in archived.items():
            kept = chain(found.get(partition, ()), start)
            if not kept or kept[-1].next < self._firsts[partition]:
                raise CannotReplay(
                    f"{TOPIC} partition {partition} begins at offset {self._firsts[partition]} in Kafka, and the "
                    f"archive in {self._archive.place} has not all that is before, from offset {start} on. If it is "
                    "elsewhere, set CHORUS_OBJECTS."
                )

    async def read(self, partition: int, start: int, end: int) -> AsyncGenerator[Sequence[Record], None]:
        """The records of one partition from offset `start` up to, not including, `end`, a batch at a time."""
        first = min(self._firsts.get(partition, 0), end)
        if start < first:
            async for batch in self._archived(partition, start, first):
                yield batch
            start = first
        if start >= end:
            return
        where = TopicPartition(TOPIC, partition)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        await consumer.start()
        try:
            consumer.assign([where])
            consumer.seek(where, start)
            while await consumer.position(where) < end:
                for records in (await consumer.getmany(where, timeout_ms=500, max_records=BATCH)).values():
                    yield records if records[-1].offset < end else [r for r in records if r.offset < end]
        finally:
            await consumer.stop()

    async def _archived(self, partition: int, start: int, end: int) -> AsyncGenerator[Sequence[Record], None]:
        batch: list[Record] = []
        async with aclosing(archives.read_log(self._kafka, Objects(self._archive), partition, start, end)) as records:
            async for record in records:
                batch.append(record)
                if len(batch) == BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch

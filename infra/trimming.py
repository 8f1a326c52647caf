"""What of conversation-events may leave Kafka, because the archive has it and nobody needs it there any more."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from confluent_kafka import TopicPartition

from infra import archives, groups
from infra.archives import TOPIC
from infra.backups import Manifest
from infra.kafka import admin, first_offsets, offsets_at
from infra.objects import Objects
from infra.settings import KafkaSettings
from schemas.topics import CONVERSATION_PARTITIONS

if TYPE_CHECKING:
    import asyncpg

HISTORY = "history"
"""The sink whose offsets say what is stored: conversations reads what lies above them, from Kafka."""

_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Trim:
    """What may go of one partition: the records from `first` up to, not including, `until`; `limit` is why no more."""

    partition: int
    first: int
    until: int
    limit: str


def decide(partition: int, first: int, limits: Mapping[str, int]) -> Trim:
    """Trim to the smallest of the limits (offsets by what they are for), never backwards."""
    limit = min(limits, key=lambda name: limits[name])
    return Trim(partition, first, max(first, limits[limit]), limit)


async def plan(
    kafka: KafkaSettings,
    objects: Objects,
    database: "asyncpg.Connection[asyncpg.Record]",
    backups: list[Manifest],
    before: datetime,
) -> list[Trim]:
    """What may go of each partition of what is older than `before`.

    A restore of the oldest backup reads the log from where that backup's tables stand, so nothing above goes; where
    there is no backup of this log, nothing goes at all. Neither does what a group has not read.

    Raises:
        one of `infra.postgres.AWAY`; aiokafka.errors.KafkaError, confluent_kafka.KafkaException; ObjectsError
    """
    partitions = set(range(CONVERSATION_PARTITIONS))
    topic_id = await archives.topic_id(kafka)
    archived = archives.reach(await archives.segments(objects, topic_id))
    firsts = await first_offsets(kafka, TOPIC, partitions)
    aged = await offsets_at(kafka, TOPIC, dict.fromkeys(partitions, before))
    read = {group: await groups.offsets(kafka, group, TOPIC, sorted(partitions)) for group in groups.readers(TOPIC)}
    stored = {
        row["partition"]: row["next_offset"]
        for row in await database.fetch(
            "SELECT partition, next_offset FROM sink_offsets WHERE sink = $1 AND topic_id = $2", HISTORY, topic_id
        )
    }
    oldest = [m.sinks.get(HISTORY, {}) for m in backups if m.topics[TOPIC].id == topic_id]
    trims = []
    for partition in sorted(partitions):
        limits = {
            "newer than asked for": aged[partition],
            "not archived": archived[partition],
            "not stored by history": stored.get(partition, 0),
            "newer than the oldest backup": min((sinks.get(partition, 0) for sinks in oldest), default=0),
        } | {f"not read by {group}": offsets[partition] for group, offsets in read.items() if partition in offsets}
        trims.append(decide(partition, firsts[partition], limits))
    return trims


async def trim(kafka: KafkaSettings, trims: list[Trim]) -> None:
    """Remove it from Kafka.

    Raises:
        confluent_kafka.KafkaException: some may be gone, some not; the same can be asked for again.
    """

    def delete() -> None:
        client = admin(kafka)
        todo = [TopicPartition(TOPIC, t.partition, t.until) for t in trims if t.until > t.first]
        for done in (client.delete_records(todo) if todo else {}).values():
            done.result(_WAIT_S)

    await asyncio.to_thread(delete)

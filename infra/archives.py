"""The archive of conversation-events: segments in the object store, copied from Kafka and read back.

`log/<Kafka's topic id>/<partition>/<first offset>-<next offset>.jsonl.gz`: a topic that was made anew gets an archive
of its own. What a segment is, and why a listing is enough to know the archive, stands in `infra.segments`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from infra.kafka import end_offsets, first_offsets, read_partition, topic_ids
from infra.objects import Missing, Objects
from infra.segments import Damaged, Hole, LogRecord, Record, Segment, Writer, chain, read
from infra.settings import KafkaSettings
from schemas.topics import CONVERSATION_EVENTS, CONVERSATION_PARTITIONS

TOPIC = CONVERSATION_EVENTS.topic
FOLDER = "log"

# librdkafka writes ids with base64's `+` and `/`; Kafka itself with `-` and `_`, which can stand in a path.
_TO_NAME, _FROM_NAME = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")

SMALL_BYTES = 4 * 2**20
"""A last segment below this size is written again with what is new, so that an archive made every minute does not
become a heap of crumbs: what is written twice stays bounded, and every other segment is larger."""

Told = Callable[[int], None]
"""Hears of records that are done, for a progress bar."""


class LogGone(RuntimeError):
    """Kafka no longer has records that the archive lacks."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a run has added to one partition's archive."""

    partition: int
    start: int
    end: int
    segments: int = 0
    bytes: int = 0

    @property
    def records(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Verified:
    """One partition's archive, read back. `problem` is None where every offset below `end` is there and whole."""

    topic_id: str
    partition: int
    segments: int
    bytes: int
    end: int
    problem: str | None


async def topic_id(kafka: KafkaSettings) -> str:
    """Kafka's id of conversation-events; raises `confluent_kafka.KafkaException`."""
    return (await topic_ids(kafka, [TOPIC]))[TOPIC]


async def segments(objects: Objects, topic_id: str) -> dict[int, list[Segment]]:
    """All segments of a topic's archive, by partition."""
    found: dict[int, list[Segment]] = defaultdict(list)
    for stored in await objects.list(_folder(topic_id)):
        if segment := Segment.named(stored.path, stored.size):
            found[segment.partition].append(segment)
    return dict(found)


def reach(archived: Mapping[int, Iterable[Segment]]) -> dict[int, int]:
    """For every partition the offset up to which the archive holds it without a hole."""
    return {p: _end(chain(archived.get(p, ()))) for p in range(CONVERSATION_PARTITIONS)}


async def to_copy(kafka: KafkaSettings, archived: Mapping[int, Iterable[Segment]]) -> list[Copied]:
    """What a run would add now.

    Raises:
        LogGone: see there.
        aiokafka.errors.KafkaError: the broker is away.
    """
    partitions = set(range(CONVERSATION_PARTITIONS))
    ends = await end_offsets(kafka, TOPIC, partitions)
    firsts = await first_offsets(kafka, TOPIC, partitions)
    found = []
    for partition, start in reach(archived).items():
        if start < firsts[partition]:
            raise LogGone(
                f"{TOPIC} partition {partition} begins at offset {firsts[partition]} in Kafka, and the archive ends at "
                f"{start}: what is between is in neither. Archive to where the records below it were archived."
            )
        found.append(Copied(partition, start, max(start, ends[partition])))
    return found


async def copy_partition(
    objects: Objects, kafka: KafkaSettings, topic_id: str, archived: Sequence[Segment], todo: Copied, told: Told
) -> Copied:
    """Archive what is new of one partition. Killed at any moment, it leaves an archive that is right.

    Raises:
        Hole: Kafka has not given every offset.
        Damaged: the last segment, which is written again, is not what was written.
        infra.objects.ObjectsError: the object store refuses.
        aiokafka.errors.KafkaError: the broker is away.
    """
    if not todo.records:
        return todo
    kept = chain(archived)
    last = kept[-1] if kept and kept[-1].size < SMALL_BYTES else None
    folder = f"{_folder(topic_id)}/{todo.partition}"
    written: list[Segment] = []

    async def put(writer: Writer) -> None:
        segment, content = await asyncio.to_thread(writer.finish)
        await objects.put(segment.path, content)
        written.append(segment)

    writer = Writer(folder)
    if last is not None:
        for old in read(last, await objects.get(last.path)):
            writer.add(old)
    async with aclosing(read_partition(kafka, TOPIC, todo.partition, todo.start, todo.end)) as records:
        async for record in records:
            if writer.is_full:
                await put(writer)
                writer = Writer(folder)
            if not writer.records and record.offset != (written[-1].next if written else todo.start):
                raise Hole(f"{TOPIC} partition {todo.partition} lacks the records before offset {record.offset}")
            writer.add(record)
            told(1)
    await put(writer)
    # What another segment holds too: the one that was written again, and what an earlier run that was killed has left.
    needed = {segment.path for segment in chain([*archived, *written])}
    await objects.delete([segment.path for segment in archived if segment.path not in needed])
    return Copied(todo.partition, todo.start, written[-1].next, len(written), sum(s.size for s in written))


async def read_archived(
    objects: Objects, archived: Iterable[Segment], start: int, end: int
) -> AsyncGenerator[LogRecord, None]:
    """The records of one partition from offset `start` up to, not including, `end`, from the archive alone.

    Raises:
        Hole: the archive does not hold them all.
        Damaged: a segment is not what was written.
        infra.objects.ObjectsError: it cannot be read; `Missing` where it was replaced by a longer one meanwhile.
    """
    for segment in chain(archived, start):
        if segment.first >= end:
            break
        for record in read(segment, await objects.get(segment.path)):
            if start <= record.offset < end:
                yield record
        start = max(start, segment.next)
    if start < end:
        raise Hole(f"the archive in {objects.place} lacks the records from offset {start} on")


async def read_log(
    kafka: KafkaSettings, objects: Objects, partition: int, start: int, end: int
) -> AsyncGenerator[LogRecord, None]:
    """The records of one partition of conversation-events from offset `start` up to, not including, `end`: from Kafka
    what Kafka has, and what was trimmed there from the archive. None is left out.

    Raises:
        Hole: some are in neither.
        Damaged: a segment is not what was written.
        infra.objects.ObjectsError: the archive is needed and cannot be read.
        aiokafka.errors.KafkaError, confluent_kafka.KafkaException: the broker is away.
    """
    if start >= end:
        return
    first = (await first_offsets(kafka, TOPIC, {partition}))[partition]
    if start < first:
        topic = await topic_id(kafka)
        while start < min(first, end):
            archived = (await segments(objects, topic)).get(partition, [])
            try:
                async with aclosing(read_archived(objects, archived, start, min(first, end))) as records:
                    async for old in records:
                        yield old
                        start = old.offset + 1
            except Missing:
                continue  # an archiver has put a longer one in its place
    async with aclosing(read_partition(kafka, TOPIC, partition, start, end)) as newer:
        async for record in newer:
            if record.offset != start:
                raise Hole(f"{TOPIC} partition {partition} lacks offset {start}: it was trimmed while it was read")
            yield _as_read(partition, record)
            start += 1


async def topics_in(objects: Objects) -> list[str]:
    """The ids of the topics that have an archive here."""
    found = {stored.path.split("/")[1].translate(_FROM_NAME) for stored in await objects.list(FOLDER)}
    return sorted(found)


async def verify(objects: Objects, topic_id: str, partition: int, archived: Sequence[Segment], told: Told) -> Verified:
    """Read one partition's archive back.

    Raises:
        infra.objects.ObjectsError: the store does not answer; a segment that is not there is a problem found.
    """
    kept = chain(archived)
    problem = None
    start = 0
    for segment in kept:
        try:
            for record in read(segment, await objects.get(segment.path)):
                start = max(start, record.offset + 1)
            told(segment.next - segment.first)
        except (Damaged, Missing) as error:
            problem = str(error)
            break
    if problem is None and (beyond := [s for s in archived if s.next > start]):
        problem = f"offsets {start} to {min(s.first for s in beyond) - 1} are missing"
    return Verified(topic_id, partition, len(kept), sum(s.size for s in kept), start, problem)


def _folder(topic_id: str) -> str:
    return f"{FOLDER}/{topic_id.translate(_TO_NAME)}"


def _end(kept: Sequence[Segment]) -> int:
    return kept[-1].next if kept else 0


def _as_read(partition: int, record: Record) -> LogRecord:
    return LogRecord(
        partition=partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )

"""Consumer groups and sinks: how far each has got, and how far behind that is."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions

from infra.kafka import admin
from infra.operator import reached
from infra.operator.reached import Connection
from infra.settings import KafkaSettings

_ANSWER_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How far somebody has got in one partition.

    Attributes:
        offset: of the next record; None where nothing is known, which counts as the beginning.
        behind_s: age of the first record that was not read, in seconds.
        member: who reads it.
    """

    partition: int
    offset: int | None
    end: int
    lag: int
    behind_s: float = 0.0
    member: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A consumer group, or a sink (whose offsets stand in PostgreSQL), on one topic."""

    name: str
    topic: str
    state: str
    members: tuple[str, ...] = ()
    in_flight: int | None = None
    places: tuple[Place, ...] = ()

    @property
    def lag(self) -> int:
        return sum(place.lag for place in self.places)

    @property
    def behind_s(self) -> float:
        return max((place.behind_s for place in self.places), default=0.0)


@dataclass(slots=True)
class _Group:
    state: str
    members: dict[TopicPartition, str] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)


def _ask(settings: KafkaSettings, only: str | None) -> dict[str, _Group]:
    client = admin(settings)
    listed = client.list_consumer_groups(request_timeout=_ANSWER_S).result(_ANSWER_S)
    names = [g.group_id for g in listed.valid or () if only in (None, g.group_id)]
    described = client.describe_consumer_groups(names, request_timeout=_ANSWER_S) if names else {}
    found: dict[str, _Group] = {}
    for name in sorted(names):
        description: Any = described[name].result(_ANSWER_S)
        group = found[name] = _Group(description.state.name.lower())
        for member in description.members:
            for where in member.assignment.topic_partitions:
                group.members[TopicPartition(where.topic, where.partition)] = (
                    member.group_instance_id or member.client_id
                )
        wanted = [ConsumerGroupTopicPartitions(name)]
        answers = client.list_consumer_group_offsets(wanted, request_timeout=_ANSWER_S)
        for where in cast("Any", answers[name].result(_ANSWER_S)).topic_partitions:
            if where.offset >= 0:
                group.offsets[TopicPartition(where.topic, where.partition)] = where.offset
    return found


async def readers(settings: KafkaSettings, reader: AIOKafkaConsumer, only: str | None) -> list[Reader]:
    """Every group that ever read something, or the one; whether or not any of its members lives."""
    found = await asyncio.to_thread(_ask, settings, only)
    there = await reached.partitions(settings)
    made = []
    for name, group in found.items():
        by_topic: defaultdict[str, set[int]] = defaultdict(set)
        for where in group.members.keys() | group.offsets.keys():
            if where.topic in there:
                by_topic[where.topic].add(where.partition)
        for topic, partitions in sorted(by_topic.items()):
            offsets = {p: group.offsets.get(TopicPartition(topic, p)) for p in sorted(partitions)}
            members = {p: group.members.get(TopicPartition(topic, p)) for p in offsets}
            places = await _places(reader, topic, offsets, members)
            everyone = tuple(sorted({member for member in members.values() if member is not None}))
            made.append(Reader(name=name, topic=topic, state=group.state, members=everyone, places=places))
    return made


async def sinks(db: Connection, reader: AIOKafkaConsumer, topic_ids: Mapping[str, str]) -> list[Reader]:
    """How far each sink has stored the topics that there are now. `topic_ids` is Kafka's id of each topic."""
    names = {topic_id: topic for topic, topic_id in topic_ids.items()}
    rows = await db.fetch(
        "SELECT sink, topic_id, partition, next_offset FROM sink_offsets WHERE topic_id = ANY($1) ORDER BY 1, 2, 3",
        list(names),
    )
    offsets: defaultdict[tuple[str, str], dict[int, int | None]] = defaultdict(dict)
    for row in rows:
        offsets[row["sink"], names[row["topic_id"]]][row["partition"]] = row["next_offset"]
    return [
        Reader(
            name=f"{sink} in PostgreSQL", topic=topic, state="stored", places=await _places(reader, topic, found, {})
        )
        for (sink, topic), found in offsets.items()
    ]


async def _places(
    reader: AIOKafkaConsumer, topic: str, offsets: Mapping[int, int | None], members: Mapping[int, str | None]
) -> tuple[Place, ...]:
    whole = await reached.whole(reader, [TopicPartition(topic, p) for p in offsets])
    places = []
    for where, (first, end) in whole.items():
        offset = offsets[where.partition]
        # What was removed before it was read is no lag: nobody can read it any more.
        lag = max(0, end - max(first, offset or 0))
        place = Place(partition=where.partition, offset=offset, end=end, lag=lag, member=members.get(where.partition))
        places.append(place)
    return tuple(places)


async def aged(reader: AIOKafkaConsumer, some: Iterable[Reader], now_s: float) -> list[Reader]:
    """The readers with the age of the first record that each has not read: these records are read, and no others."""
    some = list(some)
    wanted = {(r.topic, p.partition, p.end - p.lag) for r in some for p in r.places if p.lag}
    times: dict[tuple[str, int, int], int] = {}
    while wanted:
        # Two readers may stand at two offsets of one partition: one after the other.
        turn = {TopicPartition(topic, p): offset for topic, p, offset in wanted}
        spans = {where: (offset, offset + 1) for where, offset in turn.items()}
        async for record in reached.records(reader, spans):
            times[record.topic, record.partition, record.offset] = record.timestamp
        wanted -= {(where.topic, where.partition, offset) for where, offset in turn.items()}
    return [replace(r, places=tuple(_aged(r.topic, place, times, now_s) for place in r.places)) for r in some]


def _aged(topic: str, place: Place, times: Mapping[tuple[str, int, int], int], now_s: float) -> Place:
    at_ms = times.get((topic, place.partition, place.end - place.lag)) if place.lag else None
    return place if at_ms is None else replace(place, behind_s=max(0.0, now_s - at_ms / 1000))


def exceeded(some: Collection[Reader], max_lag: int | None, max_seconds: float | None) -> list[str]:
    """Who is further behind than allowed, in words."""
    found = []
    for reader in some:
        if max_lag is not None and reader.lag > max_lag:
            found.append(f"{reader.name} is {reader.lag:,} records behind on {reader.topic}")
        if max_seconds is not None and reader.behind_s > max_seconds:
            found.append(f"{reader.name} is {reader.behind_s:,.0f} s behind on {reader.topic}")
    return found

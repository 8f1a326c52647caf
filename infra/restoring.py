"""A backup put back: into an empty database, with the log that Kafka has kept or with the one of the archive.

Kafka kept: the topic has the id that the backup names. The tables are loaded, and history goes on from where they
stand.

Kafka empty: the archive's records are published into the new topic, each to its partition and, as the topic is empty,
to its own offset. This is the one exception to "one writer": nobody else is running, and it is allowed only into a
topic that is empty, or that holds the beginning of this very archive because a restore was killed. What stood at an
offset of the old topic then stands at the same offset of the new one, so where each sink stands needs only the new id.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer

from infra import archives, backups, dumps, groups
from infra.archives import TOPIC
from infra.backups import Manifest
from infra.kafka import create_topics, end_offsets, first_offsets, read_partition, topic_ids
from infra.objects import Objects
from infra.segments import Hole, LogRecord, Segment
from infra.settings import KafkaSettings
from schemas.topics import CONVERSATION_PARTITIONS, MAX_RECORD_BYTES

if TYPE_CHECKING:
    import asyncpg

Told = Callable[[int], None]

PARTITIONS = range(CONVERSATION_PARTITIONS)
_GONE_S = 10.0
"""A static member stays in its group for 6 s after its process has ended: so long, and a little more, is waited."""
_QUEUED = 10_000
"""Records under way to the broker at most: some 10 MB."""

_ACTIVE = ("conversations", "replies", "history", "live", "billing")
"""Groups that must have no member: what they hold in memory is of the database before."""


class CannotRestore(RuntimeError):
    """It cannot be restored as things are; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restore will do.

    Attributes:
        topic_id: Kafka's id of conversation-events now.
        newer: records that history will read from the log, because the backup does not have them.
        publish: by partition, the offsets from which and up to which the archive is published; empty where Kafka has
            kept the log.
    """

    topic_id: str
    newer: int
    publish: dict[int, tuple[int, int]]


async def check(
    kafka: KafkaSettings,
    objects: Objects,
    database: "asyncpg.Connection[asyncpg.Record]",
    manifest: Manifest,
    master_key: bytes | None,
) -> Plan:
    """See that it can be done, and how. Changes nothing, but that topics which are missing are made.

    Raises:
        CannotRestore: see there.
        Damaged, Hole, ObjectsError: the archive is not what it should be.
        one of `infra.postgres.AWAY`; aiokafka.errors.KafkaError, confluent_kafka.KafkaException
    """
    if master_key and manifest.master_key and backups.fingerprint(master_key) != manifest.master_key:
        raise CannotRestore(
            "CHORUS_MASTER_KEY is another than the one of this backup: no text in it could be read. Put the master key "
            "back that belongs to it (one machine: the file secrets/master-key in the data folder)."
        )
    await _must_be_alone(kafka, database)
    if filled := await dumps.filled(database):
        raise CannotRestore(
            f"The database is not empty (rows in {', '.join(filled)}), and a backup goes only into one that is. "
            "Put that database away (docs/operations.md says how), make an empty one, and restore again."
        )
    topic_id = await made_topics(kafka)
    ends = await end_offsets(kafka, TOPIC, set(PARTITIONS))
    stored = {p: max((sink.get(p, 0) for sink in manifest.sinks.values()), default=0) for p in PARTITIONS}
    first_stored = manifest.sinks.get("history", {})
    if topic_id == manifest.topics[TOPIC].id:
        if cut := [p for p in PARTITIONS if ends[p] < stored[p]]:
            raise CannotRestore(
                f"The log in Kafka ends before what the backup holds (partitions {', '.join(map(str, cut))}): it was "
                f"cut back. Remove the topic {TOPIC}, so that it is made anew from the archive, and restore again."
            )
        firsts = await first_offsets(kafka, TOPIC, set(PARTITIONS))
        if trimmed := [p for p in PARTITIONS if first_stored.get(p, 0) < firsts[p]]:
            raise CannotRestore(
                f"Kafka no longer has what history would read first (partitions {', '.join(map(str, trimmed))}): it "
                "was trimmed further than this backup reaches. Restore a newer one."
            )
        return Plan(topic_id, sum(ends[p] - first_stored.get(p, 0) for p in PARTITIONS), {})
    archived = await archives.segments(objects, manifest.topics[TOPIC].id)
    reach = archives.reach(archived)
    if short := [p for p in PARTITIONS if reach[p] < manifest.archived[p]]:
        raise CannotRestore(
            f"The archive lacks a part of the log that the backup needs (partitions {', '.join(map(str, short))}): "
            "`chorus archive --verify` says which."
        )
    for partition in PARTITIONS:
        await _must_be_its_beginning(kafka, objects, archived.get(partition, []), partition, ends[partition])
    publish = {p: (ends[p], reach[p]) for p in PARTITIONS}
    return Plan(topic_id, sum(reach[p] - first_stored.get(p, 0) for p in PARTITIONS), publish)


async def made_topics(kafka: KafkaSettings) -> str:
    """Make the topics that are missing; Kafka's id of conversation-events.

    Raises:
        confluent_kafka.KafkaException: the broker is away, or refuses.
    """
    await asyncio.to_thread(create_topics, kafka)
    deadline = monotonic() + _GONE_S
    while True:
        try:
            return (await topic_ids(kafka, [TOPIC]))[TOPIC]
        except KafkaException as error:  # it was made, and a broker may hear of it a moment later
            if error.args[0].name() != "UNKNOWN_TOPIC_OR_PART" or monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def _must_be_alone(kafka: KafkaSettings, database: "asyncpg.Connection[asyncpg.Record]") -> None:
    connected = await database.fetchval(
        """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        """
    )
    deadline = monotonic() + _GONE_S
    while running := [name for name, count in (await groups.members(kafka, _ACTIVE)).items() if count]:
        if connected or monotonic() > deadline:
            break
        await asyncio.sleep(0.5)
    if running or connected:
        raise CannotRestore(
            f"Chorus is running (groups with members: {', '.join(running) or 'none'}; other connections to the "
            f"database: {connected}). Stop every process of it, and start Kafka, PostgreSQL and Redis alone: on one "
            "machine `chorus down`, then `chorus up --infrastructure`."
        )


async def _must_be_its_beginning(
    kafka: KafkaSettings, objects: Objects, archived: list[Segment], partition: int, end: int
) -> None:
    """A topic that is not empty must be what an earlier restore of this archive has begun."""
    if end == 0:
        return
    there = [(r.key, r.value) async for r in read_partition(kafka, TOPIC, partition, end - 1, end)]
    try:
        kept = [(r.key, r.value) async for r in archives.read_archived(objects, archived, end - 1, end)]
    except Hole:
        kept = []
    if there != kept:
        raise CannotRestore(
            f"Kafka's {TOPIC} holds another log than the one of this backup, and it is not empty. Where that log is "
            "not needed, remove the topic; else restore a backup of it."
        )


async def publish(kafka: KafkaSettings, objects: Objects, manifest: Manifest, plan: Plan, told: Told) -> None:
    """Write the archive's records into the new topic. Killed, it goes on where it was when it is done again.

    Raises:
        CannotRestore: somebody else writes to the topic.
        Damaged, Hole, ObjectsError: the archive is not what it should be.
        confluent_kafka.KafkaException: the broker refuses.
    """
    archived = await archives.segments(objects, manifest.topics[TOPIC].id)
    writer = _Writer(kafka, told)
    for partition, (start, end) in plan.publish.items():
        async for record in archives.read_archived(objects, archived.get(partition, []), start, end):
            await writer.write(record)
    await writer.finish()


async def skip_published(kafka: KafkaSettings, plan: Plan) -> None:
    """Let every group begin after what was published: it was told, and acted on, long ago. History catches up from
    where its tables stand, whatever its group says.

    Raises:
        aiokafka.errors.KafkaError: the broker is away.
    """
    for group in groups.readers(TOPIC):
        await groups.move(kafka, group, TOPIC, {p: end for p, (_, end) in plan.publish.items()})


class _Writer:
    """Publishes records to the partition and offset that they had."""

    def __init__(self, kafka: KafkaSettings, told: Told) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 20,
                "message.max.bytes": MAX_RECORD_BYTES,
                "queue.buffering.max.messages": _QUEUED,
                "log_level": 0,
            }
        )
        self._told = told
        self._failure: Exception | None = None

    async def write(self, record: LogRecord) -> None:
        def delivered(error: object, message: object) -> None:
            self._delivered(record.offset, error, message)

        while len(self._producer) >= _QUEUED:
            await asyncio.to_thread(self._producer.poll, 0.1)
        self._producer.produce(
            TOPIC,
            value=record.value,
            key=record.key,
            partition=record.partition,
            timestamp=record.timestamp,
            headers=list(record.headers),
            on_delivery=delivered,
        )
        self._producer.poll(0)
        if self._failure is not None:
            raise self._failure

    async def finish(self) -> None:
        while len(self._producer):
            await asyncio.to_thread(self._producer.poll, 0.1)
        if self._failure is not None:
            raise self._failure

    def _delivered(self, offset: int, error: object, message: object) -> None:
        if self._failure is not None:
            return
        if error is not None:
            self._failure = KafkaException(error)
        elif (stands := message.offset()) != offset:  # type: ignore[attr-defined]
            self._failure = CannotRestore(
                f"A record that was to be at offset {offset} of {TOPIC} is at {stands}: somebody else writes to it. "
                "Stop that, remove the topic, and restore again."
            )
        self._told(1)


async def load(
    objects: Objects,
    database: "asyncpg.Connection[asyncpg.Record]",
    manifest: Manifest,
    plan: Plan,
    told: Told,
) -> list[str]:
    """Fill the tables, in one transaction: all of it is there afterwards, or nothing. They are of the backup's version.

    Returns:
        the tables that were left out, because no migration makes them.

    Raises:
        DamagedDump, ObjectsError: the backup is not what it should be.
        one of `infra.postgres.AWAY`
    """
    there = await dumps.tables(database)
    gone = await backups.destroyed(objects)
    async with database.transaction():
        for table in manifest.tables:
            if table.name in there:
                await dumps.load(database, objects, table, told)
        await dumps.advance_sequences(database)
        if (old := manifest.topics[TOPIC].id) != plan.topic_id:
            for name in ("sink_offsets", "unfit_facts"):
                await database.execute(f"UPDATE {name} SET topic_id = $2 WHERE topic_id = $1", old, plan.topic_id)  # noqa: S608  # one of two names
        for statement in _forget(there):
            await database.execute(statement, gone)
    await database.execute("ANALYZE")
    return [table.name for table in manifest.tables if table.name not in there]


def _forget(there: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Who was deleted after the backup stays deleted: the key, the opened texts, the account, what nobody else was in.

    Args:
        there: the tables with their columns. A backup of an older version knows only who began a conversation, not who
            gave it its title, and has no audit log.
    """
    yield """
    UPDATE data_keys SET wrapped = NULL, destroyed_at = coalesce(destroyed_at, now()) WHERE user_id = ANY($1::uuid[])
    """
    yield "UPDATE messages SET content = '', content_deleted = true WHERE owner_id = ANY($1::uuid[])"
    if "title_by" in there["conversations"]:
        yield "UPDATE conversations SET title = NULL, title_by = NULL WHERE title_by = ANY($1::uuid[])"
    else:
        yield "UPDATE conversations SET title = NULL WHERE created_by = ANY($1::uuid[])"
    if "audit_log" in there:
        yield """
        UPDATE audit_log SET address = NULL
        WHERE address IS NOT NULL AND (actor_id = ANY($1::uuid[]) OR (user_id = ANY($1::uuid[]) AND actor_id IS NULL))
        """
    yield """
    DELETE FROM projects WHERE id IN (
        SELECT project_id FROM project_members GROUP BY project_id HAVING bool_and(user_id = ANY($1::uuid[]))
    )
    """
    yield "DELETE FROM users WHERE id = ANY($1::uuid[])"

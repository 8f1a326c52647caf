"""Kafka: the idempotent producer, reading a stretch of a partition, and topics."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import MessageBatch
from aiokafka.producer.sender import Sender, SendProduceReqHandler
from aiokafka.structs import ConsumerRecord, RecordMetadata, TopicPartition
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from infra import effects
from infra.settings import KafkaSettings
from schemas.contract import Contract
from schemas.topics import DEAD_LETTER_HEADER_BYTES, DEAD_LETTER_RETENTION_MS, MAX_RECORD_BYTES, TOPICS

E = TypeVar("E")

_ADMIN_TIMEOUT_S = 10.0
_ADMIN_ANSWER_S = _ADMIN_TIMEOUT_S + 5.0
"""Seconds for an admin client's own word. More than the broker gets: a broker that is silent is said to be so, as a
KafkaException, and a mere time-out would come from nobody who was asked."""


_aiokafkas_send = AIOKafkaConnection.send


def _send(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
    """aiokafka takes an OSError for a broken connection. uvloop's word for a write to one that broke a moment ago is
    RuntimeError: it ended the consumer's fetcher for good, and a group stood still until its watchdog bit."""
    try:
        return _aiokafkas_send(self, request, expect_response)
    except RuntimeError as error:
        if isinstance(error, KafkaError):
            raise
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(str(error)) from error


AIOKafkaConnection.send = _send  # every client of this process makes its connections of this class


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key, as Kafka's own (Java) partitioner and ours choose it."""
    number: int = murmur2(key.encode()) & 0x7FFFFFFF
    return number % partitions


_GATHER_S = 0.008
"""Seconds from one request of a producer to the next. One that has rested sends at once. 0.008: at 300 records a second
it halves the requests, each of which costs this process and the broker half a millisecond, for 4 ms at most times."""


def _gather(sender: Sender) -> None:
    """Let records gather while the broker is rested from the request before; its answer is heard at once."""

    async def send(node_id: int, batches: "dict[TopicPartition, MessageBatch]") -> None:
        rested = asyncio.get_running_loop().time() + _GATHER_S
        await SendProduceReqHandler(sender, batches).do(node_id)
        await asyncio.sleep(max(0.0, rested - asyncio.get_running_loop().time()))
        sender._in_flight.remove(node_id)
        sender._muted_partitions.difference_update(batches)

    sender._send_produce_req = send


class Publisher:
    """Writes events to their topics, acknowledged by all replicas, once each within a producer's life.

    Args:
        source: the CloudEvents source of what is written, such as `/edge/gateway`.
    """

    def __init__(self, settings: KafkaSettings, source: str) -> None:
        effects.check("publishing")
        self._source = source
        self.producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap,
            client_id=source.strip("/").replace("/", "-"),
            acks="all",
            enable_idempotence=True,
            max_batch_size=131_072,
            request_timeout_ms=30_000,
            retry_backoff_ms=100,
        )

    async def start(self) -> None:
        await self.producer.start()
        _gather(self.producer._sender)

    async def stop(self) -> None:
        await self.producer.stop()

    async def publish(
        self,
        contract: Contract[E],
        event: E,
        *,
        key: str,
        id: str,
        time: datetime | None = None,
        traceparent: str | None = None,
    ) -> RecordMetadata:
        """Write one event and wait for the broker's word.

        Raises:
            aiokafka.errors.KafkaError: it is not known to be stored (and may still come to be).
        """
        return await (await self.enqueue(contract, event, key=key, id=id, time=time, traceparent=traceparent))

    async def enqueue(
        self,
        contract: Contract[E],
        event: E,
        *,
        key: str,
        id: str,
        time: datetime | None = None,
        traceparent: str | None = None,
    ) -> "asyncio.Future[RecordMetadata]":
        """Put one event into the producer's next batch; the future answers with the delivery report."""
        value, headers = contract.encode(
            event, id=id, source=self._source, time=time or datetime.now(UTC), traceparent=traceparent
        )
        report: asyncio.Future[RecordMetadata] = await self.producer.send(
            contract.topic, value, key=key.encode(), headers=headers
        )
        return report


async def read_partition(
    settings: KafkaSettings, topic: str, partition: int, start: int, end: int
) -> AsyncGenerator[ConsumerRecord[bytes, bytes], None]:
    """The records of one partition from offset `start` up to, not including, `end`; outside of any group."""
    if start >= end:
        return
    where = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([where])
        consumer.seek(where, start)
        while await consumer.position(where) < end:
            for records in (await consumer.getmany(where, timeout_ms=500)).values():
                for record in records:
                    if record.offset >= end:
                        return
                    yield record
    finally:
        await consumer.stop()


async def end_offsets(settings: KafkaSettings, topic: str, partitions: set[int]) -> dict[int, int]:
    """The next offset of each partition."""
    if not partitions:
        return {}  # aiokafka would cancel us: it cannot stop what it has not begun
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(topic, p) for p in partitions])
        return {where.partition: offset for where, offset in ends.items()}
    finally:
        await consumer.stop()


async def first_offsets(settings: KafkaSettings, topic: str, partitions: set[int]) -> dict[int, int]:
    """The offset of the oldest record of each partition that Kafka still has; the next one where there is none."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        firsts = await consumer.beginning_offsets([TopicPartition(topic, p) for p in partitions])
        return {where.partition: offset for where, offset in firsts.items()}
    finally:
        await consumer.stop()


async def offsets_at(settings: KafkaSettings, topic: str, times: dict[int, datetime]) -> dict[int, int]:
    """For each partition the first offset whose record is not older than the time, or the end where there is none."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        wanted = {TopicPartition(topic, p): int(t.timestamp() * 1000) for p, t in times.items()}
        found = await consumer.offsets_for_times(wanted)
        missing = [where for where in wanted if found.get(where) is None]
        ends = await consumer.end_offsets(missing) if missing else {}
        return {w.partition: found[w].offset if found.get(w) is not None else ends[w] for w in wanted}
    finally:
        await consumer.stop()


def admin(settings: KafkaSettings) -> AdminClient:
    """A client for what is rare: topics, groups, and what they hold. Its calls block; answers die with it."""
    # Its own log would fill standard error while a broker is away; what matters comes back as an exception.
    return AdminClient({"bootstrap.servers": settings.bootstrap, "socket.timeout.ms": 10_000, "log_level": 0})


async def topic_ids(settings: KafkaSettings, topics: list[str]) -> dict[str, str]:
    """Kafka's own id of each topic: a topic that was made anew has another, and its offsets mean something else.

    Raises:
        confluent_kafka.KafkaException: the broker is away or there is no such topic.
    """

    def ask() -> dict[str, str]:
        client = admin(settings)  # kept until the answers are there
        answers = client.describe_topics(TopicCollection(topics), request_timeout=_ADMIN_TIMEOUT_S)
        return {name: str(future.result(_ADMIN_ANSWER_S).topic_id) for name, future in answers.items()}

    return await asyncio.to_thread(ask)


def epoch_of(topic_id: str) -> str:
    """The epoch that cursors carry: 8 characters that change when the log was made anew."""
    return sha256(topic_id.encode()).hexdigest()[:8]


def wanted_topics(settings: KafkaSettings) -> dict[str, tuple[int, dict[str, int | str]]]:
    """Every topic that there is to be, dead letters too: its partitions, and its settings as Kafka names them."""
    in_sync = max(1, settings.replication - 1)

    def configured(retention_ms: int, most: int) -> dict[str, int | str]:
        return {"retention.ms": retention_ms, "max.message.bytes": most, "min.insync.replicas": in_sync}

    wanted: dict[str, tuple[int, dict[str, int | str]]] = {}
    for topic in TOPICS:
        kept: dict[str, int | str] = {"cleanup.policy": "compact"} if topic.compacted else {}
        wanted[topic.name] = (topic.partitions, configured(topic.retention_ms, MAX_RECORD_BYTES) | kept)
        most = MAX_RECORD_BYTES + DEAD_LETTER_HEADER_BYTES
        wanted[topic.dead_letters] = (topic.partitions, configured(DEAD_LETTER_RETENTION_MS, most))
    return wanted


def create_topics(settings: KafkaSettings) -> list[str]:
    """Make the topics that are missing, dead letters too; returns their names.

    Raises:
        confluent_kafka.KafkaException: the broker is away, or refuses.
    """
    client = admin(settings)
    there = set(client.list_topics(timeout=_ADMIN_TIMEOUT_S).topics)
    missing = [
        NewTopic(
            name,
            num_partitions=partitions,
            replication_factor=settings.replication,
            config={setting: str(value) for setting, value in configured.items()},
        )
        for name, (partitions, configured) in wanted_topics(settings).items()
        if name not in there
    ]
    for future in (client.create_topics(missing) if missing else {}).values():
        try:
            future.result(_ADMIN_ANSWER_S)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # another process was first
                raise
    return [topic.topic for topic in missing]

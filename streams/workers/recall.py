"""Reads back what replies has reported, and what it was told to stop."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from time import time

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition
from msgspec import Struct

from infra.kafka import read_partition
from infra.settings import KafkaSettings
from schemas.events import AnswerRequested, CancelRequested, RunEndedReport, RunStartedReport
from schemas.topics import AGENT_REQUESTS, CONVERSATION_COMMANDS
from streams.rules.replies import MARGIN_MS, Ended, Memory, Started

_REPORTS: Mapping[bytes, type[Started] | type[Ended]] = {
    RunStartedReport.type.encode(): Started,
    RunEndedReport.type.encode(): Ended,
}
_POLL_MS = 200


class _Ids(Struct):
    """What counts of a report: not its text."""

    run_id: str
    attempt: int = 0


_ids = msgspec.json.Decoder(_Ids).decode


class Recall:
    """Notes in a `Memory` what the log says."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    async def at_assignment(self, positions: Mapping[int, int], memories: Mapping[int, Memory]) -> None:
        """Remember for partitions that are ours, each from its oldest request on that is not acknowledged.

        Args:
            positions: the offset of `agent-requests` that is read next, by partition.

        Raises:
            aiokafka.errors.KafkaError: the broker is away.
        """
        async with self._consumer() as consumer:
            oldest = await self._oldest_requests(consumer, positions)
            now_ms = int(time() * 1000)
            # Twice the margin: the next request may be dated a little before now.
            since = {p: min(oldest.get(p, now_ms), now_ms) - 2 * MARGIN_MS for p in positions}
            await self._read(consumer, since, memories)

    async def back_to(self, requested_ms: int, partition: int, memory: Memory) -> None:
        """Remember all that a run can have that was first requested at this time. Raises as `at_assignment`."""
        async with self._consumer() as consumer:
            await self._read(consumer, {partition: requested_ms - MARGIN_MS}, {partition: memory})

    async def report_at(self, partition: int, offset: int) -> "ConsumerRecord[bytes, bytes] | None":
        """The report at this offset, or None where it is too old to be kept. Raises as `at_assignment`."""
        async for record in read_partition(self._kafka, CONVERSATION_COMMANDS.topic, partition, offset, offset + 1):
            return record
        return None

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_POLL_MS,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def _oldest_requests(self, consumer: AIOKafkaConsumer, positions: Mapping[int, int]) -> dict[int, int]:
        """When the first request that is not acknowledged was made, in each partition that has one."""
        wheres = {p: TopicPartition(AGENT_REQUESTS.topic, p) for p in positions}
        ends = await consumer.end_offsets(list(wheres.values()))
        behind = {where: positions[p] for p, where in wheres.items() if positions[p] < ends[where]}
        found: dict[int, int] = {}
        async for record in _records(consumer, behind, {where: start + 1 for where, start in behind.items()}):
            found[record.partition] = _requested_ms(record)
        return found

    async def _read(self, consumer: AIOKafkaConsumer, since: Mapping[int, int], memories: Mapping[int, Memory]) -> None:
        times = {
            TopicPartition(contract.topic, p): max(0, ms)
            for contract in (CONVERSATION_COMMANDS, AGENT_REQUESTS)
            for p, ms in since.items()
        }
        doubts = {p: memories[p].doubts for p in since}
        ends = await consumer.end_offsets(list(times))
        found = await consumer.offsets_for_times(times)
        starts = {where: at.offset for where, at in found.items() if at is not None and at.offset < ends[where]}
        async for record in _records(consumer, starts, ends):
            _note(record, memories[record.partition])
        for partition, ms in since.items():
            reports = TopicPartition(CONVERSATION_COMMANDS.topic, partition)
            end = ends[reports]
            memories[partition].was_read(ms, starts.get(reports, end), end, doubts[partition])


async def _records(
    consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> AsyncIterator["ConsumerRecord[bytes, bytes]"]:
    """The records from each start up to, not including, its end."""
    if not starts:
        return
    consumer.assign(list(starts))
    for where, start in starts.items():
        consumer.seek(where, start)
    unread = set(starts)
    while unread:
        for records in (await consumer.getmany(*unread, timeout_ms=_POLL_MS)).values():
            for record in records:
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record
        unread = {where for where in unread if await consumer.position(where) < ends[where]}


def _requested_ms(record: "ConsumerRecord[bytes, bytes]") -> int:
    """When the run of this request was first requested; for any other record its own time."""
    try:
        request = msgspec.json.decode(record.value or b"", type=AnswerRequested)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return int(record.timestamp)
    return int(request.requested_at.timestamp() * 1000)


def _note(record: "ConsumerRecord[bytes, bytes]", memory: Memory) -> None:
    kind = dict(record.headers).get("ce_type")
    report = _REPORTS.get(kind or b"")
    if report is None and kind != CancelRequested.type.encode():
        return
    try:
        ids = _ids(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):  # whoever reads this topic as its own puts such a record aside
        return
    if report is None:
        memory.note_cancel(ids.run_id, record.timestamp)
    else:
        memory.note(ids.run_id, record.offset, report(ids.attempt), record.timestamp)

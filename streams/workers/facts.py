"""Writing facts, as the only writer of a partition, or not at all."""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from typing import NoReturn

import structlog
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import RecordMetadata

from infra.kafka import Publisher
from infra.patience import patiently
from schemas import events, ids
from schemas.topics import CONVERSATION_EVENTS

log = structlog.get_logger(__name__)

EXIT_STATUS = 75
"""Exit status of a process that left because it may not be the only writer (EX_TEMPFAIL: start it again)."""


def leave(reason: str) -> NoReturn:
    """End the process at once: nothing further is published, nothing acknowledged."""
    log.critical("leaving at once", reason=reason)
    logging.shutdown()
    os._exit(EXIT_STATUS)


class FactLog:
    """Appends facts, and knows the offset that each will get.

    A delivery report with another offset means that somebody else writes this partition too, or that a part of its
    log is not what we know. Either way what we would decide next is worth nothing: the process ends, and whatever it
    had not acknowledged is decided again by whoever owns the partition.

    Args:
        leave: must not return.
    """

    def __init__(self, publisher: Publisher, leave: Callable[[str], NoReturn] = leave) -> None:
        self._publisher = publisher
        self._leave = leave
        self._next: dict[int, int] = {}
        self._enqueueing: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    def open(self, ends: Mapping[int, int]) -> None:
        """Partitions are ours; each ends, for now, at the given offset."""
        self._next = dict(ends)

    def close(self) -> None:
        self._next = {}

    async def settled(self) -> None:
        """Wait until what we wrote is delivered. Only then does the end of a partition say anything."""
        await self._publisher.producer.flush()

    async def append(self, partition: int, record: events.ConversationAdvanced, traceparent: str | None) -> int:
        """Write one record and wait until it is delivered; the offset that it has."""
        # Several lanes write at once. Offsets are given in the order of enqueueing, so that is where they are counted.
        async with self._enqueueing[partition]:
            # What times out here found no room beside what waits for the broker: it was not enqueued.
            report = await patiently("Kafka", (KafkaTimeoutError,), lambda: self._enqueue(record, traceparent))
            expected = self._next[partition]
            self._next[partition] += 1
        # Before anybody who waits for the report goes on. And shielded: it is checked even where nobody waits any more.
        report.add_done_callback(lambda done: self._check(partition, expected, done))
        await asyncio.shield(report)
        return expected

    def _enqueue(
        self, record: events.ConversationAdvanced, traceparent: str | None
    ) -> "Coroutine[None, None, asyncio.Future[RecordMetadata]]":
        return self._publisher.enqueue(
            CONVERSATION_EVENTS,
            record,
            key=record.conversation_id,
            id=ids.fact_id(record.conversation_id, record.cause),
            time=record.at,
            traceparent=traceparent,
        )

    def _check(self, partition: int, expected: int, report: "asyncio.Future[RecordMetadata]") -> None:
        where = f"{CONVERSATION_EVENTS.topic} partition {partition}"
        if report.cancelled():
            return  # the producer was closed: the process is ending
        if (error := report.exception()) is not None:
            self._leave(f"it is not known whether a record was written to {where}: {error!r}")
        stood = report.result()
        if (stood.partition, stood.offset) != (partition, expected):
            self._leave(
                f"a record that was to be at offset {expected} of {where} is at offset {stood.offset} of partition "
                f"{stood.partition}: there is a second writer"
            )

"""What becomes of input that can never be handled: it is kept, byte for byte, in `<topic>-dlq`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import faust
import structlog

log = structlog.get_logger(__name__)

_MESSAGE_CHARS = 500


class Disposition(StrEnum):
    """Why a record is a dead letter; written as header `dlq.disposition`."""

    DECODE = "decode"
    VALIDATION = "validation"
    REJECTED = "rejected"


class DeadLetter(Exception):
    """This record can never be handled, however often it is tried: put it aside and go on.

    Raised by a processor for bad input only. A broken dependency is waited for, a bug is any other exception. The
    reason is kept with the record: it must hold no text of a message and no secret.
    """

    def __init__(self, reason: str, disposition: Disposition = Disposition.REJECTED) -> None:
        super().__init__(reason)
        self.disposition = disposition


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it stands on its topic. `timestamp_ms` is Kafka's, Unix time in milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp_ms: int

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")


def dead_letter_topic(topic: str) -> str:
    return f"{topic}-dlq"


def dead_letter_headers(
    record: Record, error: Exception, disposition: Disposition, *, group: str, now: datetime
) -> list[tuple[str, bytes]]:
    """The record's own headers, and behind them what happened to it, where and when."""
    facts = {
        "dlq.orig.topic": record.topic,
        "dlq.orig.partition": str(record.partition),
        "dlq.orig.offset": str(record.offset),
        "dlq.orig.timestamp": str(record.timestamp_ms),
        "dlq.consumer.group": group,
        "dlq.stage": "intake" if disposition is Disposition.DECODE else "processor",
        "dlq.error.class": type(error).__qualname__,
        "dlq.error.message": str(error)[:_MESSAGE_CHARS],
        "dlq.attempts": "1",
        "dlq.first_failed_at": now.astimezone(UTC).isoformat(),
        "dlq.disposition": disposition.value,
    }
    return [*record.headers, *((name, value.encode()) for name, value in facts.items())]


class DeadLetters:
    """Writes dead letters with a Faust app's own producer."""

    def __init__(self, app: faust.App, group: str) -> None:
        self._app = app
        self._group = group
        self.count = 0

    async def put(self, record: Record, error: Exception, disposition: Disposition) -> None:
        """Deliver the dead letter. Faust's producer waits for a broker that is away, up to 20 minutes."""
        headers = dead_letter_headers(record, error, disposition, group=self._group, now=datetime.now(UTC))
        await self._app.producer.send_and_wait(
            dead_letter_topic(record.topic), record.key, record.value, None, None, headers
        )
        self.count += 1
        log.warning(
            "dead letter",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            disposition=disposition.value,
            reason=str(error)[:_MESSAGE_CHARS],
        )

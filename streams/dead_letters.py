"""What becomes of input that can never be handled: it is kept, byte for byte, in `<topic>-dlq`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import faust
import structlog

from schemas import dead_letters
from schemas.dead_letters import Disposition, dead_letter_topic

log = structlog.get_logger(__name__)

_MESSAGE_CHARS = 500


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


def dead_letter_headers(
    record: Record, error: Exception, disposition: Disposition, *, group: str, now: datetime
) -> list[tuple[str, bytes]]:
    """The record's own headers, and behind them what happened to it, where and when.

    Of a record that was re-driven, what is said of its failures before is only how many they were.
    """
    own = [(name, value) for name, value in record.headers if name != dead_letters.ATTEMPTS]
    facts = {
        dead_letters.ORIGINAL_TOPIC: record.topic,
        dead_letters.ORIGINAL_PARTITION: str(record.partition),
        dead_letters.ORIGINAL_OFFSET: str(record.offset),
        dead_letters.ORIGINAL_TIMESTAMP: str(record.timestamp_ms),
        dead_letters.GROUP: group,
        dead_letters.STAGE: "intake" if disposition is Disposition.DECODE else "processor",
        dead_letters.ERROR_CLASS: type(error).__qualname__,
        dead_letters.ERROR_MESSAGE: str(error)[:_MESSAGE_CHARS],
        dead_letters.ATTEMPTS: str(dead_letters.attempts(record.headers) + 1),
        dead_letters.FIRST_FAILED_AT: now.astimezone(UTC).isoformat(),
        dead_letters.DISPOSITION: disposition.value,
    }
    return [*own, *((name, value.encode()) for name, value in facts.items())]


class DeadLetters:
    """Writes dead letters with a Faust app's own producer."""

    def __init__(self, app: faust.App, group: str) -> None:
        self._app = app
        self._group = group
        self.count = 0

    async def put(self, record: Record, error: Exception, disposition: Disposition) -> None:
        """Deliver the dead letter. Faust's producer waits for a broker that is away, up to 20 minutes."""
        headers = dead_letter_headers(record, error, disposition, group=self._group, now=datetime.now(UTC))
        # Kafka's client refuses a record with neither key nor value, though a topic may hold one.
        key = b"" if record.key is None and record.value is None else record.key
        await self._app.producer.send_and_wait(dead_letter_topic(record.topic), key, record.value, None, None, headers)
        self.count += 1
        log.warning(
            "dead letter",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            disposition=disposition.value,
            reason=str(error)[:_MESSAGE_CHARS],
        )

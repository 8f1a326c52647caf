"""Dead letters: what their headers say, for those who write them and those who mend them.

A dead letter is a record as it came, key, value and headers untouched, with headers behind them that tell what became
of it. A re-drive takes those off again, and adds which re-drive it was and how often the record has failed so far.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

Headers = list[tuple[str, bytes]]

_PREFIX = "dlq."
ORIGINAL_TOPIC = "dlq.orig.topic"
ORIGINAL_PARTITION = "dlq.orig.partition"
ORIGINAL_OFFSET = "dlq.orig.offset"
ORIGINAL_TIMESTAMP = "dlq.orig.timestamp"
GROUP = "dlq.consumer.group"
STAGE = "dlq.stage"
ERROR_CLASS = "dlq.error.class"
ERROR_MESSAGE = "dlq.error.message"
ATTEMPTS = "dlq.attempts"
FIRST_FAILED_AT = "dlq.first_failed_at"
DISPOSITION = "dlq.disposition"
REDRIVE_ID = "redrive.id"


class Disposition(StrEnum):
    """Why a record is a dead letter."""

    DECODE = "decode"
    VALIDATION = "validation"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a dead letter says of itself; what it does not say is `?`, -1 or None.

    `at` is when it failed. `redrive_id` names the re-drive after which it failed, if there was one.
    """

    topic: str
    partition: int
    offset: int
    group: str
    stage: str
    error_class: str
    error_message: str
    disposition: str
    attempts: int
    at: datetime | None
    redrive_id: str | None


def dead_letter_topic(topic: str) -> str:
    return f"{topic}-dlq"


def original_topic(name: str) -> str:
    """The topic whose dead letters this one holds; itself, where it holds none."""
    return name.removesuffix("-dlq")


def failure(headers: Iterable[tuple[str, bytes | None]]) -> Failure:
    """Read what a dead letter says of itself. Nothing is raised: anybody may have written into the topic."""
    found = {name: (value or b"").decode(errors="replace") for name, value in headers}
    try:
        at = datetime.fromisoformat(found.get(FIRST_FAILED_AT, ""))
    except ValueError:
        at = None
    return Failure(
        topic=found.get(ORIGINAL_TOPIC, "?"),
        partition=_number(found.get(ORIGINAL_PARTITION), -1),
        offset=_number(found.get(ORIGINAL_OFFSET), -1),
        group=found.get(GROUP, "?"),
        stage=found.get(STAGE, "?"),
        error_class=found.get(ERROR_CLASS, "?"),
        error_message=found.get(ERROR_MESSAGE, ""),
        disposition=found.get(DISPOSITION, "?"),
        attempts=_number(found.get(ATTEMPTS), 0),
        at=at if at is None or at.tzinfo else None,
        redrive_id=found.get(REDRIVE_ID),
    )


def attempts(headers: Iterable[tuple[str, bytes | None]]) -> int:
    """How often this record has failed already."""
    text = next((value for name, value in headers if name == ATTEMPTS), None)
    return _number((text or b"").decode(errors="replace"), 0)


def is_redriven(headers: Iterable[tuple[str, bytes | None]]) -> bool:
    """Whether an operator sent this record again."""
    return any(name == REDRIVE_ID for name, _ in headers)


def own_headers(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """The record's own headers, without what its failures and re-drives have added."""
    return [(name, value) for name, value in headers if not name.startswith(_PREFIX) and name != REDRIVE_ID]


def redriven_headers(headers: list[tuple[str, bytes]], redrive_id: str) -> Headers:
    """The headers with which a dead letter goes back to its topic."""
    failed = str(max(1, attempts(headers)))
    return [*own_headers(headers), (REDRIVE_ID, redrive_id.encode()), (ATTEMPTS, failed.encode())]


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else otherwise

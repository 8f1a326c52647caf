"""Contracts: how an event becomes a Kafka record and back. The only place that knows the wire form.

CloudEvents 1.0 in Kafka's binary content mode: the attributes are headers named `ce_…`, the value is the event as JSON.
`traceparent` (W3C Trace Context) travels beside them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

E = TypeVar("E")

Headers = list[tuple[str, bytes]]


class InvalidRecord(ValueError):
    """A record that no contract explains; it belongs in the dead-letter topic, its bytes as they are."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The CloudEvents attributes of a record."""

    id: str
    type: str
    source: str
    time: datetime
    traceparent: str | None = None
    subject: str | None = None


def envelope_headers(envelope: Envelope) -> Headers:
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", envelope.id.encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_time", envelope.time.astimezone(UTC).isoformat().encode()),
        ("content-type", b"application/json"),
    ]
    if envelope.subject is not None:
        headers.append(("ce_subject", envelope.subject.encode()))
    if envelope.traceparent is not None:
        headers.append(("traceparent", envelope.traceparent.encode()))
    return headers


def read_envelope(headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """Read the CloudEvents attributes.

    Raises:
        InvalidRecord: one that is required is missing or unreadable.
    """
    found = dict(headers)
    try:
        if found.get("ce_specversion") != b"1.0":
            raise InvalidRecord("no CloudEvents 1.0 record: ce_specversion is missing or another")
        traceparent, subject = found.get("traceparent"), found.get("ce_subject")
        return Envelope(
            id=_text(found, "ce_id"),
            type=_text(found, "ce_type"),
            source=_text(found, "ce_source"),
            time=datetime.fromisoformat(_text(found, "ce_time")),
            traceparent=None if traceparent is None else traceparent.decode(),
            subject=None if subject is None else subject.decode(),
        )
    except InvalidRecord:
        raise
    except ValueError as error:  # covers UnicodeDecodeError and an unreadable time
        raise InvalidRecord(f"unreadable CloudEvents attribute: {error}") from error


def _text(found: Mapping[str, bytes | None], name: str) -> str:
    value = found.get(name)
    if not value:
        raise InvalidRecord(f"no CloudEvents 1.0 record: {name} is missing")
    return value.decode()


@dataclass(frozen=True)
class EventType(Generic[E]):
    """One type of event on a topic: its class, and how its JSON is read and written."""

    event: type[E]
    decode: Callable[[bytes], E]
    encode: Callable[[E], bytes]

    @property
    def name(self) -> str:
        name: str = self.event.type  # type: ignore[attr-defined]
        return name


def event_type(event: type[E]) -> EventType[E]:
    """The usual case: plain JSON of one msgspec struct."""
    return EventType(event, msgspec.json.Decoder(event).decode, msgspec.json.encode)


class Contract(Generic[E]):
    """What may stand on one topic, and the only way on and off it. `E` is the union of its events."""

    def __init__(self, topic: str, types: Iterable[EventType[Any]]) -> None:
        self.topic = topic
        self.types: Mapping[str, EventType[Any]] = {t.name: t for t in types}

    def encode(
        self, event: E, *, id: str, source: str, time: datetime, traceparent: str | None = None
    ) -> tuple[bytes, Headers]:
        """The value and headers of a record. `source` names the process kind, such as `/edge/gateway`.

        An event that is about something beyond itself says so: its property `subject` goes into the header.
        """
        kind = self.types[event.type]  # type: ignore[attr-defined]
        subject: str | None = getattr(event, "subject", None)
        envelope = Envelope(id=id, type=kind.name, source=source, time=time, traceparent=traceparent, subject=subject)
        return kind.encode(event), envelope_headers(envelope)

    def decode(self, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> tuple[E, Envelope]:
        """Read a record.

        Raises:
            InvalidRecord: a tombstone, no CloudEvents record, a type that is not on this topic, or a value that is
                not what its type says.
        """
        if value is None:
            raise InvalidRecord(f"{self.topic} holds no tombstones")
        envelope = read_envelope(headers)
        kind = self.types.get(envelope.type)
        if kind is None:
            raise InvalidRecord(f"{envelope.type} is no event type of {self.topic}")
        try:
            return kind.decode(value), envelope
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRecord(f"{envelope.type}: {error}") from error

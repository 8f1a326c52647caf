"""Segments of an archived log: how a stretch of one partition becomes an object and back. Pure: no I/O, no clock.

A segment is gzipped JSON lines, readable with `zcat`: one line for each record, then one that says how many there are
and what their SHA-256 is. Its name says which offsets it holds, so a listing of names is the archive's table of
contents, and nothing else has to be kept in step with it.
"""

import hashlib
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from msgspec import Struct

MAX_RECORDS = 100_000
"""Most records of a segment."""
MAX_BYTES = 32 * 2**20
"""Most bytes of a segment before compression: what a reader holds in memory at once."""

_GZIP = 31  # zlib's number for gzip's own frame, with which there is no time in it: same records, same bytes
_LEVEL = 1  # sealed texts hardly compress; the rest does at any level
_NAME = re.compile(r"(?P<folder>.+)/(?P<first>\d{20})-(?P<next>\d{20})\.jsonl\.gz")


class Damaged(ValueError):
    """A segment is not what was written."""


class Hole(ValueError):
    """Records are missing between two offsets."""


class Record(Protocol):
    """A Kafka record, as far as it is archived. `timestamp` is in milliseconds since 1970."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class LogRecord(Struct, frozen=True, kw_only=True):
    """A record that was read from the log, be it from the archive or from Kafka."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class _Base64(Struct, frozen=True):
    base64: str


_Bytes = str | _Base64 | None
"""UTF-8 as it is, which nearly everything is; anything else in base64."""


class _Line(Struct, frozen=True):
    offset: int
    timestamp: int
    key: _Bytes
    headers: list[tuple[str, _Bytes]]
    value: _Bytes


class _End(Struct, frozen=True):
    records: int
    sha256: str


_encoder = msgspec.json.Encoder()
_line = msgspec.json.Decoder(_Line)
_end = msgspec.json.Decoder(_End)


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """An object that holds the offsets from `first` up to, not including, `next` of one partition."""

    first: int
    next: int
    folder: str
    size: int = 0

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.first:020}-{self.next:020}.jsonl.gz"

    @property
    def partition(self) -> int:
        return int(self.folder.rpartition("/")[2])

    @classmethod
    def named(cls, path: str, size: int) -> "Segment | None":
        """The segment of this name; None where the name is none of a segment."""
        match = _NAME.fullmatch(path)
        return match and cls(int(match["first"]), int(match["next"]), match["folder"], size)


def chain(segments: Iterable[Segment], start: int = 0) -> list[Segment]:
    """The fewest segments that hold every offset from `start` on, as far as that goes without a hole.

    Segments may overlap: one that was written again with more in it, or by two archivers at once. At each offset the
    one counts that reaches farthest.
    """
    found: list[Segment] = []
    left = sorted(segments)
    n, best = 0, None
    while True:
        while n < len(left) and left[n].first <= start:
            if best is None or left[n].next > best.next:
                best = left[n]
            n += 1
        if best is None or best.next <= start:
            return found
        found.append(best)
        start = best.next


class Writer:
    """Makes one segment from records whose offsets follow each other."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._packed: list[bytes] = []
        self._sha = hashlib.sha256()
        self._bytes = 0
        self._first: int | None = None
        self._next = 0

    @property
    def is_full(self) -> bool:
        return self._bytes >= MAX_BYTES or self.records >= MAX_RECORDS

    @property
    def records(self) -> int:
        return 0 if self._first is None else self._next - self._first

    def add(self, record: Record) -> None:
        """Add the next record.

        Raises:
            Hole: it does not follow the one before.
        """
        if self._first is None:
            self._first = self._next = record.offset
        if record.offset != self._next:
            raise Hole(f"offset {record.offset} came where {self._next} was due")
        line = _encoder.encode(
            _Line(
                offset=record.offset,
                timestamp=record.timestamp,
                key=_text(record.key),
                headers=[(name, _text(value)) for name, value in record.headers],
                value=_text(record.value),
            )
        )
        self._write(line + b"\n")
        self._next += 1

    def finish(self) -> tuple[Segment, bytes]:
        """The segment, and what its object holds; there must be a record in it."""
        assert self._first is not None
        self._write(_encoder.encode(_End(self.records, self._sha.hexdigest())) + b"\n")
        content = b"".join([*self._packed, self._packer.flush()])
        return Segment(self._first, self._next, self._folder, len(content)), content

    def _write(self, line: bytes) -> None:
        self._sha.update(line)
        self._bytes += len(line)
        self._packed.append(self._packer.compress(line))


def read(segment: Segment, content: bytes) -> Iterator[LogRecord]:
    """The records of a segment. That it is whole is known before the first of them comes.

    Raises:
        Damaged: it is not what was written.
    """
    try:
        lines = zlib.decompress(content, _GZIP)
        begin = lines.rindex(b"\n", 0, -1) + 1
        end = _end.decode(lines[begin:])
    except (zlib.error, msgspec.DecodeError, ValueError) as error:
        raise Damaged(f"{segment.path} is damaged: {error}") from error
    if hashlib.sha256(memoryview(lines)[:begin]).hexdigest() != end.sha256:
        raise Damaged(f"{segment.path} is damaged: its SHA-256 is another")
    if end.records != segment.next - segment.first:
        raise Damaged(f"{segment.path} holds {end.records} records, not what its name says")
    return _records(segment, lines, begin)


def _records(segment: Segment, lines: bytes, end: int) -> Iterator[LogRecord]:
    at = 0
    for offset in range(segment.first, segment.next):
        stop = lines.index(b"\n", at, end)
        found = _line.decode(memoryview(lines)[at:stop])
        if found.offset != offset:
            raise Damaged(f"{segment.path} holds offset {found.offset} where {offset} was due")
        yield LogRecord(
            partition=segment.partition,
            offset=offset,
            timestamp=found.timestamp,
            key=_raw(found.key),
            value=_raw(found.value),
            headers=tuple((name, _raw(value)) for name, value in found.headers),
        )
        at = stop + 1


def _text(raw: bytes | None) -> _Bytes:
    if raw is None:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return _Base64(b64encode(raw).decode())


def _raw(text: _Bytes) -> bytes | None:
    if isinstance(text, _Base64):
        return b64decode(text.base64)
    return None if text is None else text.encode()

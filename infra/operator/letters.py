"""Which dead letters are meant, what they add up to, and how they are written down. Pure: no I/O, no clock."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.dead_letters import Failure

Ranges = dict[int, list[tuple[int, int]]]
"""By partition: stretches of offsets, each from its first to its last."""

_OFFSETS = re.compile(r"(?:(\d{1,9}):)?(\d{1,18})(?:-(\d{1,18}))?")


class BadOffsets(ValueError):
    """No offsets in the form `[PARTITION:]FIRST-LAST`."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Offsets of a dead-letter topic, both ends included, of one partition or of each."""

    partition: int | None
    first: int
    last: int

    @classmethod
    def of(cls, text: str) -> "Stretch":
        """Read `5`, `5-9` or `3:5-9`.

        Raises:
            BadOffsets: see there.
        """
        found = _OFFSETS.fullmatch(text)
        if found is None:
            raise BadOffsets(
                f"{text!r} is no range of offsets: give FIRST-LAST or PARTITION:FIRST-LAST, such as 3:5-9."
            )
        partition, first, last = found.groups()
        stretch = cls(None if partition is None else int(partition), int(first), int(last or first))
        if stretch.last < stretch.first:
            raise BadOffsets(f"{text!r} ends before it begins.")
        return stretch

    def holds(self, partition: int, offset: int) -> bool:
        return self.partition in (None, partition) and self.first <= offset <= self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which letters are meant; without any condition all of them.

    Attributes:
        error: the class of error that made them dead letters, in any case.
        since: not older than this.
        offsets: in one of these stretches.
    """

    error: str | None = None
    since: datetime | None = None
    offsets: Sequence[Stretch] = ()

    def holds(self, partition: int, offset: int, timestamp_ms: int, failed: Failure) -> bool:
        return (
            (self.error is None or failed.error_class.lower() == self.error.lower())
            and (self.since is None or timestamp_ms >= self.since.timestamp() * 1000)
            and (not self.offsets or any(stretch.holds(partition, offset) for stretch in self.offsets))
        )

    def described(self) -> dict[str, object]:
        """The conditions, to be written down."""
        return {
            "error": self.error,
            "since": None if self.since is None else self.since.isoformat(),
            "offsets": [f"{'' if s.partition is None else f'{s.partition}:'}{s.first}-{s.last}" for s in self.offsets],
        }


@dataclass(slots=True)
class Sum:
    """Letters of one kind; times are Kafka's, Unix time in milliseconds."""

    count: int
    first_ms: int
    last_ms: int


Kind = tuple[str, str, str, str]
"""Topic, class of error, disposition, consumer group."""


class Summary:
    """How many letters of each kind, and from when to when."""

    def __init__(self) -> None:
        self.kinds: dict[Kind, Sum] = {}

    def add(self, dead_letters: str, timestamp_ms: int, failed: Failure) -> None:
        kind = (dead_letters, failed.error_class, failed.disposition, failed.group)
        found = self.kinds.get(kind)
        if found is None:
            self.kinds[kind] = Sum(1, timestamp_ms, timestamp_ms)
        else:
            found.count += 1
            found.first_ms = min(found.first_ms, timestamp_ms)
            found.last_ms = max(found.last_ms, timestamp_ms)

    def newest_first(self) -> list[tuple[Kind, Sum]]:
        return sorted(self.kinds.items(), key=lambda item: -item[1].last_ms)


def ranges(offsets: Mapping[int, Iterable[int]]) -> Ranges:
    """Offsets as stretches: `{0: [5, 6, 7, 9]}` is `{0: [(5, 7), (9, 9)]}`."""
    made: Ranges = {}
    for partition, some in sorted(offsets.items()):
        stretches: list[tuple[int, int]] = []
        for offset in sorted(some):
            if stretches and offset == stretches[-1][1] + 1:
                stretches[-1] = (stretches[-1][0], offset)
            else:
                stretches.append((offset, offset))
        if stretches:
            made[partition] = stretches
    return made


def offsets_in(stretches: Mapping[int, Iterable[Sequence[int]]]) -> dict[int, set[int]]:
    """The offsets that `ranges` was made of."""
    return {int(p): {n for first, last in some for n in range(first, last + 1)} for p, some in stretches.items()}


def written(stretches: Mapping[int, Collection[Sequence[int]]], limit: int = 5) -> str:
    """Stretches for a person: `0:5-7, 0:9, 3:1-2`, at most `limit` of them."""
    parts = [
        f"{partition}:{first}" if first == last else f"{partition}:{first}-{last}"
        for partition, some in stretches.items()
        for first, last in some
    ]
    return ", ".join(parts[:limit]) + (f" and {len(parts) - limit} more" if len(parts) > limit else "")

"""The facts that history has not stored yet: what a conversation's rows lack, they have. Pure: no I/O, no clock."""

from collections import deque
from dataclasses import dataclass, field

from schemas.events import ConversationAdvanced, MessagePosted

MAX_BYTES = 8 * 2**20
"""Most bytes kept of one partition: some 10,000 messages. When history falls further behind, the oldest are let go, and
a conversation that is loaded meanwhile reads them from Kafka again: slower, never wrong."""
MAX_RECORDS = 10_000
"""Most records kept of one partition, for the same reason: what a start reads before it is ready."""

_FACT_BYTES = 500
"""What a fact takes in memory beside its text, roughly."""


@dataclass(slots=True)
class _Stretch:
    """One partition's newest records; from offset `start` on they are all here."""

    start: int
    records: deque[tuple[int, int, str]] = field(default_factory=deque)
    size: int = 0


class Tail:
    """The newest records of the partitions that are ours, by conversation.

    Args:
        max_bytes, max_records: of each partition; see `MAX_BYTES`.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, max_records: int = MAX_RECORDS) -> None:
        self._max_bytes = max_bytes
        self._max_records = max_records
        self._stretches: dict[int, _Stretch] = {}
        self._by_conversation: dict[str, deque[ConversationAdvanced]] = {}

    def open(self, partition: int, start: int) -> None:
        """A partition is ours; the records from offset `start` on will be added."""
        self._stretches[partition] = _Stretch(start)

    def clear(self) -> None:
        self._stretches.clear()
        self._by_conversation.clear()

    def add(self, partition: int, offset: int, record: ConversationAdvanced) -> None:
        """Add the partition's next record."""
        stretch = self._stretches[partition]
        size = sum(_FACT_BYTES + (len(f.content) if isinstance(f, MessagePosted) else 0) for f in record.facts)
        stretch.records.append((offset, size, record.conversation_id))
        stretch.size += size
        self._by_conversation.setdefault(record.conversation_id, deque()).append(record)
        while stretch.size > self._max_bytes or len(stretch.records) > self._max_records:
            self._drop_first(stretch)

    def forget(self, partition: int, until: int) -> None:
        """History has stored what is below offset `until`."""
        stretch = self._stretches.get(partition)
        if stretch is None:
            return
        while stretch.records and stretch.records[0][0] < until:
            self._drop_first(stretch)
        stretch.start = max(stretch.start, until)

    def start(self, partition: int) -> int:
        """The offset from which all records of the partition are here."""
        return self._stretches[partition].start

    def of(self, conversation_id: str) -> list[ConversationAdvanced]:
        """The conversation's records that are here, in the order of the log."""
        return list(self._by_conversation.get(conversation_id, ()))

    @property
    def size(self) -> int:
        """Bytes of all records here."""
        return sum(stretch.size for stretch in self._stretches.values())

    def _drop_first(self, stretch: _Stretch) -> None:
        offset, size, conversation_id = stretch.records.popleft()
        stretch.size -= size
        stretch.start = offset + 1
        records = self._by_conversation[conversation_id]
        records.popleft()
        if not records:
            del self._by_conversation[conversation_id]

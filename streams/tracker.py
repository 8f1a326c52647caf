"""Which records are read, which are finished, and how far each partition is acknowledged. Pure: no I/O, no clock."""

from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field


class OffsetsOutOfOrder(RuntimeError):
    """A partition gave another offset than the one after the last: records were skipped, or came twice."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One record that was read and is not acknowledged yet. `size` is in bytes, `timestamp_ms` Kafka's."""

    offset: int
    size: int
    timestamp_ms: int
    _holding: "_Holding"
    _finished: bool = False


@dataclass(slots=True, eq=False)
class _Holding:
    """One partition, for as long as it is ours without a break."""

    watermark: int
    committed: int
    read: int | None = None
    open: deque[Ticket] = field(default_factory=deque)
    held: bool = True


class Tracker:
    """Acknowledges strictly in offset order, for each partition and each time that we hold it.

    Records finish in any order; the watermark of a partition, the offset that its group would read next, passes one
    only when all before it are finished. What is given up with `close` is forgotten: finishing it later changes
    nothing, even when the same partition has come back since.

    Args:
        dense: whether the topic's offsets have no holes, as on every topic that is neither compacted nor written in
            transactions. Then a hole can only be a record that was lost on the way to us, and is refused.
    """

    def __init__(self, *, dense: bool = True) -> None:
        self._dense = dense
        self._holdings: dict[int, _Holding] = {}
        self.records = 0
        """Records read and not acknowledged, over all partitions."""
        self.bytes = 0
        """Their size."""

    def open(self, positions: Mapping[int, int]) -> None:
        """Partitions are ours, each from the given offset on."""
        self._holdings = {partition: _Holding(offset, offset) for partition, offset in positions.items()}

    def close(self) -> Set[int]:
        """Forget all partitions and what is unfinished in them; says which they were."""
        for holding in self._holdings.values():
            holding.held = False
        closed = self._holdings.keys()
        self._holdings = {}
        self.records = self.bytes = 0
        return closed

    @property
    def partitions(self) -> Set[int]:
        return self._holdings.keys()

    def admit(self, partition: int, offset: int, size: int, timestamp_ms: int) -> Ticket:
        """A record was read.

        Raises:
            OffsetsOutOfOrder: it does not follow the one read before. The first may come later than the partition's
                position (retention may have removed what was between), never earlier.
        """
        holding = self._holdings[partition]
        if holding.read is None:
            wrong = offset < holding.watermark
        else:
            wrong = offset != holding.read + 1 if self._dense else offset <= holding.read
        if wrong:
            raise OffsetsOutOfOrder(
                f"partition {partition}: offset {offset} came after {holding.read}, from {holding.watermark} on"
            )
        holding.read = offset
        ticket = Ticket(offset, size, timestamp_ms, holding)
        holding.open.append(ticket)
        self.records += 1
        self.bytes += size
        return ticket

    def finish(self, ticket: Ticket) -> None:
        """A record is done with, its outputs delivered: acknowledge it, as soon as all before it are."""
        holding = ticket._holding
        if not holding.held:
            return
        ticket._finished = True
        while holding.open and holding.open[0]._finished:
            head = holding.open.popleft()
            holding.watermark = head.offset + 1
            self.records -= 1
            self.bytes -= head.size

    def uncommitted(self) -> dict[int, int]:
        """Partitions whose watermark the broker does not know yet, with the offset to commit."""
        return {p: h.watermark for p, h in self._holdings.items() if h.watermark > h.committed}

    def committed(self, offsets: Mapping[int, int]) -> None:
        """The broker took a commit."""
        for partition, offset in offsets.items():
            if (holding := self._holdings.get(partition)) is not None:
                holding.committed = max(holding.committed, offset)

    def watermarks(self) -> dict[int, int]:
        """For each partition the offset after the last acknowledged one."""
        return {partition: holding.watermark for partition, holding in self._holdings.items()}

    def positions(self) -> dict[int, int]:
        """For each partition the offset after the last one read."""
        return {p: h.watermark if h.read is None else h.read + 1 for p, h in self._holdings.items()}

    def oldest_ms(self) -> dict[int, int]:
        """The timestamp of the first unfinished record of each partition that has one."""
        return {p: h.open[0].timestamp_ms for p, h in self._holdings.items() if h.open}

"""In whatever order things end, come and go: nothing unfinished is passed, and no key overtakes itself."""

from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.lanes import Lanes
from streams.tracker import OffsetsOutOfOrder, Ticket, Tracker

PARTITIONS = st.integers(0, 2)
KEYS = st.sampled_from("abcd")
LIMIT = 2


class Intake(RuleBasedStateMachine):
    """Tracker and lanes as an intake uses them, beside a model that only counts."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker()
        self.lanes: Lanes[str, tuple[int, Ticket]] = Lanes(LIMIT)
        self.at_broker: dict[int, int] = dict.fromkeys(range(3), 0)
        self.next_read: dict[int, int] = {}
        self.unfinished: dict[int, set[int]] = defaultdict(set)
        self.running: dict[str, tuple[int, Ticket]] = {}
        self.of_lost_holdings: list[Ticket] = []
        self.read_order: dict[str, list[Ticket]] = defaultdict(list)

    @precondition(lambda self: not self.next_read)
    @rule(partitions=st.sets(PARTITIONS))
    def partitions_come(self, partitions: set[int]) -> None:
        self.next_read = {p: self.at_broker[p] for p in partitions}
        self.tracker.open(self.next_read)

    @rule()
    def partitions_go(self) -> None:
        self.of_lost_holdings += [ticket for _, ticket in self.running.values()]
        assert self.tracker.close() == self.next_read.keys()
        self.lanes = Lanes(LIMIT)
        self.next_read.clear()
        self.unfinished.clear()
        self.running.clear()
        self.read_order.clear()

    @precondition(lambda self: self.next_read)
    @rule(data=st.data(), key=KEYS, size=st.integers(0, 9), urgent=st.booleans())
    def read(self, data: st.DataObject, key: str, size: int, urgent: bool) -> None:
        partition = data.draw(st.sampled_from(sorted(self.next_read)))
        offset = self.next_read[partition]
        ticket = self.tracker.admit(partition, offset, size, timestamp_ms=offset)
        self.next_read[partition] += 1
        self.unfinished[partition].add(offset)
        if urgent:  # acts at once, beside every lane
            self.finished(partition, ticket)
        else:
            self.read_order[key].append(ticket)
            self.lanes.put(key, (partition, ticket))

    @rule()
    def start(self) -> None:
        taken = self.lanes.start()
        if taken is None:
            waiting = [key for key, tickets in self.read_order.items() if tickets and key not in self.running]
            assert len(self.running) == LIMIT or not waiting
            return
        key, (partition, ticket) = taken
        assert key not in self.running
        assert self.read_order[key].pop(0) is ticket
        self.running[key] = (partition, ticket)
        assert len(self.running) <= LIMIT

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.finished(*self.running.pop(key))
        self.lanes.finish(key)

    @precondition(lambda self: self.of_lost_holdings)
    @rule()
    def finish_what_was_lost(self) -> None:
        self.tracker.finish(self.of_lost_holdings.pop())

    @rule(accepted=st.booleans())
    def commit(self, accepted: bool) -> None:
        offsets = self.tracker.uncommitted()
        if accepted:
            self.tracker.committed(offsets)
            self.at_broker |= offsets
            assert not self.tracker.uncommitted()

    def finished(self, partition: int, ticket: Ticket) -> None:
        self.tracker.finish(ticket)
        self.unfinished[partition].discard(ticket.offset)

    @invariant()
    def acknowledges_up_to_the_first_unfinished_record(self) -> None:
        expected = {p: min(self.unfinished[p], default=end) for p, end in self.next_read.items()}
        assert self.tracker.watermarks() == expected

    @invariant()
    def commits_never_go_back(self) -> None:
        for partition, offset in self.tracker.uncommitted().items():
            assert offset > self.at_broker[partition]

    @invariant()
    def counts_what_it_holds(self) -> None:
        assert self.tracker.records == sum(end - self.tracker.watermarks()[p] for p, end in self.next_read.items())
        assert self.tracker.records or not self.tracker.bytes


TestAnyInterleaving = Intake.TestCase
TestAnyInterleaving.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


def test_a_hole_in_a_dense_topic_is_refused() -> None:
    """Where offsets have no holes, a hole means that a record was lost on the way, and so does one that comes again."""
    tracker = Tracker()
    tracker.open({0: 5})
    tracker.admit(0, 7, size=1, timestamp_ms=0)  # retention may have removed 5 and 6
    for offset in (7, 9):
        with pytest.raises(OffsetsOutOfOrder):
            tracker.admit(0, offset, size=1, timestamp_ms=0)

    tracker.open({0: 5})
    with pytest.raises(OffsetsOutOfOrder):
        tracker.admit(0, 4, size=1, timestamp_ms=0)


def test_keys_take_turns() -> None:
    """A key with much to do starves no other."""
    lanes: Lanes[str, int] = Lanes(1)
    for n in range(3):
        lanes.put("busy", n)
    lanes.put("quiet", 0)

    order = []
    while (taken := lanes.start()) is not None:
        order.append(taken)
        lanes.finish(taken[0])

    assert order == [("busy", 0), ("quiet", 0), ("busy", 1), ("busy", 2)]


def test_no_more_run_at_once_than_the_limit() -> None:
    """However many keys wait; and each that finishes makes room for one."""
    lanes: Lanes[int, str] = Lanes(2)
    for key in range(4):
        lanes.put(key, "item")

    assert [lanes.start(), lanes.start(), lanes.start()] == [(0, "item"), (1, "item"), None]
    lanes.finish(1)
    assert [lanes.start(), lanes.start()] == [(2, "item"), None]

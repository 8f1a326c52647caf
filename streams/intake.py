"""From a topic to a processor, so that nothing is lost and no key is overtaken."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from schemas.contract import Envelope

E_co = TypeVar("E_co", covariant=True)
E_contra = TypeVar("E_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Delivery(Generic[E_co]):
    """One decoded record, as a processor sees it. `timestamp_ms` is Kafka's, Unix time in milliseconds."""

    event: E_co
    envelope: Envelope
    topic: str
    partition: int
    offset: int
    key: bytes
    timestamp_ms: int


class Owner(Protocol):
    """Whoever works on partitions hears when they come and go.

    Every rebalance takes all partitions away and then gives some, often the same, back: `revoked` is called for all
    that were ours and then `assigned` for all that are. In between another process may have owned them, so what is kept
    from before must be proved current (by an offset, by a position) before it is used.
    """

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Partitions are ours. The value is the offset that the group reads next: the committed one, else the
        first there is. No record of them is handled before this returns. It may wait for a broken dependency for
        as long as it must, and is cancelled when the partitions go before it is done."""

    async def revoked(self, partitions: Set[int]) -> None:
        """Partitions are no longer ours; nothing of them is running any more. Must be quick: the group waits."""


class Processor(Owner, Protocol[E_contra]):
    """Handles records one at a time per key, many keys at once."""

    def is_control(self, event: E_contra) -> bool:
        """Whether this record passes lane and window."""

    async def control(self, delivery: Delivery[E_contra]) -> None:
        """Act on a control record, the moment it is read. Acknowledged when this returns."""

    async def handle(self, delivery: Delivery[E_contra]) -> None:
        """Handle one record; those of one key come one after the other, in offset order.

        Returns when the outputs are delivered and the state is updated: then the record is acknowledged. Is
        cancelled at a revoke or a stop whose drain time is over; the record then comes again, here or elsewhere.

        Raises:
            DeadLetter: the input is bad and can never be handled. Anything else that is raised stops the process.
        """


class BatchProcessor(Owner, Protocol[E_contra]):
    """Handles records in batches, one batch at a time per process: the sinks."""

    async def handle_batch(self, deliveries: Sequence[Delivery[E_contra]]) -> None:
        """Handle a batch that is never empty; offsets ascend within each partition.

        Returns after the commit; then all of it is acknowledged. Cancelled as `Processor.handle` is. Whatever is
        raised stops the process: a record that does not fit is the sink's own to put aside.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it stands on the topic, for those who must say something about one that nobody could handle."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    timestamp_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings:
    """How one processor reads its one topic."""

    topic: str
    group: str
    """Consumer group, also Faust's app id."""

    instance: str
    """Static member id of this replica slot, such as `replies-0`: a restart within `session_timeout_s` costs no
    rebalance. Two running processes must never share one; the elder is then fenced by the broker."""

    max_in_flight: int = 100
    """Keyed work started at once. 100: a worker that waits for disks and brokers is busy well before that. Replies,
    which wait for agents, set 1,000."""

    max_unfinished_records: int = 50_000
    """Records read and not acknowledged, over all partitions; then reading pauses. Bounds memory and what a
    crash repeats."""

    max_unfinished_bytes: int = 64 * 2**20
    """The same in bytes of keys and values. 64 MiB."""

    batch_size: int = 500
    """Most records in one batch. 500: past that PostgreSQL gains little per row, and latency is lost."""

    batch_within_s: float = 0.05
    """How long a batch waits to fill, in seconds. 0.05: short beside what a person notices."""

    drain_s: float = 3.0
    """At SIGTERM: how long running work may go on, in seconds, before it is cancelled. 3: the process must have
    ended after 5. Replies let answers finish for 15."""

    revoke_drain_s: float = 0.5
    """The same at a rebalance. 0.5: the whole group stands still meanwhile. 0 for work that survives a revoke."""

    stall_s: float = 60.0
    """The watchdog: with lag, nothing in flight and nothing read for so long, the process exits and is restarted."""

    session_timeout_s: float = 6.0
    """How long the broker waits for a silent member, in seconds. 6: the broker's own lower limit."""

    heartbeat_s: float = 1.5
    """Seconds between heartbeats; a quarter of the session timeout, so that three may be lost."""

    rebalance_timeout_s: float = 10.0
    """How long a rebalance waits for members to rejoin, in seconds. Longer than any `revoke_drain_s`."""

    commit_interval_s: float = 0.5
    """Seconds between commits of acknowledged offsets: bounds what a crash repeats."""


# How a process runs its processor (the rest of this module is being written):
#
#   intake = Intake(settings, kafka, contract, processor, on_dead_letter=None)
#   await intake.run(stop)     # until `stop: asyncio.Event` is set (SIGTERM) and all is drained; raises what a bug raised
#   intake.ready               # bool: partitions known, `assigned` returned, not rebalancing
#   intake.figures()           # numbers for /metrics
#
# `on_dead_letter: Callable[[Record], Awaitable[None]]` is awaited after a record's dead letter is delivered and before
# the record is acknowledged.

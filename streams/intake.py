"""From a topic to a processor, so that nothing is lost and no key is overtaken."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from time import monotonic, time
from typing import Generic, Protocol, TypeVar, runtime_checkable

import structlog
from aiokafka.errors import KafkaError
from faust.types import Message, StreamT
from prometheus_client import REGISTRY

from infra.kafka import end_offsets
from infra.settings import KafkaSettings
from schemas.contract import Contract, Envelope, InvalidRecord
from schemas.dead_letters import Disposition, is_redriven
from streams.app import App
from streams.breaker import Breaker, BreakerLimits
from streams.dead_letters import DeadLetter, DeadLetters, Record
from streams.figures import Figures, IntakeFigures
from streams.tracker import Ticket, Tracker
from streams.watchdog import Sight, Watchdog
from streams.work import BatchWork, KeyedWork, Work

E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
E_contra = TypeVar("E_contra", contravariant=True)

log = structlog.get_logger(__name__)

_STOP_S = 1.0
"""How long Faust may take to stop, in seconds; it takes 0.2 where the broker answers. All is drained and committed by
then: what it leaves behind ends with the process."""

_WATCH_S = 5.0
"""Seconds between looks of the watchdog."""

_ANSWER_S = 5.0
"""How long the watchdog waits for the broker's word, in seconds, before it takes it for away."""


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
        as long as it must, and is cancelled, with `revoked` following, when the partitions go before it is done."""

    async def revoked(self, partitions: Set[int]) -> None:
        """Partitions are no longer ours; nothing of them is running any more. Must be quick: the group waits."""


class Processor(Owner, Protocol[E_contra]):
    """Handles records one at a time per key, many keys at once."""

    def is_control(self, event: E_contra) -> bool:
        """Whether this record passes lane and window."""

    async def control(self, delivery: Delivery[E_contra]) -> None:
        """Act on a control record, the moment it is read. Raises and is cancelled as `handle`."""

    async def handle(self, delivery: Delivery[E_contra]) -> None:
        """Handle one record; those of one key come one after the other, in offset order.

        Returns when the outputs are delivered and the state is updated: then the record is acknowledged. Is
        cancelled at a revoke or a stop whose drain time is over; the record then comes again, here or elsewhere.

        Raises:
            DeadLetter: the input is bad and can never be handled. Anything else that is raised stops the process.
        """


@runtime_checkable
class BatchProcessor(Owner, Protocol[E_contra]):
    """Handles records in batches, one batch at a time per process: the sinks."""

    async def handle_batch(self, deliveries: Sequence[Delivery[E_contra]]) -> None:
        """Handle a batch that is never empty; offsets ascend within each partition.

        Returns after the commit; then all of it is acknowledged. Cancelled as `Processor.handle` is. Whatever is
        raised stops the process: a record that does not fit is the sink's own to put aside.
        """


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
    """How long a record waits for others to fill its batch, in seconds. 0.05: a tenth of what makes a list feel slow.
    0 where somebody waits for the record: then a batch is what came while the one before was written."""

    dense: bool = True
    """Whether the topic's offsets have no holes: false only for compacted topics and transactional writers. A hole in
    a dense topic is a record that was lost on its way here; the process stops and reads it again."""

    drain_s: float = 2.0
    """At SIGTERM: how long running work may go on, in seconds, before it is cancelled. 2: the process must have
    ended after 5. Replies let answers finish for 15."""

    revoke_drain_s: float = 0.5
    """The same at a rebalance. 0.5: the whole group stands still meanwhile. 0 for work that survives a revoke."""

    stall_s: float = 60.0
    """The watchdog: with lag, nothing in flight and nothing read for so long, the process exits and is restarted."""

    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    """Where this much fails, the processor stands still instead of putting everything aside, until it is restarted."""

    session_timeout_s: float = 6.0
    """How long the broker waits for a silent member, in seconds. 6: the broker's own lower limit."""

    heartbeat_s: float = 0.5
    """Seconds between heartbeats, which also bring the news of a rebalance. 0.5: what a killed worker held is with the
    others 7 s later even if it is not started again, for two small requests a second."""

    rebalance_timeout_s: float = 10.0
    """How long a rebalance waits for members to rejoin, in seconds. Longer than any `revoke_drain_s`."""

    gather_s: float = 0.008
    """How long records gather at the broker after some were fetched, in seconds: a record that comes alone does not
    wait. 0.008: at 300 records a second fetching costs everybody a third, and nobody sees 4 ms."""

    commit_interval_s: float = 0.5
    """Seconds between commits of acknowledged offsets: bounds what a crash repeats."""


@dataclass(slots=True, eq=False)
class _Item(Generic[E]):
    """A record on its way through the work; `content` is what it decoded to, or why it did not."""

    record: Record
    ticket: Ticket
    content: Delivery[E] | InvalidRecord


class Stuck(RuntimeError):
    """There is something to read, nothing is in flight, and nothing has been read for too long."""


class Intake(Generic[E]):
    """Reads one topic for one processor, once per process.

    Args:
        on_dead_letter: awaited after a record's dead letter is delivered and before the record is acknowledged.
    """

    def __init__(
        self,
        settings: IntakeSettings,
        kafka: KafkaSettings,
        contract: Contract[E],
        processor: Processor[E] | BatchProcessor[E],
        on_dead_letter: Callable[[Record], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self._kafka = kafka
        self._contract = contract
        self._processor = processor
        # Asked once: asking a protocol costs as much as all the rest that is done for a record here.
        self._keyed = None if isinstance(processor, BatchProcessor) else processor
        self._on_dead_letter = on_dead_letter
        self._tracker = Tracker(dense=settings.dense)
        self._work: Work[_Item[E]] | None = None
        self._open = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        # Counts the times that partitions were ours: what was read in one is void in the next.
        self._holding = 0
        self._stopping = False
        self._read = 0
        self._breaker = Breaker(settings.breaker)
        self._tripped: str | None = None
        self._app = self._new_app()
        self._dead_letters = DeadLetters(self._app, settings.group)
        self._failure: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set and what was running has been drained.

        Raises:
            Exception: what a processor raised that is no `DeadLetter`, or what broke below it. Only what had finished
                is acknowledged; the process must end and be started anew.
        """
        figures = IntakeFigures(self._settings.topic, self._settings.group, self.figures)
        REGISTRY.register(figures)
        tasks = [asyncio.ensure_future(work) for work in (self._serve(), self._watch())]
        for task in tasks:
            task.add_done_callback(self._task_ended)
        stop: asyncio.Future[object] = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait({stop, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            self._stopping = True
            await self._close(0 if self._failure.done() else self._settings.drain_s)
            stop.cancel()
            for task in tasks:
                task.cancel()
            await self._stop_app()
        finally:
            REGISTRY.unregister(figures)
        if self._failure.done():
            self._failure.result()

    def not_ready(self) -> str | None:
        """Why no record is handled at the moment, or None where the partitions are known, prepared and read."""
        if self._tripped is not None:
            return self._tripped
        return None if self._open.is_set() else "waiting for partitions, or preparing them"

    def figures(self) -> Figures:
        """How it goes, for /metrics."""
        now_ms = time() * 1000
        watermarks = self._tracker.watermarks()
        oldest_ms = self._tracker.oldest_ms()
        ends = self._app.highwaters(watermarks)
        return Figures(
            in_flight=self._work.in_flight if self._work else 0,
            oldest_in_flight_s=self._work.oldest_s() if self._work else 0.0,
            unfinished_records=self._tracker.records,
            unfinished_bytes=self._tracker.bytes,
            read=self._read,
            dead_letters=self._dead_letters.count,
            breaker_open=self._tripped is not None,
            watermarks=watermarks,
            lag_records={p: max(0, ends.get(p, offset) - offset) for p, offset in watermarks.items()},
            lag_s={p: max(0.0, now_ms - oldest_ms.get(p, now_ms)) / 1000 for p in watermarks},
        )

    def partitions_came(self) -> None:
        """A rebalance is over: prepare what we have now. Records wait until that is done."""
        if self._stopping:
            return
        if self._tracker.partitions:
            self._fail(RuntimeError("a rebalance brought partitions before it had taken the others"))
            return
        self._work = work = self._new_work()
        work.start(self._prepare(), partial(self._prepared, work))

    async def partitions_go(self) -> None:
        """A rebalance has begun: end what is running, in bounded time."""
        await self._close(self._settings.revoke_drain_s)

    async def _prepare(self) -> None:
        positions = await self._app.consumer.start_offsets()
        self._tracker.open(positions)
        if positions:
            await self._processor.assigned(positions)

    def _prepared(self, work: Work[_Item[E]]) -> None:
        if not work.closed:  # else the next rebalance has begun, and what comes waits for what it will prepare
            self._open.set()

    async def _close(self, drain_s: float) -> None:
        self._open.clear()
        work = self._work
        if work is None:
            return
        await work.drain(drain_s)
        await self._app.consumer.commit_now()
        if work is self._work:  # else a rebalance came in the middle of a stop, and has done the rest
            self._work = None
            self._holding += 1
            gone = self._tracker.close()
            if self._tripped is None:
                self._room.set()
            if gone:
                await self._processor.revoked(gone)

    def _new_work(self) -> Work[_Item[E]]:
        settings, processor = self._settings, self._processor
        if isinstance(processor, BatchProcessor):
            handle = partial(self._handle_batch, processor)
            return BatchWork(settings.batch_size, settings.batch_within_s, handle, self._finished, self._fail)
        return KeyedWork(settings.max_in_flight, partial(self._handle, processor.handle), self._finished, self._fail)

    async def _receive(self, stream: StreamT[bytes]) -> None:
        async for event in stream.noack().events():  # type: ignore[attr-defined]  # it is on the class only
            await self._accept(event.message)

    async def _accept(self, message: Message) -> None:
        holding = self._holding
        await self._open.wait()
        await self._room.wait()
        if holding != self._holding or not self._open.is_set() or self._work is None:
            return  # a rebalance came between: whoever owns the partition now reads this again
        record = Record(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=list(message.headers or ()),  # type: ignore[arg-type]  # aiokafka gives pairs, never a mapping
            timestamp_ms=round(message.timestamp * 1000),
        )
        ticket = self._tracker.admit(record.partition, record.offset, record.size, record.timestamp_ms)
        self._read += 1
        content = self._decode(record)
        item = _Item(record, ticket, content)
        if self._keyed is not None and isinstance(content, Delivery) and self._keyed.is_control(content.event):
            self._work.start(self._handle(self._keyed.control, item), partial(self._finished, item))
        else:
            self._work.put(record.key or b"", item)
        if self._is_full():
            self._room.clear()

    def _decode(self, record: Record) -> Delivery[E] | InvalidRecord:
        try:
            event, envelope = self._contract.decode(record.value, record.headers)
        except InvalidRecord as error:
            return error
        return Delivery(
            event=event,
            envelope=envelope,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key or b"",
            timestamp_ms=record.timestamp_ms,
        )

    async def _handle(self, act: Callable[[Delivery[E]], Awaitable[None]], item: _Item[E]) -> None:
        if self._tripped is not None:
            await self._stand_still()
        if isinstance(item.content, InvalidRecord):
            await self._put_aside(item.record, item.content, Disposition.DECODE)
            return
        try:
            await act(item.content)
        except DeadLetter as error:
            await self._put_aside(item.record, error, error.disposition)
        else:
            self._breaker.handled(item.record.partition, monotonic())

    async def _handle_batch(self, processor: BatchProcessor[E], items: Sequence[_Item[E]]) -> None:
        if self._tripped is not None:
            await self._stand_still()
        for item in items:
            if isinstance(item.content, InvalidRecord):
                await self._put_aside(item.record, item.content, Disposition.DECODE)
            else:
                self._breaker.handled(item.record.partition, monotonic())
        if deliveries := [item.content for item in items if isinstance(item.content, Delivery)]:
            await processor.handle_batch(deliveries)

    async def _put_aside(self, record: Record, error: Exception, disposition: Disposition) -> None:
        # What an operator sends again has been counted when it failed first, and must stop nobody else's.
        if self._tripped is None and not is_redriven(record.headers):
            self._trip_at(self._breaker.stops(record.partition, monotonic()), error)
        if self._tripped is not None:
            await self._stand_still()
        await self._dead_letters.put(record, error, disposition)
        if self._on_dead_letter is not None:
            await self._on_dead_letter(record)

    def _trip_at(self, limit: str | None, error: Exception) -> None:
        if limit is None:
            return
        topic = self._settings.topic
        self._tripped = (
            f"stopped, so that not everything becomes a dead letter: {limit} of {topic}, the last with "
            f"{type(error).__qualname__}. Nothing is lost: see `chorus dlq show {topic}`, mend what fails, and restart "
            "this process"
        )
        self._room.clear()
        log.error("breaker open", topic=topic, limit=limit, error=type(error).__qualname__)

    async def _stand_still(self) -> None:
        """Neither handled, nor put aside, nor acknowledged: until a rebalance or the end cancels it, to come again."""
        await asyncio.get_running_loop().create_future()

    def _finished(self, item: _Item[E]) -> None:
        self._tracker.finish(item.ticket)
        if not self._is_full():
            self._room.set()

    def _is_full(self) -> bool:
        limits = self._settings
        return (
            self._tripped is not None
            or self._tracker.records >= limits.max_unfinished_records
            or self._tracker.bytes >= limits.max_unfinished_bytes
        )

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    def _task_ended(self, task: asyncio.Future[None]) -> None:
        if task.cancelled():
            if not self._stopping:
                self._fail(RuntimeError("the intake was cancelled from within"))
        elif (error := task.exception()) is not None:
            self._fail(error)

    async def _serve(self) -> None:
        await self._app.start()
        await self._app.wait_until_stopped()
        if self._app.crash_reason is not None:
            raise self._app.crash_reason

    async def _stop_app(self) -> None:
        stopped = asyncio.ensure_future(self._app.stop())
        await asyncio.wait({stopped}, timeout=_STOP_S)
        if not stopped.done():
            log.warning("Faust did not stop in time", seconds=_STOP_S)

    async def _watch(self) -> None:
        watchdog = Watchdog(self._settings.stall_s)
        while True:
            await asyncio.sleep(_WATCH_S)
            if watchdog.stuck(monotonic(), await self._look()):
                raise Stuck(f"nothing was read for {self._settings.stall_s} s, though there is something to read")

    async def _look(self) -> Sight:
        # A restart would begin to put aside anew: only the one that mends it may do that.
        busy = self._tripped is not None or (self._work is not None and self._work.in_flight > 0)
        positions = self._tracker.positions()
        behind: bool | None
        try:
            # On a connection of its own: a consumer that is stuck can be no witness for itself.
            async with asyncio.timeout(_ANSWER_S):
                ends = await end_offsets(self._kafka, self._settings.topic, set(positions) or {0})
        except (KafkaError, TimeoutError):
            behind = None
        else:
            behind = not self._open.is_set() or any(ends[p] > offset for p, offset in positions.items())
        return Sight(read=self._read, busy=busy, behind=behind)

    def _new_app(self) -> App:
        settings = self._settings
        app = App(
            bootstrap=self._kafka.bootstrap,
            group=settings.group,
            instance=settings.instance,
            topic=settings.topic,
            offsets=self._tracker,
            listener=self,
            session_timeout_s=settings.session_timeout_s,
            heartbeat_s=settings.heartbeat_s,
            rebalance_timeout_s=settings.rebalance_timeout_s,
            commit_interval_s=settings.commit_interval_s,
            gather_s=settings.gather_s,
        )
        topic = app.topic(settings.topic, key_serializer="raw", value_serializer="raw")
        app.agent(topic, name=f"{settings.group}-intake")(self._receive)
        return app

"""Faust, with what stands between its 0.15.3 and a commit that can be trusted.

Faust fetches, joins the group and carries records to us. It never acknowledges: what is committed is what our
`Offsets` say, and what ends a rebalance or a stop is our `Listener`.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol

import faust
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import CrashingSupervisor
from mode.services import WaitResults

# Faust names a service's logger after the module of its class, and tells at info level of every step it takes.
_log = logging.getLogger("faust.chorus")

_FETCH_WAIT_MS = 100
"""Longest wait of a fetch at the broker. Faust hard-codes 1,500, and a partition that had been left out of a fetch, for
being paused or unread, waits for the one that is under way."""

_COMMIT_S = 1.0
"""How long the last commit before a rebalance or a stop may take, in seconds; without it, records come again."""

_NEVER_S = 7 * 24 * 3600.0


class Offsets(Protocol):
    """How far each partition is acknowledged."""

    def uncommitted(self) -> Mapping[int, int]: ...

    def committed(self, offsets: Mapping[int, int]) -> None: ...


class Listener(Protocol):
    """Hears about partitions, in the main event loop."""

    def partitions_came(self) -> None:
        """A rebalance is over; the records of what we have now follow."""

    async def partitions_go(self) -> None:
        """A rebalance, or the end, has begun; no further record comes. The whole group waits for this to return."""


class _Thread(driver.AIOKafkaConsumerThread):
    """Faust's consumer, in the process' own event loop instead of a thread with another one.

    Two loops in two threads share one interpreter lock: each record that came woke a thread that then waited for the
    lock, up to 5 ms, and each call from one to the other was a system call more.
    """

    logger = _log
    app: "App"

    async def start(self) -> None:
        self._thread_started.set()
        self._thread_running = self.parent_loop.create_future()
        self._serving = asyncio.ensure_future(self._serve())
        await self._thread_running

    async def on_start(self) -> None:
        await super().on_start()
        assert self._consumer is not None
        _gather(self._consumer._fetcher, self.app.gather_s)

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = fun(*args, **kwargs)
        # Shielded, as it was in a thread: whoever waits may be cancelled, a commit that is under way is not.
        return await asyncio.shield(asyncio.ensure_future(result)) if inspect.isawaitable(result) else result

    async def _gather_remaining_tasks(self) -> None:
        """Faust's own cancels all tasks of the loop: here they are everybody's."""

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        return consumer


def _gather(fetcher: Any, gather_s: float) -> None:
    """Let records gather at the broker: after an answer that brought some, the next question waits this long. A fetch
    costs the same for one record as for fifty, and without a pause a stream of records is fetched one by one."""
    fetch = fetcher._proc_fetch_request
    not_before: dict[int, float] = {}
    clock = asyncio.get_running_loop().time

    async def gathered(assignment: Any, node_id: int, request: Any) -> bool:
        pause = not_before.get(node_id, 0.0) - clock()
        if pause > 0:
            try:
                await asyncio.sleep(pause)
            except asyncio.CancelledError:
                return False  # as the fetch itself answers when the consumer is closed
        brought: bool = await fetch(assignment, node_id, request)
        if brought:
            not_before[node_id] = clock() + gather_s
        return brought

    fetcher._proc_fetch_request = gathered


class Consumer(driver.Consumer):
    """Commits what our offsets say instead of guessing from acknowledgements and gaps."""

    logger = _log
    app: "App"
    _seen_committed: Mapping[TP, int | None] = {}
    _delivery: asyncio.Timeout | None = None

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        return {TP(self.app.input_topic, p): offset for p, offset in self.app.offsets.uncommitted().items()}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        done = await super()._commit(offsets)
        if done:
            self.app.offsets.committed({tp.partition: offset for tp, offset in offsets.items()})
        return done

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109 - Faust's signature
        """Faust starts four tasks for each record to wait until it is in its queue or a rebalance begins, though nearly
        always there is room and nothing to wait for. Without them a record costs half as much."""
        if len(coros) != 2:
            return await super().wait_first(*coros, timeout=timeout)
        deliver, suspended = coros
        suspended.close()
        if self.suspend_flow.is_set():
            deliver.close()
            return WaitResults([], [], False)
        try:
            async with asyncio.timeout(None) as self._delivery:
                await deliver
        except TimeoutError:
            pass  # a rebalance began: the record is dropped, and read again by whoever gets its partition
        finally:
            self._delivery = None
        return WaitResults([], [], False)

    def stop_flow(self) -> None:
        super().stop_flow()
        if self._delivery is not None:
            self._delivery.reschedule(asyncio.get_running_loop().time())

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps are Faust's way to guess what may be committed; nobody would ever clear them here."""

    async def wait_empty(self) -> None:
        """Called where a rebalance or a stop waits for work. Faust's own has no limit, and one leftover reference to a
        record, which its own agent loop holds, would keep it, and with it the group, waiting for ever."""
        await self.app.listener.partitions_go()

    async def commit_now(self) -> None:
        """Commit what is acknowledged, in bounded time; where that fails, records come again."""
        # Not `asyncio.timeout`: Faust swallows a cancellation while it waits for a commit that is under way.
        commit = asyncio.ensure_future(self._commit_after_the_running_one())
        await asyncio.wait({commit}, timeout=_COMMIT_S)
        if commit.done():
            commit.result()
        else:
            commit.cancel()
            self.log.warning("the last commit took longer than %s s; what it held comes again", _COMMIT_S)

    async def _commit_after_the_running_one(self) -> None:
        await self.maybe_wait_for_commit_to_finish()
        await self.force_commit()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        committed = await super().seek_to_committed()
        self._seen_committed = committed
        return committed

    async def start_offsets(self) -> dict[int, int]:
        """For each partition that is ours, the offset from which the group reads: the committed, else the first."""
        mine = {tp for tp in self.assignment() if tp.topic == self.app.input_topic}
        known = {tp: offset for tp in mine if (offset := self._seen_committed.get(tp)) is not None}
        unknown = mine - known.keys()
        first = await self.earliest_offsets(*unknown) if unknown else {}
        return {tp.partition: offset for tp, offset in {**first, **known}.items()}

    async def verify_all_partitions_active(self) -> None:
        """Faust's own detector only logs, and takes long work and quiet topics for trouble; see `streams.watchdog`."""


class Producer(driver.Producer):
    logger = _log

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}  # Faust does so only for its transactions


class Transport(driver.Transport):
    Consumer: ClassVar[type[Any]] = Consumer
    Producer: ClassVar[type[Any]] = Producer


class App(faust.App):
    """One processor's Faust app: one group, one input topic, no tables, no web server, nothing declared.

    Must be made inside the running event loop.
    """

    logger = _log
    consumer: Consumer

    def __init__(
        self,
        *,
        bootstrap: str,
        group: str,
        instance: str,
        topic: str,
        offsets: Offsets,
        listener: Listener,
        session_timeout_s: float,
        heartbeat_s: float,
        rebalance_timeout_s: float,
        commit_interval_s: float,
        gather_s: float,
    ) -> None:
        self.gather_s = gather_s
        self.offsets = offsets
        self.listener = listener
        self.input_topic = topic
        super().__init__(
            group,
            broker=";".join(f"kafka://{host.strip()}" for host in bootstrap.split(",")),
            broker_client_id=instance,
            consumer_group_instance_id=instance,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=session_timeout_s,
            broker_heartbeat_interval=heartbeat_s,
            broker_rebalance_timeout=rebalance_timeout_s,
            broker_commit_interval=commit_interval_s,
            # A dependency may be away for days while we hold what was read: that is no reason to leave the group.
            broker_max_poll_interval=_NEVER_S,
            broker_max_poll_records=500,
            # What lies in Faust's queue is beyond our bounds and is dropped at a rebalance: keep it short.
            stream_buffer_maxsize=500,
            agent_supervisor=CrashingSupervisor,
            table_standby_replicas=0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            producer_max_request_size=2 * 2**20,
            web_enabled=False,
        )

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Transport:
        return Transport(self.conf.broker_producer, self)

    def _create_directories(self) -> None:
        """Faust makes folders for tables; there are none."""

    def on_rebalance_end(self) -> None:
        super().on_rebalance_end()
        self.listener.partitions_came()

    def highwaters(self, partitions: Iterable[int]) -> dict[int, int]:
        """For each of these partitions, ours, the offset after its last record, where a fetch has told it already."""
        known: dict[int, int | None] = {p: self.consumer.highwater(TP(self.input_topic, p)) for p in partitions}
        return {partition: offset for partition, offset in known.items() if offset is not None}

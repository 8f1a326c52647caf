"""Ways in which plain Faust 0.15.3 forgets records, each shown there and shown to be closed here.

Both sides use the real Faust classes; only the last step, the commit request to the broker, is a stand-in. When an
upgrade of Faust makes one of the `plain` assertions fail, that hole is mended upstream: look whether our part of it can
go.
"""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import Any, cast

import faust
import pytest
from faust import streams as faust_streams
from faust.streams import Stream
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from infra.settings import KafkaSettings
from streams import app as ours
from streams.intake import Delivery, Intake, IntakeSettings
from streams.tracker import Ticket, Tracker
from tests.streams.worker import Numbered, contract

TOPIC = "numbers"
PARTITION = TP(TOPIC, 0)
NOBODY = "127.0.0.1:1"


class Broker:
    """Takes commits for the one partition and keeps the last."""

    def __init__(self) -> None:
        self.committed: int | None = None
        self.refuses = False

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        if self.refuses:
            return False
        self.committed = offsets[PARTITION]
        return True


def _connect(consumer: driver.Consumer, broker: Broker) -> None:
    thread = cast(Any, consumer._thread)
    thread.commit = broker.commit
    thread.assignment = lambda: {PARTITION}
    cast(Any, consumer.app.producer).flush = _nothing


async def _nothing() -> None:
    pass


def _message(offset: int) -> ConsumerMessage:
    value, headers = contract(TOPIC).encode(Numbered(n=offset), id="1", source="/test", time=datetime.now(UTC))
    return ConsumerMessage(TOPIC, 0, offset, 0.0, 0, headers, b"key", value, None, tp=PARTITION, generation_id=0)


class PlainFaust:
    """Faust as it is, acknowledging each record when it is done with."""

    def __init__(self, committed: int | None, *, revoked: Callable[[], Awaitable[None]] = _nothing) -> None:
        self.broker = Broker()
        self.app = faust.App("plain", broker=f"kafka://{NOBODY}", web_enabled=False)

        async def on_revoked(_partitions: set[TP]) -> None:
            await revoked()

        self.consumer = driver.Transport(self.app.conf.broker_consumer, self.app).create_consumer(
            callback=_nothing, on_partitions_revoked=on_revoked, on_partitions_assigned=_nothing
        )
        self.app.consumer = self.consumer
        self.app.topics._acking_topics.add(TOPIC)
        self.consumer._committed_offset[PARTITION] = committed
        _connect(self.consumer, self.broker)
        self.messages: dict[int, ConsumerMessage] = {}
        self._last: int | None = committed - 1 if committed else None

    async def read(self, *offsets: int) -> None:
        """As the consumer's own loop does, with what it takes for a gap."""
        for offset in offsets:
            if self._last is not None and offset - self._last > 1:
                await self.consumer._add_gap(PARTITION, self._last + 1, offset)
            self._last = offset
            self.messages[offset] = _message(offset)
            self.consumer.track_message(self.messages[offset])

    def finish(self, *offsets: int) -> None:
        for offset in offsets:
            self.consumer.ack(self.messages[offset])

    def close(self) -> None:
        self.consumer._thread.thread_loop.close()


class Ours:
    """The same with our consumer and tracker."""

    def __init__(
        self, committed: int | None, *, revoked: Callable[[], Awaitable[None]] = _nothing, dense: bool = True
    ) -> None:
        self.broker = Broker()
        self.tracker = Tracker(dense=dense)
        self.tracker.open({0: committed or 0})
        self._revoked = revoked
        self.app = ours.App(
            bootstrap=NOBODY,
            group="ours",
            instance="ours-0",
            topic=TOPIC,
            offsets=self.tracker,
            listener=self,
            session_timeout_s=6,
            heartbeat_s=1.5,
            rebalance_timeout_s=10,
            commit_interval_s=0.5,
            gather_s=0,
        )

        async def on_revoked(_partitions: set[TP]) -> None:
            await self.consumer.wait_empty()  # as the app does, after it has stopped the flow

        self.consumer = cast(
            ours.Consumer,
            self.app.transport.create_consumer(
                callback=_nothing, on_partitions_revoked=on_revoked, on_partitions_assigned=_nothing
            ),
        )
        self.app.consumer = self.consumer
        _connect(self.consumer, self.broker)
        self.messages: list[ConsumerMessage] = []
        self.tickets: dict[int, Ticket] = {}

    def partitions_came(self) -> None:
        pass

    async def partitions_go(self) -> None:
        await self._revoked()
        await self.consumer.commit_now()

    async def read(self, *offsets: int) -> None:
        for offset in offsets:
            self.messages.append(_message(offset))
            self.consumer.track_message(self.messages[-1])
            self.tickets[offset] = self.tracker.admit(0, offset, size=1, timestamp_ms=0)

    def finish(self, *offsets: int) -> None:
        for offset in offsets:
            self.tracker.finish(self.tickets[offset])

    def close(self) -> None:
        """It has no loop of its own."""


@pytest.fixture
async def worlds() -> AsyncIterator[Callable[..., tuple[PlainFaust, Ours]]]:
    """`worlds(committed)` → plain Faust and ours, both holding one partition of which so much is committed."""
    made: list[PlainFaust | Ours] = []

    def make(committed: int | None, *, dense: bool = True) -> tuple[PlainFaust, Ours]:
        pair = PlainFaust(committed), Ours(committed, dense=dense)
        made.extend(pair)
        return pair

    yield make
    for world in made:
        world.close()


Worlds = Callable[..., tuple[PlainFaust, Ours]]


def test_faust_runs_with_its_extension() -> None:
    """What is judged here is the compiled iterator, which is what runs in production."""
    assert not os.environ.get("NO_CYTHON")
    assert faust_streams._CStreamIterator is not None


async def test_a_record_in_flight_is_not_committed_over(worlds: Worlds) -> None:
    """Hole 1: the first unfinished record, right behind the committed offset, is not passed by later ones."""
    plain, own = worlds(10)
    for world in (plain, own):
        await world.read(10, 11, 12, 13)
        world.finish(11, 12, 13)
        await world.consumer.commit()

    assert plain.broker.committed == 14
    assert own.broker.committed is None


@pytest.mark.parametrize("committed", [pytest.param(None, id="new group"), pytest.param(0, id="committed 0")])
async def test_a_new_group_commits_nothing_over_its_first_records(worlds: Worlds, committed: int | None) -> None:
    """Hole 2: a group that has committed nothing yet waits for its first records all the same."""
    plain, own = worlds(committed)
    for world in (plain, own):
        await world.read(0, 1, 2, 3)
        world.finish(2, 3)
        await world.consumer.commit()

    assert plain.broker.committed == 4
    assert own.broker.committed is None


async def test_a_gap_between_offsets_swallows_no_record(worlds: Worlds) -> None:
    """Hole 3: where offsets are missing, the record after the gap is still waited for."""
    plain, own = worlds(10, dense=False)
    for world in (plain, own):
        await world.read(10, 12, 13)
        world.finish(10, 13)
        await world.consumer.commit()

    assert plain.broker.committed == 14
    assert own.broker.committed == 11

    own.finish(12)
    await own.consumer.commit()
    assert own.broker.committed == 14


async def test_a_revoke_commits_what_is_done_and_nothing_else() -> None:
    """Hole 4: at a rebalance what was finished is committed, and what was not is not passed by what finishes late."""

    async def finish_late() -> None:
        plain.finish(14)
        await plain.consumer.commit()

    async def finish_late_here() -> None:
        own.finish(14)

    plain = PlainFaust(10, revoked=finish_late)
    own = Ours(10, revoked=finish_late_here)
    for world in (plain, own):
        await world.read(10, 11, 12, 13, 14)
        world.finish(10, 11)
        await world.consumer.on_partitions_revoked({PARTITION})
        world.close()

    assert plain.broker.committed == 15
    assert own.broker.committed == 12


async def test_a_commit_that_the_broker_refused_is_made_again(worlds: Worlds) -> None:
    """Hole 5: only what the broker took counts as committed."""
    plain, own = worlds(10)
    for world in (plain, own):
        await world.read(10)
        world.finish(10)
        world.broker.refuses = True
        await world.consumer.commit()
        world.broker.refuses = False
        await world.consumer.commit()

    assert plain.broker.committed is None
    assert own.broker.committed == 11


async def test_a_leftover_reference_does_not_hold_up_a_rebalance(worlds: Worlds) -> None:
    """The wait for running work ends although somebody still refers to a record that will never be finished."""
    plain, own = worlds(10)
    for world in (plain, own):
        await world.read(10, 11)
        world.finish(10)

    waiting = asyncio.ensure_future(plain.consumer.wait_empty())
    await asyncio.wait({waiting}, timeout=2.5)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=1)
    assert not waiting.done()  # it does not even listen to being cancelled
    plain.finish(11)
    await asyncio.wait_for(waiting, 5)

    await asyncio.wait_for(own.consumer.wait_empty(), 2.5)
    assert own.broker.committed == 11


def _stream(plain: PlainFaust) -> Stream[bytes]:
    topic = plain.app.topic(TOPIC, key_serializer="raw", value_serializer="raw")
    plain.app.consumer_generation_id = 0
    plain.app.flow_control.resume()
    return cast("Stream[bytes]", topic.stream())


async def _deliver(stream: Stream[bytes], *offsets: int) -> None:
    for offset in offsets:
        message = _message(offset)
        message.incref()
        event = stream.app.create_event(message.key, message.value, None, message)
        await stream.channel.queue.put(event)


class Bug(Exception):
    """What a processor raises when it is wrong."""


class Failing:
    """A processor whose work never gets done: it raises, or goes on until it is ended."""

    def __init__(self, *, raises: bool) -> None:
        self._raises = raises
        self.begun = asyncio.Event()

    async def assigned(self, partitions: Mapping[int, int]) -> None: ...

    async def revoked(self, partitions: Set[int]) -> None: ...

    async def _work(self) -> None:
        self.begun.set()
        if self._raises:
            raise Bug
        await asyncio.Event().wait()


class FailingByKey(Failing):
    def is_control(self, event: Numbered) -> bool:
        return False

    async def control(self, delivery: Delivery[Numbered]) -> None: ...

    async def handle(self, delivery: Delivery[Numbered]) -> None:
        await self._work()


class FailingInBatches(Failing):
    async def handle_batch(self, deliveries: Sequence[Delivery[Numbered]]) -> None:
        await self._work()


async def _begin(processor: FailingByKey | FailingInBatches) -> tuple[Intake[Numbered], Broker]:
    """An intake that has given its processor the records 10 and 11."""
    settings = IntakeSettings(topic=TOPIC, group="ours", instance="ours-0")
    intake = Intake(settings, KafkaSettings(NOBODY), contract(TOPIC), processor)
    broker = Broker()
    consumer = cast(Any, intake._app.consumer)
    _connect(consumer, broker)

    async def start_offsets() -> dict[int, int]:
        return {0: 10}

    consumer.start_offsets = start_offsets
    intake.partitions_came()
    await intake._accept(_message(10))
    await intake._accept(_message(11))
    await processor.begun.wait()
    return intake, broker


@pytest.mark.parametrize("how", [FailingByKey, FailingInBatches])
async def test_a_record_whose_handling_raised_is_not_acknowledged(
    worlds: Worlds, how: type[FailingByKey] | type[FailingInBatches]
) -> None:
    """Hole 6: a bug stops the intake, and the record that met it is read again by the next process."""
    plain, _ = worlds(10)

    async def agent(stream: Stream[bytes]) -> None:
        async for _value in stream:
            raise Bug

    stream = _stream(plain)
    await _deliver(stream, 10)
    with pytest.raises(Bug):
        await agent(stream)
    await _collected()
    await plain.consumer.commit()
    assert plain.broker.committed == 11

    intake, broker = await _begin(how(raises=True))
    with pytest.raises(Bug):
        await intake._failure
    await intake._close(0)
    assert broker.committed is None


async def test_a_batch_that_raised_is_not_acknowledged(worlds: Worlds) -> None:
    """Faust's `take` acknowledges a batch whatever became of it; a batch here only once it is written."""
    plain, _ = worlds(10)

    async def agent(stream: Stream[bytes]) -> None:
        async for _batch in stream.take(2, within=5):
            raise Bug

    stream = _stream(plain)
    await _deliver(stream, 10, 11)
    with pytest.raises(Bug):
        await agent(stream)
    await _collected()
    await plain.consumer.commit()
    await stream.stop()
    assert plain.broker.committed == 12

    intake, broker = await _begin(FailingInBatches(raises=True))
    with pytest.raises(Bug):
        await intake._failure
    await intake._close(0)
    assert broker.committed is None


async def test_a_batch_that_was_cut_off_is_not_acknowledged(worlds: Worlds) -> None:
    """The same where a stop or a rebalance cuts off a batch in the middle of being written."""
    plain, _ = worlds(10)
    writing = asyncio.Event()

    async def agent(stream: Stream[bytes]) -> None:
        async for _batch in stream.take(2, within=5):
            writing.set()
            await asyncio.Event().wait()

    stream = _stream(plain)
    await _deliver(stream, 10, 11)
    task = asyncio.create_task(agent(stream))
    await writing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await _collected()
    await plain.consumer.commit()
    await stream.stop()
    assert plain.broker.committed == 12

    intake, broker = await _begin(FailingInBatches(raises=False))
    await intake._close(0)
    assert broker.committed is None


async def _collected() -> None:
    """Abandoned generators run their `finally` when they are collected."""
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.01)

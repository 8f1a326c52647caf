"""What an intake promises its processor, on the real broker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord, TopicPartition

from infra.settings import KafkaSettings
from streams.dead_letters import DeadLetter, Record
from streams.intake import BatchProcessor, Delivery, Intake, IntakeSettings, Processor, Stuck
from tests.running import Stack
from tests.streams.conftest import MakeTopic
from tests.streams.worker import Numbered, contract


class Bug(Exception):
    """What a processor raises when it is wrong."""


class Gated:
    """Handles by key what its gate lets through; `n` of records, in the order in which things happened to them."""

    def __init__(self) -> None:
        self.positions: list[Mapping[int, int]] = []
        self.begun: list[int] = []
        self.done: list[int] = []
        self.controls: list[int] = []
        self.gate = asyncio.Event()
        self.prepared = asyncio.Event()
        self.prepared.set()

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        self.positions.append(partitions)
        await self.prepared.wait()

    async def revoked(self, partitions: Set[int]) -> None: ...

    def is_control(self, event: Numbered) -> bool:
        return event.urgent

    async def control(self, delivery: Delivery[Numbered]) -> None:
        self.controls.append(delivery.event.n)

    async def handle(self, delivery: Delivery[Numbered]) -> None:
        self.begun.append(delivery.event.n)
        await self.gate.wait()
        if delivery.event.unfit:
            raise DeadLetter("it says itself that it is unfit")
        if delivery.event.n < 0:
            raise Bug
        self.done.append(delivery.event.n)


class Batching(Gated):
    async def handle_batch(self, deliveries: Sequence[Delivery[Numbered]]) -> None:
        self.begun.append(len(deliveries))
        await self.gate.wait()
        self.done += [d.event.n for d in deliveries]


class OnTopic:
    """One topic of one test: write to it, read it, run intakes on it."""

    def __init__(self, stack: Stack, topic: str, producer: AIOKafkaProducer) -> None:
        self.topic = topic
        self.kafka = KafkaSettings(stack.kafka)
        self.producer = producer
        self._contract = contract(topic)

    async def send(self, *events: Numbered, key: str = "key") -> None:
        for event in events:
            value, headers = self._contract.encode(event, id=str(uuid4()), source="/test", time=datetime.now(UTC))
            await self.producer.send(self.topic, value, key=key.encode(), headers=headers)
        await self.producer.flush()

    async def dead_letters(self, count: int) -> list[ConsumerRecord[bytes, bytes]]:
        consumer = AIOKafkaConsumer(
            f"{self.topic}-dlq", bootstrap_servers=self.kafka.bootstrap, auto_offset_reset="earliest"
        )
        async with consumer:
            return [await asyncio.wait_for(consumer.getone(), 20) for _ in range(count)]

    async def committed(self) -> int | None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap, group_id=f"{self.topic}-readers")
        async with consumer:
            offset: int | None = await consumer.committed(TopicPartition(self.topic, 0))
            return offset

    @asynccontextmanager
    async def intake(
        self,
        processor: Processor[Numbered] | BatchProcessor[Numbered],
        on_dead_letter: Callable[[Record], Awaitable[None]] | None = None,
        **settings: Any,
    ) -> AsyncIterator[Intake[Numbered]]:
        """Run an intake; leaving stops it as SIGTERM does."""
        options = {"topic": self.topic, "group": f"{self.topic}-readers", "instance": "slot-0"} | settings
        intake = Intake(IntakeSettings(**options), self.kafka, self._contract, processor, on_dead_letter)
        stopping = asyncio.Event()
        running = asyncio.create_task(intake.run(stopping))
        try:
            yield intake
        finally:
            stopping.set()
            await running


@pytest.fixture
async def on(stack: Stack, make_topic: MakeTopic) -> AsyncIterator[OnTopic]:
    topic = make_topic(1)
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as producer:
        yield OnTopic(stack, topic, producer)


async def until(what: str, is_so: Callable[[], bool]) -> None:
    deadline = monotonic() + 30
    while not is_so():
        assert monotonic() < deadline, f"not within 30 s: {what}"
        await asyncio.sleep(0.01)


def _numbers(count: int) -> list[Numbered]:
    return [Numbered(n=n) for n in range(count)]


async def test_what_cannot_be_handled_is_put_aside_as_it_is(on: OnTopic) -> None:
    """A record that does not decode, and one that its processor refuses, are dead letters with their own bytes, key and
    headers; somebody is told; what follows goes on, and all of it is acknowledged."""
    told: list[int] = []

    async def tell(record: Record) -> None:
        told.append(record.offset)

    processor = Gated()
    processor.gate.set()
    headers = [("ce_type", b"nothing.we.know"), ("ce_type", b"twice"), ("x", b"\xff")]
    await on.producer.send_and_wait(on.topic, b"\x00no json", key=b"\xfe", headers=headers)
    await on.send(Numbered(n=1, unfit=True), Numbered(n=2))
    async with on.intake(processor, tell):
        await until("the good one is handled", lambda: processor.done == [2])
        bad, unfit = await on.dead_letters(2)
        if bad.key != b"\xfe":
            bad, unfit = unfit, bad

    assert (bad.value, bad.key, list(bad.headers[:3])) == (b"\x00no json", b"\xfe", headers)
    added = dict(bad.headers[3:])
    assert added.pop("dlq.orig.timestamp").isdigit()
    assert datetime.fromisoformat(added.pop("dlq.first_failed_at").decode()).tzinfo is not None
    assert added.pop("dlq.error.message").startswith(b"no CloudEvents 1.0 record")
    assert added == {
        "dlq.orig.topic": on.topic.encode(),
        "dlq.orig.partition": b"0",
        "dlq.orig.offset": b"0",
        "dlq.consumer.group": f"{on.topic}-readers".encode(),
        "dlq.stage": b"intake",
        "dlq.error.class": b"InvalidRecord",
        "dlq.attempts": b"1",
        "dlq.disposition": b"decode",
    }
    assert dict(unfit.headers)["dlq.disposition"] == b"rejected"
    assert dict(unfit.headers)["ce_type"] == Numbered.type.encode()
    assert sorted(told) == [0, 1]
    assert await on.committed() == 3


async def test_control_records_pass_lane_and_window(on: OnTopic) -> None:
    """A control record acts although its key is busy and no more work may start."""
    processor = Gated()
    await on.send(Numbered(n=0), Numbered(n=1), Numbered(n=2, urgent=True))
    async with on.intake(processor, max_in_flight=1):
        await until("the control record acts", lambda: processor.controls == [2])
        assert processor.begun == [0]
        processor.gate.set()
        await until("the others follow", lambda: processor.done == [0, 1])


async def test_reading_stops_at_its_bounds_and_goes_on(on: OnTopic) -> None:
    """No more than so many unfinished records are held; when there is room again, the rest is read."""
    processor = Gated()
    await on.send(*_numbers(50))
    async with on.intake(processor, max_unfinished_records=7) as intake:
        await until("the bound is reached", lambda: intake.figures().unfinished_records == 7)
        await on.send(Numbered(n=50, urgent=True))
        await asyncio.sleep(0.5)  # time in which it must not read on
        assert intake.figures().read == 7
        assert processor.controls == []
        processor.gate.set()
        await until("all is handled", lambda: processor.done == list(range(50)) and processor.controls == [50])


async def test_a_bug_stops_the_intake_and_its_record_comes_again(on: OnTopic) -> None:
    """What a processor raises ends the run; the record that met the bug, and what waited behind it, come again."""
    broken = Gated()
    broken.gate.set()
    await on.send(Numbered(n=0), Numbered(n=-1), Numbered(n=2))
    with pytest.raises(Bug):
        async with on.intake(broken) as intake:
            await asyncio.wait_for(asyncio.wait({intake._failure}), 30)
    assert broken.done == [0]

    assert await on.committed() == 1

    again = Gated()
    async with on.intake(again):
        await until("it comes again", lambda: again.begun == [-1])


async def test_nothing_is_handled_before_the_partitions_are_prepared(on: OnTopic) -> None:
    """`assigned` hears where its group reads on, the first time at the beginning, and records wait until it returns."""
    first = Gated()
    first.prepared.clear()
    first.gate.set()
    await on.send(Numbered(n=0), Numbered(n=1, urgent=True), Numbered(n=2))
    async with on.intake(first) as intake:
        await until("it is asked to prepare", lambda: first.positions == [{0: 0}])
        assert intake.not_ready() is not None
        await asyncio.sleep(0.3)  # time in which it must handle nothing
        assert first.begun == first.controls == []
        first.prepared.set()
        await until("all is handled", lambda: (first.done, first.controls) == ([0, 2], [1]))
        assert intake.not_ready() is None

    second = Gated()
    second.gate.set()
    await on.send(Numbered(n=3))
    async with on.intake(second):
        await until("it goes on from there", lambda: second.done == [3])
    assert second.positions == [{0: 3}]


async def test_a_stop_lets_running_work_finish_in_time(on: OnTopic) -> None:
    """Work that ends within the drain time is acknowledged; what takes longer is cut off, and comes again."""
    quick = Gated()
    await on.send(*_numbers(2))
    async with on.intake(quick, drain_s=5):
        await until("it is running", lambda: quick.begun == [0])
        asyncio.get_running_loop().call_later(0.5, quick.gate.set)
    assert quick.done == [0]  # and 1 did not start any more
    assert await on.committed() == 1

    slow = Gated()
    async with on.intake(slow, drain_s=0.5):
        await until("it is running", lambda: slow.begun == [1])
        began = monotonic()
    assert monotonic() - began < 4
    assert await on.committed() == 1


async def test_sinks_get_batches_in_order(on: OnTopic) -> None:
    """One batch at a time, full where there is enough, offsets in order, acknowledged after it is written."""
    sink = Batching()
    await on.send(*_numbers(25))
    await on.producer.send_and_wait(on.topic, b"no json", key=b"key")
    async with on.intake(sink, batch_size=10):
        await until("a batch is being written", lambda: sink.begun == [10])
        assert await on.committed() is None
        sink.gate.set()
        await until("all is written", lambda: sink.done == list(range(25)))
        assert sink.begun == [10, 10, 5]
        await on.dead_letters(1)
    assert await on.committed() == 26


@pytest.mark.slow
async def test_an_intake_that_stopped_reading_ends_itself(on: OnTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    """With something to read, nothing in flight and nothing read, the process ends and is started anew; with work in
    flight for just as long it does not."""
    monkeypatch.setattr("streams.intake._WATCH_S", 0.2)
    processor = Gated()

    async def stop_reading() -> None:
        async with on.intake(processor, stall_s=2) as intake:
            await until("work is in flight", lambda: processor.begun == [0])
            intake._app.consumer.stop_flow()
            await on.send(Numbered(n=1))
            done, _ = await asyncio.wait({intake._failure}, timeout=4)
            assert not done
            processor.gate.set()
            await asyncio.wait({intake._failure}, timeout=20)

    await on.send(Numbered(n=0))
    with pytest.raises(Stuck):
        await stop_reading()
    assert processor.done == [0]

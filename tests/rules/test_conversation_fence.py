"""A partition has one writer, or none."""

import asyncio
from typing import NoReturn, cast

import pytest
from aiokafka.errors import KafkaTimeoutError, OutOfOrderSequenceNumber
from aiokafka.structs import RecordMetadata, TopicPartition

from infra.kafka import Publisher
from schemas import events
from streams.workers.facts import FactLog
from tests.rules.talk import Talk


class Left(BaseException):
    """Stands for the end of the process."""


class Broker:
    """Takes records, and reports on them when it is told to."""

    def __init__(self) -> None:
        self.reports: list[asyncio.Future[RecordMetadata]] = []
        self.taken = asyncio.Semaphore(0)
        self.full = 0

    async def enqueue(self, *_args: object, **_record: object) -> "asyncio.Future[RecordMetadata]":
        await asyncio.sleep(0)
        if self.full:
            self.full -= 1
            raise KafkaTimeoutError
        self.reports.append(asyncio.get_running_loop().create_future())
        self.taken.release()
        return self.reports[-1]

    def stands_at(self, n: int, offset: int, partition: int = 3) -> None:
        """The n-th record is stored there."""
        where = TopicPartition("conversation-events", partition)
        self.reports[n].set_result(RecordMetadata(where.topic, where.partition, where, offset, None, 0, 0))


class Writer:
    """A fact log that owns partition 3, which ends at offset 100; instead of leaving it notes why."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.left: list[str] = []
        self.log = FactLog(cast(Publisher, self.broker), self._leave)
        self.log.open({3: 100})

    def _leave(self, reason: str) -> NoReturn:
        self.left.append(reason)
        raise Left

    async def write(self) -> "asyncio.Task[int]":
        """Begin to write a record."""
        writing = asyncio.create_task(self.log.append(3, record(), None))
        await self.broker.taken.acquire()
        return writing


def record() -> events.ConversationAdvanced:
    return Talk().records[0]


@pytest.fixture
async def writer() -> Writer:
    # What `_leave` raises in a callback is the end of a process elsewhere, no error to be told of here.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    return Writer()


async def test_each_record_has_the_offset_after_the_last(writer: Writer) -> None:
    """Several lanes that write at once each learn the offset of their own record."""
    writing = [await writer.write() for _ in range(3)]
    for n in range(3):
        writer.broker.stands_at(n, 100 + n)

    assert [100, 101, 102] == await asyncio.gather(*writing)
    assert [] == writer.left


async def test_another_offset_is_a_second_writer(writer: Writer) -> None:
    """The process leaves before whoever waits for the report can go on."""
    one, two = await writer.write(), await writer.write()
    went_on = False

    def goes_on(_: "asyncio.Task[int]") -> None:
        nonlocal went_on
        went_on = True
        assert writer.left

    two.add_done_callback(goes_on)
    writer.broker.stands_at(0, 100)
    writer.broker.stands_at(1, 102)
    await asyncio.gather(one, two)

    assert went_on
    assert ["second writer"] == [reason[-13:] for reason in writer.left]


async def test_another_partition_is_no_better(writer: Writer) -> None:
    """The offset alone proves nothing in another partition."""
    writing = await writer.write()
    writer.broker.stands_at(0, 100, partition=4)
    await writing

    assert 1 == len(writer.left)


async def test_not_to_know_is_to_leave(writer: Writer) -> None:
    """A failed delivery may have been one: nothing can be decided on top of it."""
    writing = await writer.write()
    writer.broker.reports[0].set_exception(OutOfOrderSequenceNumber())
    with pytest.raises(OutOfOrderSequenceNumber):
        await writing

    assert 1 == len(writer.left)


async def test_a_report_that_nobody_waits_for_is_checked(writer: Writer) -> None:
    """A lane that was cancelled has still written; its report says whether we are alone."""
    writing = await writer.write()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    writer.broker.stands_at(0, 101)
    await asyncio.sleep(0.01)

    assert 1 == len(writer.left)


async def test_a_full_producer_is_waited_for(writer: Writer) -> None:
    """What found no room beside what waits for the broker was not enqueued, and is tried again."""
    writer.broker.full = 2
    writing = await writer.write()
    writer.broker.stands_at(0, 100)

    assert 100 == await writing
    assert [] == writer.left

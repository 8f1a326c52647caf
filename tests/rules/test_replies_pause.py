"""A replies worker that has stood still, or lost its partition, believes nothing that it knew before. The log is a
list; there is no broker."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from agents.catalog import Agent, AgentConfig
from agents.script import Manner
from agents.scripted import Scripted
from infra.settings import KafkaSettings
from schemas import ids
from schemas.contract import Envelope
from schemas.events import AgentRef, AgentRequest, AnswerRequested, ContextMessage
from schemas.sealing import DataKey
from streams.intake import Delivery
from streams.rules.replies import Ended, Memory, Report, Started
from streams.workers.calls import Fenced, Means, Reports
from streams.workers.recall import Recall
from streams.workers.replies import Replies

PAUSE_S = 0.2
KEY = DataKey.of(ids.new_id(), b"k" * 32)


class Log(Recall, Reports):
    """The reports of one run. `others` are what another worker writes while this one stands still.

    Args:
        slow_s: how long a report takes; the process stands still for so long.
    """

    def __init__(self, run_id: str, others: list[Report], slow_s: float = 0) -> None:
        Recall.__init__(self, KafkaSettings())
        self._run_id = run_id
        self._others = others
        self._slow_s = slow_s
        self.written: list[Report] = []
        self.repeated: list[object] = []

    def stand_still(self, seconds: float) -> None:
        time.sleep(seconds)
        self.written += self._others

    async def at_assignment(self, positions: Mapping[int, int], memories: Mapping[int, Memory]) -> None:
        await self.back_to(0, 0, memories[0])

    async def back_to(self, requested_ms: int, partition: int, memory: Memory) -> None:
        doubts, read = memory.doubts, list(self.written)
        for offset, report in enumerate(read):
            memory.note(self._run_id, offset, report, 0)
        memory.was_read(0, 0, len(read), doubts)

    async def report_at(self, partition: int, offset: int) -> Any:
        return self.written[offset]

    async def started(self, request: AnswerRequested, attempt: int, traceparent: str | None) -> int:
        if self._slow_s:
            self.stand_still(self._slow_s)
        self.written.append(Started(attempt))
        return len(self.written) - 1

    async def again(self, report: Any) -> None:
        self.repeated.append(report)


class Called(Exception):
    """The agent would be called now."""


class Everything:
    """Catalog, keyring, purse and teller, for a call that ends where it would begin."""

    async def agent(self, ref: AgentRef) -> Agent:
        return Agent(AgentConfig(kind="scripted"), Scripted(Manner()))

    async def keys(self, user_ids: object) -> dict[str, DataKey]:
        return {KEY.owner_id: KEY}

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def hold(self, *asked: object) -> None:
        """It costs nothing, and takes until `free`."""
        self.asked.set()
        await self.free.wait()

    def begin(self, *attempt: object) -> None:
        raise Called


@pytest.fixture
def asked() -> Delivery[AgentRequest]:
    question_id = ids.new_id()
    request = AnswerRequested(
        conversation_id=ids.new_id(),
        project_id=ids.new_id(),
        run_id=ids.run_id(question_id),
        message_id=ids.new_id(),
        user_id=KEY.owner_id,
        agent=AgentRef(agent_id=ids.new_id(), version=1),
        context=[ContextMessage(message_id=question_id, role="user", content=KEY.seal(question_id, "hello"))],
        requested_at=datetime.now(UTC),
    )
    envelope = Envelope(id=ids.new_id(), type=request.type, source="/tests", time=request.requested_at)
    return Delivery(request, envelope, "agent-requests", 0, 0, request.conversation_id.encode(), 0)


def worker(log: Log, anything: Any, group: asyncio.TaskGroup) -> Replies:
    means = Means(
        catalog=anything, keyring=anything, teller=anything, reports=log, purse=anything, max_answer_bytes=1_000
    )
    return Replies(log, means, {}, group, pause_s=PAUSE_S)


async def handle(asked: Delivery[AgentRequest], log: Log, *, still_s: float = 0) -> None:
    """Take the partition, stand still, handle the request. Raises what a process would end with."""
    try:
        async with asyncio.TaskGroup() as group:
            replies = worker(log, Everything(), group)
            await replies.assigned({0: 0})
            if still_s:
                log.stand_still(still_s)
            await replies.handle(asked)
            await replies.revoked({0})
    except* (Called, Fenced) as errors:
        raise errors.exceptions[0] from None


async def test_what_ended_while_it_stood_still_is_not_called_again(asked: Delivery[AgentRequest]) -> None:
    """It reads the log again, and repeats what another worker reported."""
    log = Log(asked.event.run_id, others=[Started(1), Ended(1)])
    await handle(asked, log, still_s=2 * PAUSE_S)

    assert log.repeated == [Ended(1)]
    assert log.written == [Started(1), Ended(1)]


async def test_what_another_began_while_it_stood_still_is_not_called(asked: Delivery[AgentRequest]) -> None:
    """It stood still after it had decided to call: it finds the other's beginning beside its own, and goes."""
    log = Log(asked.event.run_id, others=[Started(1)], slow_s=2 * PAUSE_S)
    with pytest.raises(Fenced):
        await handle(asked, log)


async def test_whoever_was_only_slow_calls(asked: Delivery[AgentRequest]) -> None:
    """Standing still costs a look at the log, not the call."""
    log = Log(asked.event.run_id, others=[], slow_s=2 * PAUSE_S)
    with pytest.raises(Called):
        await handle(asked, log, still_s=2 * PAUSE_S)


async def test_what_had_not_begun_is_left_to_whoever_has_the_partition_next(asked: Delivery[AgentRequest]) -> None:
    """Who takes the partition cannot know of a call that the log does not tell of, and makes it: this one must not."""
    log, anything = Log(asked.event.run_id, others=[]), Everything()
    anything.free.clear()
    async with asyncio.TaskGroup() as group:
        replies = worker(log, anything, group)
        await replies.assigned({0: 0})
        handling = group.create_task(replies.handle(asked))
        await anything.asked.wait()
        handling.cancel()
        await replies.revoked({0})
        anything.free.set()

    assert log.written == []


async def test_what_another_ended_after_all_is_not_called_again(asked: Delivery[AgentRequest]) -> None:
    """Whoever made the attempt before lives on, and ends the run just before this one would make the next."""
    log, anything = Log(asked.event.run_id, others=[]), Everything()
    log.written.append(Started(1))
    anything.free.clear()
    async with asyncio.TaskGroup() as group:
        replies = worker(log, anything, group)
        await replies.assigned({0: 0})
        group.create_task(replies.handle(asked))
        await anything.asked.wait()
        log.written.append(Ended(1))
        anything.free.set()

    assert log.written == [Started(1), Ended(1), Started(2)]


async def test_what_another_left_is_called_again(asked: Delivery[AgentRequest]) -> None:
    """A beginning without an end is nobody's: the next attempt is made."""
    log = Log(asked.event.run_id, others=[])
    log.written.append(Started(1))
    with pytest.raises(Called):
        await handle(asked, log)


async def test_what_had_begun_goes_on_when_its_partition_comes_back(asked: Delivery[AgentRequest]) -> None:
    """A rebalance takes everything and gives most of it back: a call that is under way is not made twice for that."""
    log, proving, proven = Log(asked.event.run_id, others=[]), asyncio.Event(), asyncio.Event()

    async def slowly(*_: object) -> None:
        proving.set()
        await proven.wait()

    async def rebalance() -> None:
        async with asyncio.TaskGroup() as group:
            replies = worker(log, Everything(), group)
            replies._prove = slowly  # type: ignore[method-assign]
            await replies.assigned({0: 0})
            handling = group.create_task(replies.handle(asked))
            await proving.wait()
            handling.cancel()
            await replies.revoked({0})
            await replies.assigned({0: 0})
            proven.set()

    with pytest.raises(ExceptionGroup) as ended:
        await rebalance()
    assert ended.group_contains(Called)
    assert log.written == [Started(1)]

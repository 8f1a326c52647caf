"""Billing on the real parts: each run is settled once, whatever comes twice and however often billing dies."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterable

import msgspec
import pytest

from infra import redis as our_redis
from infra.kafka import Publisher, topic_ids
from infra.settings import KafkaSettings, RedisSettings
from infra.settling import Charge
from schemas import ids
from schemas.events import AgentRef, Usage
from schemas.topics import USAGE
from streams.workers.billing import Billing
from tests.conftest import StartProcess
from tests.money.conftest import Books
from tests.running import DEADLINE_S, Stack


@pytest.fixture
async def publisher(stack: Stack) -> AsyncIterator[Publisher]:
    publisher = Publisher(KafkaSettings.from_env(stack.env), "/streams/conversations")
    await publisher.start()
    yield publisher
    await publisher.stop()


@pytest.fixture
async def billing(stack: Stack, books: Books) -> Billing:
    kafka = KafkaSettings.from_env(stack.env)
    return Billing(books.pool, kafka, (await topic_ids(kafka, [USAGE.topic]))[USAGE.topic])


async def tell(publisher: Publisher, charges: Iterable[Charge]) -> None:
    for report in [
        await publisher.enqueue(USAGE, c.used, key=c.used.project_id, id=c.id, time=c.occurred_at) for c in charges
    ]:
        await report


async def reserved_runs(books: Books, version: int, count: int) -> list[Charge]:
    """Runs that money is held for, with what each took: 10 tokens in and some out."""
    took = Usage(input_tokens=10, source="provider", price_version=version)
    runs = [ids.new_id() for _ in range(count)]
    for run_id in runs:
        assert await books.reserve(60, run_id=run_id) == 60
    return [
        books.run_used(run_id, 0, usage=msgspec.structs.replace(took, output_tokens=n % 5))
        for n, run_id in enumerate(runs)
    ]


@pytest.mark.parametrize(
    ("runs", "kills"), [(100, 2), pytest.param(1000, 20, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
async def test_each_run_is_settled_once_through_kills_and_replays(
    stack: Stack, books: Books, publisher: Publisher, start_process: StartProcess, runs: int, kills: int
) -> None:
    """Billing is killed again and again, at any time or as soon as it has written something that Kafka has not heard
    of; Redis is wiped; then the whole topic is read three times from its start, and everything is told once more: the
    ledger does not change by a letter, what was charged is what runs took, and nobody is told of a budget twice."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    price = await books.priced()
    await books.credit(runs * 60)
    await books.budget(runs * 20, hard=False)
    told = await reserved_runs(books, price.version, runs)
    counted = "SELECT count(*) FROM usage_records WHERE project_id = $1 AND billable"

    for n in range(kills):
        billing = await start_process("streams", "billing")
        before = await books.pool.fetchval(counted, books.project_id)
        await tell(publisher, told[n * runs // kills : (n + 1) * runs // kills])
        if n % 2:
            await asyncio.sleep(chance.uniform(0, 0.3))
        else:
            async with asyncio.timeout(DEADLINE_S):
                while await books.pool.fetchval(counted, books.project_id) == before:  # noqa: ASYNC110
                    await asyncio.sleep(0)
        billing.kill(signal.SIGKILL)
        await billing.ended()
    async with our_redis.connect(RedisSettings.from_env(stack.env)) as redis:
        await redis.flushall()
    billing = await start_process("streams", "billing")
    await books.until_settled(runs)
    before = await books.hash()
    notices = "SELECT array_agg(percent ORDER BY percent) FROM budget_notices AS n JOIN budget_periods AS p "
    notices += "ON p.id = n.budget_period_id JOIN budgets AS b ON b.id = p.budget_id WHERE b.project_id = $1"
    assert await books.pool.fetchval(notices, books.project_id) == [80, 100]

    for _ in range(3):
        await billing.stop()
        await books.pool.execute("UPDATE sink_offsets SET next_offset = 0 WHERE sink = 'billing'")
        billing = await start_process("streams", "billing")  # is ready when it has caught up with its group
    await tell(publisher, told)
    last = books.run_used(ids.new_id(), 0, usage=Usage())
    await tell(publisher, [last])
    await books.until_settled(runs + 1)

    assert await books.hash() == before
    assert await books.pool.fetchval(notices, books.project_id) == [80, 100]
    wallet = await books.wallet()
    assert (wallet.balance_micros, wallet.reserved_micros) == (runs * 60 - runs * 10 - runs // 5 * 100, 0)
    await books.proved()


async def test_what_a_run_took_is_priced_as_it_was_told(
    books: Books, publisher: Publisher, start_process: StartProcess
) -> None:
    """By the version that the event names, whatever was set since; and a free answer is counted, without a wallet."""
    old = await books.priced()
    await books.priced(output=10**9)
    await books.credit(100)
    run_id, free = ids.new_id(), Books(books.pool)
    await books.reserve(60, run_id=run_id)
    took = Usage(input_tokens=20, output_tokens=3, source="provider", price_version=old.version)
    await start_process("streams", "billing")

    await tell(publisher, [books.run_used(run_id, 0, usage=took), free.run_used(ids.new_id(), 0, usage=Usage())])
    await books.until_settled(1)
    await free.until_settled(1)

    assert (await books.wallet()).balance_micros == 50
    assert await free.sums() == {}


async def row_of_run(books: Books, run_id: str, usage: Usage | None, *, ended: bool) -> None:
    """What history stores of a run."""
    await books.pool.execute(
        """
        INSERT INTO runs (
            id, conversation_id, message_id, question_id, user_id, agent, status, attempt, finish_reason, usage,
            queued_at, requested_at, ended_at
        ) VALUES ($1, $2, $3, $3, $4, $5, $6, 1, $7, $8, now(), now(), CASE WHEN $9 THEN now() END)
        """,
        run_id,
        ids.new_id(),
        ids.answer_id(run_id),
        books.user_id,
        msgspec.json.encode(AgentRef(agent_id=books.agent_id, version=1)).decode(),
        "completed" if ended else "in_progress",
        "stop" if ended else None,
        None if usage is None else msgspec.json.encode(usage).decode(),
        ended,
    )


async def test_what_is_held_for_a_run_that_is_over_is_given_back(books: Books, billing: Billing) -> None:
    """The sweeper looks runs up: one that ended is settled as its row says, one that goes on or is not known keeps what
    it holds, however old; and the event that comes after all changes nothing."""
    price = await books.priced()
    await books.credit(300)
    over, open, unknown = (ids.new_id() for _ in range(3))
    for run_id in (over, open, unknown):
        await books.reserve(60, run_id=run_id)
    took = Usage(input_tokens=20, output_tokens=1, source="provider", price_version=price.version)
    await row_of_run(books, over, took, ended=True)
    await row_of_run(books, open, None, ended=False)

    await billing.sweep_once(after_s=3600)
    assert (await books.wallet()).reserved_micros == 180
    await billing.sweep_once(after_s=0)

    assert ((await books.wallet()).balance_micros, (await books.wallet()).reserved_micros) == (150, 120)
    late = books.run_used(over, 60, usage=took)
    assert await books.settle(late) == {late.id: 30}
    await books.proved()

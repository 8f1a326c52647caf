"""Billing on the real parts: each run is settled once, whatever comes twice and however often billing dies."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Iterable

import msgspec
import pytest

from infra.kafka import Publisher, topic_ids
from infra.settings import KafkaSettings
from infra.settling import Charge
from schemas import ids
from schemas.events import AgentRef, Usage
from schemas.topics import USAGE
from streams.workers.billing import Billing
from tests.conftest import StartProcess
from tests.money.conftest import Books
from tests.running import Stack

RUNS = 200


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


async def reserved_runs(books: Books, version: int) -> list[Charge]:
    """Runs that money is held for, with what each took: 10 tokens in and some out."""
    took = Usage(input_tokens=10, source="provider", price_version=version)
    runs = [ids.new_id() for _ in range(RUNS)]
    for run_id in runs:
        assert await books.reserve(60, run_id=run_id) == 60
    return [
        books.run_used(run_id, 0, usage=msgspec.structs.replace(took, output_tokens=n % 5))
        for n, run_id in enumerate(runs)
    ]


async def test_each_run_is_settled_once_through_kills_and_replays(
    stack: Stack, books: Books, publisher: Publisher, start_process: StartProcess
) -> None:
    """Billing is killed in the middle, again and again; then the whole topic is read three times from its start, and
    everything is told once more: the ledger does not change by a letter, and what was charged is what runs took."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    price = await books.priced()
    await books.credit(RUNS * 60)
    told = await reserved_runs(books, price.version)

    for n in range(4):
        billing = await start_process("streams", "billing")
        await tell(publisher, told[n * RUNS // 4 : (n + 1) * RUNS // 4])
        await asyncio.sleep(chance.uniform(0, 0.3))
        billing.kill(signal.SIGKILL)
        await billing.ended()
    billing = await start_process("streams", "billing")
    await books.until_settled(RUNS)
    before = await books.hash()

    for _ in range(3):
        await billing.stop()
        await books.pool.execute("UPDATE sink_offsets SET next_offset = 0 WHERE sink = 'billing'")
        billing = await start_process("streams", "billing")  # is ready when it has caught up with its group
    await tell(publisher, told)
    last = books.run_used(ids.new_id(), 0, usage=Usage())
    await tell(publisher, [last])
    await books.until_settled(RUNS + 1)

    assert await books.hash() == before
    wallet = await books.wallet()
    assert (wallet.balance_micros, wallet.reserved_micros) == (RUNS * 60 - RUNS * 10 - RUNS // 5 * 100, 0)
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

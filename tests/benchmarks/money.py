"""How fast money is held, and charged.

Questions: how long it takes to hold money, at 300 answers a second, all of one project (the hardest case, as a
project's money has one lock) and of 50, with a budget and without; how many usage events one billing process settles a
second, batch after batch of 500, each with money that was held for it; how long after an answer's end its charge
stands in the ledger, from the topic through a real billing process, at 50 answers a second; and how long the usage of a
project with a million answers takes to be seen.

    CHORUS_… python -m tests.benchmarks.money

It publishes to the topic and writes to the tables that the settings name: give it a stack of its own.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from infra import budgets, ledger, postgres, statements
from infra.kafka import Publisher, topic_ids
from infra.ledger import Kind, Movement, Wish
from infra.settings import KafkaSettings, PostgresSettings
from infra.stack.ports import free_port
from schemas import ids
from schemas.events import AgentRef, Usage
from schemas.topics import USAGE
from schemas.usage import RunUsed
from streams.intake import Delivery
from streams.workers.billing import Billing
from tests.benchmarks.figures import Series, cpu_seconds
from tests.running import ROOT, answers_200, soon

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

EVENTS = 15_000
BATCH = 500
PROJECTS = 50
HELD = 5_000
PER_S = 300
SECONDS = 15
DELAYED_PER_S = 50
RECORDS = 1_000_000

_UNSETTLED: Final = "SELECT count(*) FROM reservations WHERE settled_at IS NULL AND project_id = ANY($1::uuid[])"


async def projects(pool: "Pool", count: int, *, with_budgets: bool) -> list[str]:
    """Projects with more credit than anything here takes."""
    made = [ids.new_id() for _ in range(count)]
    async with pool.acquire() as connection, connection.transaction():
        for project_id in made:
            await ledger.credit(
                connection, Movement(ids.new_id(), Kind.CREDIT, project_id, "USD", 10**12, datetime.now(UTC))
            )
            if with_budgets:
                await budgets.replace(connection, project_id, [budgets.Wanted(None, None, "month", 10**12, True)])
    return made


async def price(pool: "Pool") -> int:
    figures = {"currency": "USD", "input": 10**6, "cached_input": 10**6, "output": 10**7, "call": 0}
    version: int = await pool.fetchval(
        "INSERT INTO prices (project_id, agent_id, price, created_by) VALUES ($1, $1, $2, $1) RETURNING version",
        ids.new_id(),
        msgspec.json.encode(figures).decode(),
    )
    return version


def used(project_id: str, run_id: str, version: int) -> RunUsed:
    return RunUsed(
        project_id=project_id,
        conversation_id=ids.new_id(),
        run_id=run_id,
        attempt=1,
        user_id=ids.new_id(),
        agent=AgentRef(agent_id=ids.new_id(), version=1, price=version),
        status="completed",
        finish_reason="stop",
        usage=Usage(input_tokens=400, output_tokens=300, source="provider", price_version=version),
    )


async def hold(pool: "Pool", runs: list[RunUsed]) -> None:
    """As `ledger.reserve` does for each, many at once."""
    now = datetime.now(UTC)
    async with pool.acquire() as connection, connection.transaction():
        await ledger.post(
            connection,
            [Movement(ids.reserve_id(r.run_id), Kind.RESERVE, r.project_id, "USD", HELD, now, r.run_id) for r in runs],
        )
        await connection.copy_records_to_table(
            "reservations",
            columns=(
                "run_id", "project_id", "user_id", "agent_id", "price_version", "currency", "amount_micros",
                "budget_periods",
            ),
            records=[
                (r.run_id, r.project_id, r.user_id, r.agent.agent_id, r.usage.price_version, "USD", HELD, [])
                for r in runs
            ],
        )  # fmt: skip


async def settle(pool: "Pool", kafka: KafkaSettings) -> None:
    version, whose = await price(pool), await projects(pool, PROJECTS, with_budgets=False)
    runs = [used(whose[n % PROJECTS], ids.new_id(), version) for n in range(EVENTS)]
    await hold(pool, runs)
    now = datetime.now(UTC)
    encoded = [USAGE.encode(r, id=ids.run_used_id(r.run_id), source="/bench", time=now) for r in runs]
    billing = Billing(pool, kafka, ids.new_id())
    await billing.assigned({0: 0})
    started, cpu = time.perf_counter(), cpu_seconds()
    for start in range(0, EVENTS, BATCH):
        batch = []
        for n, (value, headers) in enumerate(encoded[start : start + BATCH], start):
            event, envelope = USAGE.decode(value, headers)
            batch.append(Delivery(event, envelope, USAGE.topic, 0, n, event.project_id.encode(), 0))
        await billing.handle_batch(batch)
    took, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    assert await pool.fetchval(_UNSETTLED, whose) == 0
    print(
        f"settled, batches of {BATCH:<17} {EVENTS / took:10,.0f} events/s   "
        f"({EVENTS:,} in {took:.1f} s, {cpu / took:.0%} of a core here; line: 3,000/s)"
    )


@contextmanager
def billing() -> Iterator[Callable[[], bool]]:
    """A billing process; whether it is ready."""
    port = free_port()
    env = os.environ | {"CHORUS_HEALTH_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-m", "streams", "billing"], cwd=ROOT, env=env)
    try:
        yield lambda: answers_200(f"http://127.0.0.1:{port}/readyz")
    finally:
        process.terminate()
        process.wait()


async def delay(pool: "Pool", kafka: KafkaSettings) -> None:
    version, whose = await price(pool), await projects(pool, PROJECTS, with_budgets=False)
    runs = [used(whose[n % PROJECTS], ids.new_id(), version) for n in range(DELAYED_PER_S * SECONDS)]
    await hold(pool, runs)
    publisher = Publisher(kafka, "/bench")
    await publisher.start()
    with billing() as is_ready:
        await soon("billing is ready", is_ready)
        begin = time.perf_counter()
        for n, run in enumerate(runs):
            await asyncio.sleep(max(0.0, begin + n / DELAYED_PER_S - time.perf_counter()))
            now = datetime.now(UTC)
            await publisher.enqueue(USAGE, run, key=run.project_id, id=ids.run_used_id(run.run_id), time=now)
        while await pool.fetchval(_UNSETTLED, whose):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await publisher.stop()
    rows = await pool.fetch(
        "SELECT extract(epoch FROM recorded_at - occurred_at)::float8 AS s FROM usage_records WHERE run_id = ANY($1)",
        [r.run_id for r in runs],
    )
    print(Series(f"end → ledger, {DELAYED_PER_S}/s (line: p99 1,000)", [row["s"] for row in rows]))


async def reserve(pool: "Pool", count: int, *, with_budgets: bool) -> None:
    version, whose = await price(pool), await projects(pool, count, with_budgets=with_budgets)
    user_id, agent_id = ids.new_id(), ids.new_id()
    name = (
        f"held, {count} project{'s' if count > 1 else ''}, {'a budget' if with_budgets else 'no budget'} (line: p99 10)"
    )
    series = Series(name)

    async def one(n: int) -> None:
        wish = Wish(ids.new_id(), whose[n % count], user_id, agent_id, version, "USD", HELD, 410)
        began = time.perf_counter()
        assert await ledger.reserve(pool, wish) == HELD
        if n >= PER_S:  # the first second warms connections and statements
            series.add(time.perf_counter() - began)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for n in range(PER_S * SECONDS):
            await asyncio.sleep(max(0.0, begin + n / PER_S - time.perf_counter()))
            tasks.create_task(one(n))
    print(series)


async def seen(pool: "Pool") -> None:
    """A year of a busy project, asked for by the page."""
    project_id = ids.new_id()
    await pool.execute(
        """
        INSERT INTO usage_records (
            id, run_id, attempt, billable, project_id, conversation_id, user_id, agent_id, agent_version, status,
            finish_reason, input_tokens, output_tokens, cached_input_tokens, from_cache, source, currency, cost_micros,
            charged_micros, occurred_at
        )
        SELECT gen_random_uuid(), gen_random_uuid(), 1, true, $1, gen_random_uuid(), people[1 + n % 50],
            agents[1 + n % 5], 1, 'completed', 'stop', 400, 300, 0, false, 'provider', 'USD', 3400, 3400,
            now() - n * interval '1 year' / $2
        FROM generate_series(1, $2::bigint) AS n,
            (SELECT array_agg(gen_random_uuid()) AS people FROM generate_series(1, 50)) AS p,
            (SELECT array_agg(gen_random_uuid()) AS agents FROM generate_series(1, 5)) AS a
        """,
        project_id,
        RECORDS,
        timeout=600,
    )
    await pool.execute("VACUUM ANALYZE usage_records", timeout=600)
    now = datetime.now(UTC)
    for days in (30, 365):
        for group in ("day", "user", "agent"):
            series = Series(f"usage of {days} days by {group}, of {RECORDS:,} answers in a year")
            for _ in range(10):
                began = time.perf_counter()
                async with pool.acquire() as connection:
                    found = await statements.usage(
                        connection, project_id, now - timedelta(days=days), now, [group], 10_001
                    )
                series.add(time.perf_counter() - began)
                assert sum(row.runs for row in found) > RECORDS * days // 400
            print(series)


async def measure(env: dict[str, str]) -> None:
    kafka = KafkaSettings.from_env(env)
    await topic_ids(kafka, [USAGE.topic])
    async with await postgres.connect(PostgresSettings.from_env(env)) as pool:
        # First: what settling writes is vacuumed and checkpointed for a while.
        for count in (PROJECTS, 1):
            for with_budgets in (False, True):
                await reserve(pool, count, with_budgets=with_budgets)
        await settle(pool, kafka)
        await delay(pool, kafka)
        await seen(pool)


if __name__ == "__main__":
    asyncio.run(measure(dict(os.environ)))

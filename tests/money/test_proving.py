"""`chorus audit` proves the books, and finds what does not add up."""

import urllib.request
from typing import TYPE_CHECKING

import pytest

from infra.kafka import Publisher, topic_ids
from infra.operator.books import wrong
from infra.settings import KafkaSettings
from schemas import ids
from schemas.events import Usage
from schemas.topics import USAGE
from tests.conftest import StartProcess
from tests.money.conftest import Books
from tests.operator.conftest import Operator
from tests.running import Stack, soon

if TYPE_CHECKING:
    from infra.ledger import Connection

WRONG = {
    "wallet": "UPDATE wallets SET balance_micros = balance_micros + 1 WHERE project_id = $1",
    "unbalanced": "UPDATE ledger_entries SET amount_micros = amount_micros + 1 "
    "WHERE project_id = $1 AND account = 'funding'",
    "reservation": "UPDATE reservations SET amount_micros = amount_micros + 1 "
    "WHERE project_id = $1 AND settled_at IS NULL",
    "charge": "UPDATE usage_records SET cost_micros = cost_micros + 1, charged_micros = charged_micros + 1 "
    "WHERE project_id = $1",
    "usage": "UPDATE usage_records SET input_tokens = input_tokens + 1 WHERE project_id = $1",
}


@pytest.fixture
def operator(stack: Stack) -> Operator:
    return Operator(stack)


async def _settled(books: Books, stack: Stack, start_process: StartProcess) -> None:
    """A project with a run that was charged, and one that money is held for."""
    price = await books.priced()
    await books.credit(500)
    over = ids.new_id()
    for run_id in (over, ids.new_id()):
        await books.reserve(60, run_id=run_id)
    took = Usage(input_tokens=20, output_tokens=1, source="provider", price_version=price.version)
    told = books.run_used(over, 0, usage=took)
    publisher = Publisher(KafkaSettings.from_env(stack.env), "/streams/conversations")
    await publisher.start()
    for _ in range(2):
        await publisher.publish(USAGE, told.used, key=books.project_id, id=told.id, time=told.occurred_at)
    await publisher.stop()
    billing = await start_process("streams", "billing")
    await books.until_settled(1)
    await billing.stop()


async def test_it_proves_the_books_and_finds_each_thing_that_is_wrong(
    books: Books, stack: Stack, operator: Operator, start_process: StartProcess
) -> None:
    """Clean as it is; and each change, which takes the database's triggers away first, is named."""
    await _settled(books, stack, start_process)
    clean = await operator.told("audit", "--project", books.project_id)
    assert (clean["clean"], clean["differences"]) == (True, [])

    kafka = KafkaSettings.from_env(stack.env)
    topic_id = (await topic_ids(kafka, [USAGE.topic]))[USAGE.topic]
    for kind, statement in WRONG.items():
        async with books.pool.acquire() as connection:
            await _by_force(connection, statement, books.project_id)
            assert kind in {d.kind for d in await wrong(connection, kafka, topic_id, books.project_id)}
            await _by_force(connection, statement.replace("+ 1", "- 1"), books.project_id)
            assert await wrong(connection, kafka, topic_id, books.project_id) == []

    async with books.pool.acquire() as connection:
        await _by_force(connection, WRONG["usage"], books.project_id)
    assert (await operator.told("audit", "--project", books.project_id))["counts"] == {"usage": 1}


async def _by_force(connection: "Connection", statement: str, project_id: str) -> None:
    """Do what the table's triggers forbid."""
    table = statement.split()[1]
    async with connection.transaction():
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(statement, project_id)
        await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


async def test_billing_proves_the_books_by_itself(books: Books, stack: Stack, start_process: StartProcess) -> None:
    """At its start and again and again it tells how much does not add up: one more thing once somebody has changed a
    wallet by hand, and no longer once it is put right."""
    await _settled(books, stack, start_process)
    billing = await start_process("streams", "billing", CHORUS_BOOKS_PROVED_EVERY_S="0.2")

    def differences() -> float | None:
        with urllib.request.urlopen(f"{billing.health}/metrics", timeout=5) as answer:
            told = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#")
        proved = float(told["chorus_books_proved_timestamp_seconds"]) > 0
        return float(told["chorus_books_differences"]) if proved else None

    await soon("the books are proved", lambda: differences() is not None)
    before = differences()
    assert before is not None
    for change, more in (("+ 1", 1), ("- 1", 0)):
        async with books.pool.acquire() as connection:
            await _by_force(connection, WRONG["wallet"].replace("+ 1", change), books.project_id)
        await soon(f"{more} more", lambda wanted=before + more: differences() == wanted)

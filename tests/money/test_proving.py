"""`chorus audit` proves the books, and finds what does not add up."""

import urllib.request

import pytest

from infra.kafka import Publisher
from infra.settings import KafkaSettings
from schemas import ids
from schemas.events import Usage
from schemas.topics import USAGE
from tests.conftest import StartProcess
from tests.money.conftest import Books
from tests.operator.conftest import Operator
from tests.running import Stack, soon

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

    for kind, statement in WRONG.items():
        async with books.pool.acquire() as connection:
            undo = statement.replace("+ 1", "- 1")
            for now, expected in ((statement, kind), (undo, None)):
                async with connection.transaction():
                    table = statement.split()[1]
                    await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
                    await connection.execute(now, books.project_id)
                    await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
                counts = (await operator.told("audit", "--project", books.project_id))["counts"]
                assert (expected in counts) if expected else counts == {}, (kind, counts)


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
        async with books.pool.acquire() as connection, connection.transaction():
            await connection.execute("ALTER TABLE wallets DISABLE TRIGGER USER")
            await connection.execute(
                f"UPDATE wallets SET balance_micros = balance_micros {change} WHERE project_id = $1", books.project_id
            )
            await connection.execute("ALTER TABLE wallets ENABLE TRIGGER USER")
        await soon(f"{more} more", lambda wanted=before + more: differences() == wanted)

"""The books in a backup."""

from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from infra import dumps, ledger
from infra.ledger import Kind, Movement
from infra.objects import Objects, ObjectsSettings
from schemas import ids
from tests.money.conftest import Books
from tests.running import Stack

MONEY = ("ledger_entries", "reservations", "wallets")


async def test_the_books_come_back_as_they_were(stack: Stack, books: Books, tmp_path: Path) -> None:
    """Loaded into empty tables a wallet is what it was, not twice it; then the books are kept true as before."""
    await books.credit(100)
    await books.reserve(60)
    objects, before = Objects(ObjectsSettings(str(tmp_path))), await books.wallet()
    connection = await asyncpg.connect(stack.database_url)
    whole = connection.transaction()
    await whole.start()
    try:
        columns = await dumps.tables(connection)
        dumped = [await dumps.dump(connection, objects, "backup", t, columns[t], lambda _: None) for t in MONEY]
        for table in MONEY:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await connection.execute(f"DELETE FROM {table}")
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        assert await ledger.wallet(connection, books.project_id) is None

        for part in dumped:
            await dumps.load(connection, objects, part, lambda _: None)
        await dumps.advance_sequences(connection)

        assert await ledger.wallet(connection, books.project_id) == before
        more = Movement(ids.new_id(), Kind.CREDIT, books.project_id, "USD", 5, datetime.now(UTC))
        assert await ledger.credit(connection, more)
        found = await ledger.wallet(connection, books.project_id)
        assert found is not None
        assert (found.balance_micros, found.reserved_micros) == (45, 60)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE ledger_entries SET note = 'another'")
    finally:
        await whole.rollback()
        await connection.close()

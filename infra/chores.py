"""What has to be done again and again, and when it was last done: so that an alert can say that it was not."""

import json
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    from infra.history import Database

CHORES = ("archive", "backup")


async def done(connection: "asyncpg.Connection[asyncpg.Record]", name: str, detail: dict[str, object]) -> None:
    """Note that it was done just now. Raises one of `infra.postgres.AWAY`."""
    await connection.execute(
        """
        INSERT INTO chores (name, done_at, detail) VALUES ($1, now(), $2)
        ON CONFLICT (name) DO UPDATE SET done_at = excluded.done_at, detail = excluded.detail
        """,
        name,
        json.dumps(detail),
    )


async def last_done(database: "Database") -> dict[str, datetime]:
    """When each was last done; those that never were are left out. Raises one of `infra.postgres.AWAY`."""
    return {row["name"]: row["done_at"] for row in await database.fetch("SELECT name, done_at FROM chores")}

"""PostgreSQL: a pool, and the errors that mean "away, try again"."""

from pathlib import Path

import asyncpg

from infra.settings import PostgresSettings

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
)
"""What a statement raises when the server is away or restarting: wait and try again, nothing is wrong with the data."""

MIGRATIONS = Path(__file__).parent.parent / "schemas" / "sql" / "migrations"


async def connect(settings: PostgresSettings) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool that opens connections on demand, so that a process starts while the database is away."""
    pool = asyncpg.create_pool(
        settings.url,
        min_size=0,
        max_size=settings.pool_size,
        timeout=3,
        command_timeout=30,
        max_inactive_connection_lifetime=60,
    )
    return await pool

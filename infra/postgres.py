"""PostgreSQL: a pool, and the errors that mean "away, try again"."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from infra.settings import PostgresSettings

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    # What asyncpg says where the server has said goodbye, and the connection has not ended yet.
    asyncpg.InternalClientError,
)
"""What a statement raises when the server is away, restarting, full or no longer the primary: wait and try again,
nothing is wrong with the data."""

T = TypeVar("T")

_left_behind: set["asyncio.Future[Any]"] = set()

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
        reset=_nothing_to_reset,
    )
    return await pool


async def _nothing_to_reset(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    # By default a statement after every use undoes what a session may have set or locked. Ours set and lock nothing
    # beyond their transaction, and it is half of all round trips.
    return


async def within(limit_s: float, work: Coroutine[Any, Any, T]) -> T:
    """Do `work`, for `limit_s` seconds at most.

    A time-out around a statement is not enough: a cancelled statement first waits for the server to take notice, which
    a server that hangs never does. So what takes too long is cancelled and left behind, with its connection.

    Raises:
        TimeoutError: it took too long; one of `AWAY`.
    """
    doing = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait([doing], timeout=limit_s)
        if done:
            return doing.result()
        raise TimeoutError
    finally:
        if not doing.done():
            _left_behind.add(doing)
            doing.add_done_callback(_forget)
            doing.cancel()


def _forget(doing: "asyncio.Future[Any]") -> None:
    _left_behind.discard(doing)
    if not doing.cancelled():
        doing.exception()

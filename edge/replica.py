"""A replica of the database that answers reads, once it has all that the primary had when the question came.

So whoever has written reads what they wrote, on whatever process, and nobody ever reads something older than they have
read before: what is asked of the primary is one position in its log. See ADR 0034.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
from prometheus_client import Counter

from infra.postgres import AWAY, within

if TYPE_CHECKING:
    import asyncpg

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

log = structlog.get_logger(__name__)

_WAITED_S: Final = 0.1
"""Seconds that a read waits for the replica to catch up; one that is well is some milliseconds behind."""
_POLL_S: Final = 0.002
_ASK_S: Final = 1.0
"""Seconds that a server may take to say where it is; then it is away."""
_LEFT_ALONE_S: Final = 2.0
"""Seconds that a replica is not asked after it was behind or away: its absence costs one read in so long its time."""

_reads: Final = Counter(
    "chorus_edge_replica_reads_total",
    "Reads that a replica may answer, by who did: it, or the primary as it was behind, away, or meanwhile left alone.",
    ["by"],
)

# Of a commit that was acknowledged the log is flushed.
_WRITTEN: Final = "SELECT pg_current_wal_flush_lsn()::text"
# A server that is no standby is not believed to be one of ours: a promoted one has gone a way of its own.
_HAS_ALL: Final = "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= $1::text::pg_lsn"


class Replica:
    """The database that `CHORUS_DATABASE_READ_URL` names."""

    def __init__(self, primary: "Pool", pool: "Pool") -> None:
        self._primary = primary
        self._pool = pool
        self._left_alone_until = 0.0

    async def connection(self, open: AsyncExitStack) -> "Connection | None":
        """A connection of the replica, given back when `open` ends; None where the primary is to be asked."""
        by = "primary_meanwhile"
        if time.monotonic() >= self._left_alone_until:
            try:
                written = await within(_ASK_S, self._primary.fetchval(_WRITTEN))
                connection = await open.enter_async_context(self._pool.acquire(timeout=_ASK_S))
                if await self._has_all(connection, written):
                    _reads.labels("replica").inc()
                    return connection
                by = "primary_as_behind"
            except AWAY as error:
                by = "primary_as_away"
                log.warning("the replica is not asked", error=repr(error))
            self._left_alone_until = time.monotonic() + _LEFT_ALONE_S
        _reads.labels(by).inc()
        return None

    async def _has_all(self, connection: "Connection", written: str) -> bool:
        until = time.monotonic() + _WAITED_S
        while not await within(_ASK_S, connection.fetchval(_HAS_ALL, written)):
            if time.monotonic() >= until:
                return False
            await asyncio.sleep(_POLL_S)
        return True

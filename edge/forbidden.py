"""What a role did not allow over the socket, for the audit log: gathered, so that no command waits for the database."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import structlog

from edge import audit
from edge.errors import Forbidden
from infra.postgres import AWAY

if TYPE_CHECKING:
    import asyncpg

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]

log = structlog.get_logger(__name__)

GATHER_S: Final = 1.0
"""Seconds between writes. Whoever is refused again and again meanwhile is one entry, which says how often."""
MOST: Final = 1_000
"""Entries that wait, as while PostgreSQL is away; what would be one more is told to the process' log alone."""


class _Refusal(NamedTuple):
    user_id: str
    address: str
    project_id: str
    action: str


class ForbiddenOnes:
    """Takes refusals at any time, and records them while `run` does."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._waiting: Counter[_Refusal] = Counter()

    def note(self, user_id: str, error: Forbidden, address: str) -> None:
        """This person, coming from there, was refused; returns at once."""
        refusal = _Refusal(user_id, address, error.project_id, error.action)
        if refusal in self._waiting or len(self._waiting) < MOST:
            self._waiting[refusal] += 1
        else:
            log.warning("authz_fail", audit=True, **refusal._asdict())

    async def run(self) -> None:
        """Record what is noted, until cancelled; then once more what is left."""
        try:
            while True:
                await asyncio.sleep(GATHER_S)
                await self._record()
        finally:
            await self._record()

    async def _record(self) -> None:
        while self._waiting:
            refusal, times = self._waiting.popitem()
            try:
                async with asyncio.timeout(GATHER_S), self._pool.acquire() as connection:
                    await audit.record(
                        connection,
                        audit.Event.AUTHZ_FAIL,
                        actor_id=refusal.user_id,
                        project_id=refusal.project_id,
                        address=refusal.address or None,
                        result=audit.Result.FAILURE,
                        action=refusal.action,
                        times=times,
                    )
            except AWAY:  # a time-out is one of them
                self._waiting[refusal] += times
                return

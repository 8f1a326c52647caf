"""Budgets: how much a project, a person or an agent may take in a day, a week or a month, by UTC.

A hard budget holds: nothing is begun that it does not pay for. A soft one only counts, and tells. What counts in a
period is what was held, and then charged, of the answers begun in it. One that is set in the middle of a period counts
the answers of that period that are over; those that are being made at that moment it does not count.

Periods change only while the wallet of their project is locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg

from infra import notifications
from schemas import ids
from schemas.notifications import Kind, Notice

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

NOTICES: Final = (80, 100)
"""Percent of a budget that people are told of when it is reached, once in a period."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A budget as somebody sets it; without `user_id` everybody's, without `agent_id` for all agents."""

    user_id: str | None
    agent_id: str | None
    period: str
    limit_micros: int
    hard: bool


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget and what counts in its present period, which ends at `ends_at`."""

    id: str
    user_id: str | None
    agent_id: str | None
    period: str
    limit_micros: int
    hard: bool
    spent_micros: int
    reserved_micros: int
    starts_at: datetime
    ends_at: datetime

    @property
    def free_micros(self) -> int:
        return self.limit_micros - self.spent_micros - self.reserved_micros


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to a period's counts."""

    period_id: int
    spent: int = 0
    reserved: int = 0


# Of a period that nobody has begun an answer in there is no row yet: what it would begin with is counted.
_PRESENT: Final = """
SELECT b.id::text, b.user_id::text, b.agent_id::text, b.period, b.limit_micros, b.hard, start.at AS starts_at,
    start.at + ('1 ' || b.period)::interval AS ends_at, coalesce(p.reserved_micros, 0) AS reserved_micros,
    coalesce(p.spent_micros, (
        SELECT coalesce(sum(r.charged_micros), 0)::bigint FROM reservations AS r
        WHERE r.project_id = b.project_id AND r.reserved_at >= start.at AND r.settled_at IS NOT NULL
            AND (b.user_id IS NULL OR r.user_id = b.user_id) AND (b.agent_id IS NULL OR r.agent_id = b.agent_id)
    )) AS spent_micros
FROM budgets AS b
CROSS JOIN LATERAL (SELECT date_trunc(b.period, now(), 'UTC') AS at) AS start
LEFT JOIN budget_periods AS p ON p.budget_id = b.id AND p.starts_at = start.at
WHERE b.project_id = $1 AND b.ended_at IS NULL AND ($2 OR
    b.hard AND (b.user_id = $3 OR b.user_id IS NULL) AND (b.agent_id = $4 OR b.agent_id IS NULL))
ORDER BY b.created_at, b.id
"""


async def of_project(db: "Connection | asyncpg.Pool[asyncpg.Record]", project_id: str) -> list[Budget]:
    """All budgets of a project, the oldest first."""
    return [Budget(**dict(row)) for row in await db.fetch(_PRESENT, project_id, True, None, None)]


async def used_up(
    db: "Connection | asyncpg.Pool[asyncpg.Record]", project_id: str, user_id: str, agent_id: str
) -> Budget | None:
    """A hard budget that has nothing left for an answer of this agent to this person, of several the one that lasts
    longest; None where there is none."""
    found = [Budget(**dict(row)) for row in await db.fetch(_PRESENT, project_id, False, user_id, agent_id)]
    return max((b for b in found if b.free_micros <= 0), key=lambda b: b.ends_at, default=None)


async def replace(connection: "Connection", project_id: str, wanted: Sequence[Wanted]) -> None:
    """Make these a project's budgets; those of the same person, agent and period keep what they have counted. Within a
    transaction of the caller's."""
    kept = [ids.budget_id(project_id, w.user_id, w.agent_id, w.period) for w in wanted]
    await connection.execute(
        "UPDATE budgets SET ended_at = now() WHERE project_id = $1 AND ended_at IS NULL AND id <> ALL($2::uuid[])",
        project_id,
        kept,
    )
    await connection.execute(
        """
        INSERT INTO budgets (id, project_id, user_id, agent_id, period, limit_micros, hard)
        SELECT w.id, $1, w.user_id, w.agent_id, w.period, w.limit_micros, w.hard
        FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::boolean[])
            AS w (id, user_id, agent_id, period, limit_micros, hard)
        ON CONFLICT (id) DO UPDATE SET limit_micros = excluded.limit_micros, hard = excluded.hard, ended_at = NULL
        """,
        project_id,
        kept,
        [w.user_id for w in wanted],
        [w.agent_id for w in wanted],
        [w.period for w in wanted],
        [w.limit_micros for w in wanted],
        [w.hard for w in wanted],
    )


async def move(connection: "Connection", changes: Sequence[Change]) -> None:
    """Change counts, and write down which notices are due now."""
    if not changes:
        return
    moved = await connection.fetch(
        """
        WITH wanted AS (
            SELECT id, sum(spent)::bigint AS spent, sum(reserved)::bigint AS reserved
            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS change (id, spent, reserved) GROUP BY id
        )
        UPDATE budget_periods AS p
        SET spent_micros = p.spent_micros + wanted.spent, reserved_micros = p.reserved_micros + wanted.reserved
        FROM wanted WHERE p.id = wanted.id
        RETURNING p.id, wanted.spent
        """,
        [c.period_id for c in changes],
        [c.spent for c in changes],
        [c.reserved for c in changes],
    )
    if spent := [row["id"] for row in moved if row["spent"]]:
        await _tell(connection, spent)


# Whoever runs the project, and the person whose budget it is; `store` leaves out who is no member any more.
_TOLD: Final = """
WITH due AS (
    INSERT INTO budget_notices (budget_period_id, percent)
    SELECT p.id, percent FROM budget_periods AS p JOIN budgets AS b ON b.id = p.budget_id
    CROSS JOIN unnest($2::integer[]) AS percent
    WHERE p.id = ANY($1::bigint[]) AND p.spent_micros * 100 >= b.limit_micros * percent
    ON CONFLICT DO NOTHING RETURNING budget_period_id, percent, at
)
SELECT due.percent, due.at, b.id::text AS budget_id, b.project_id::text, b.limit_micros, b.hard, b.period, p.starts_at,
    p.spent_micros, w.currency, told.user_id::text
FROM due JOIN budget_periods AS p ON p.id = due.budget_period_id JOIN budgets AS b ON b.id = p.budget_id
JOIN wallets AS w ON w.project_id = b.project_id
CROSS JOIN LATERAL (
    SELECT user_id FROM project_members WHERE project_id = b.project_id AND role IN ('owner', 'admin')
    UNION SELECT b.user_id WHERE b.user_id IS NOT NULL
) AS told
"""


async def _tell(connection: "Connection", period_ids: Sequence[int]) -> None:
    due = await connection.fetch(_TOLD, list(period_ids), list(NOTICES))
    await notifications.store(
        connection,
        [
            Notice(
                id=ids.notification_id(
                    row["budget_id"], f"{Kind.BUDGET}/{row['starts_at'].isoformat()}/{row['percent']}", row["user_id"]
                ),
                user_id=row["user_id"],
                kind=Kind.BUDGET,
                project_id=row["project_id"],
                occurred_at=row["at"],
                data={
                    "budget_id": row["budget_id"],
                    "percent": row["percent"],
                    "limit_micros": row["limit_micros"],
                    "spent_micros": row["spent_micros"],
                    "currency": row["currency"],
                    "period": row["period"],
                    "hard": "yes" if row["hard"] else "no",
                },
            )
            for row in due
        ],
    )

"""Budgets: how much a project, a person or an agent may take in a day, a week or a month, by UTC.

A hard budget holds: nothing is begun that it does not pay for. A soft one only counts, and tells. What counts in a
period is what was held, and then charged, of the answers begun in it. One that is set in the middle of a period counts
the answers of that period that are over; those that are being made at that moment it does not count.

Periods change only while the wallet of their project is locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

NOTICES: Final = (80, 100)
"""Percent of a budget that people are told of when it is reached, once in a period."""


@dataclass(frozen=True, slots=True)
class Period:
    """A budget in its present period; `free_micros` is below nothing where the limit was lowered."""

    id: int
    hard: bool
    free_micros: int


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to a period's counts."""

    period_id: int
    spent: int = 0
    reserved: int = 0


async def open_periods(connection: "Connection", project_id: str, user_id: str, agent_id: str) -> list[Period]:
    """The present periods of all budgets that an answer of this agent to this person counts in."""
    wanted = await connection.fetch(
        """
        SELECT b.id AS budget_id, start.at, b.hard, b.limit_micros, p.id, p.spent_micros, p.reserved_micros
        FROM budgets AS b
        CROSS JOIN LATERAL (SELECT date_trunc(b.period, now(), 'UTC') AS at) AS start
        LEFT JOIN budget_periods AS p ON p.budget_id = b.id AND p.starts_at = start.at
        WHERE b.project_id = $1 AND (b.user_id = $2 OR b.user_id IS NULL) AND (b.agent_id = $3 OR b.agent_id IS NULL)
            AND b.ended_at IS NULL
        ORDER BY b.id
        """,
        project_id,
        user_id,
        agent_id,
    )
    return [await _opened(connection, row) for row in wanted]


async def _opened(connection: "Connection", row: asyncpg.Record) -> Period:
    if row["id"] is not None:
        return Period(row["id"], row["hard"], row["limit_micros"] - row["spent_micros"] - row["reserved_micros"])
    opened = await connection.fetchrow(
        """
        INSERT INTO budget_periods (budget_id, starts_at, spent_micros)
        SELECT b.id, $2, coalesce(sum(r.charged_micros), 0)::bigint
        FROM budgets AS b
        LEFT JOIN reservations AS r ON r.project_id = b.project_id AND r.reserved_at >= $2 AND r.settled_at IS NOT NULL
            AND (b.user_id IS NULL OR r.user_id = b.user_id) AND (b.agent_id IS NULL OR r.agent_id = b.agent_id)
        WHERE b.id = $1 GROUP BY b.id
        RETURNING id, spent_micros
        """,
        row["budget_id"],
        row["at"],
    )
    assert opened is not None, "there is such a budget"
    return Period(opened["id"], row["hard"], row["limit_micros"] - opened["spent_micros"])


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
    if spent := [row for row in moved if row["spent"]]:
        await connection.execute(
            """
            INSERT INTO budget_notices (budget_period_id, percent)
            SELECT p.id, percent FROM budget_periods AS p JOIN budgets AS b ON b.id = p.budget_id
            CROSS JOIN unnest($2::integer[]) AS percent
            WHERE p.id = ANY($1::bigint[]) AND p.spent_micros * 100 >= b.limit_micros * percent
            ON CONFLICT DO NOTHING
            """,
            [row["id"] for row in spent],
            list(NOTICES),
        )

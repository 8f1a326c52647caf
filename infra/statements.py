"""What a project's answers took, by whom and when, and a month of its books.

Usage counts in the time in which an answer ended. A statement has what was booked in its month, and so never changes
once the month is over: what was booked late stands on the next one, and is told apart there.

Every function raises one of `infra.postgres.AWAY` while PostgreSQL is away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

GROUPS: Final = ("day", "user", "agent")
# Read as text when they have been added up: a million answers are of a few days, people and agents.
_USED: Final = """
SELECT to_char(day, 'YYYY-MM-DD') AS day, user_id::text, agent_id::text, runs, estimated_runs, input_tokens,
    cached_input_tokens, output_tokens, cost_micros, charged_micros, currency
FROM (
    SELECT CASE WHEN $4 THEN (occurred_at AT TIME ZONE 'UTC')::date END AS day,
        CASE WHEN $5 THEN user_id END AS user_id, CASE WHEN $6 THEN agent_id END AS agent_id,
        count(*) AS runs, count(*) FILTER (WHERE source = 'estimated') AS estimated_runs,
        sum(input_tokens)::bigint AS input_tokens, sum(cached_input_tokens)::bigint AS cached_input_tokens,
        sum(output_tokens)::bigint AS output_tokens, sum(cost_micros)::bigint AS cost_micros,
        sum(charged_micros)::bigint AS charged_micros, currency
    FROM usage_records
    WHERE project_id = $1 AND occurred_at >= $2 AND occurred_at < $3 AND billable
    GROUP BY 1, 2, 3, currency
) AS used
ORDER BY 1, 2, 3, currency LIMIT $7
"""


@dataclass(frozen=True, slots=True)
class Used:
    """What some answers took. Null: of all days, people or agents.

    Attributes:
        estimated_runs: those of them whose provider told no usage.
        cost_micros: by the price; `charged_micros` of it were taken from the wallet.
    """

    day: str | None
    user_id: str | None
    agent_id: str | None
    runs: int
    estimated_runs: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_micros: int
    charged_micros: int
    currency: str


_COUNTS: Final = (
    "runs",
    "estimated_runs",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "cost_micros",
    "charged_micros",
)


async def usage(
    connection: "Connection", project_id: str, start: datetime, end: datetime, group_by: Sequence[str], limit: int
) -> list[Used]:
    """What answers took that ended from `start` to before `end`; `limit` rows at most, the first days first.

    Args:
        group_by: of `GROUPS`.
    """
    groups = [name in group_by for name in GROUPS]
    return [Used(**dict(row)) for row in await connection.fetch(_USED, project_id, start, end, *groups, limit)]


def together(rows: Iterable[Used]) -> list[Used]:
    """One row for each currency, of all these."""
    found: dict[str, Used] = {}
    for row in rows:
        before = found.get(row.currency)
        counts = {} if before is None else {name: getattr(before, name) + getattr(row, name) for name in _COUNTS}
        found[row.currency] = replace(row, day=None, user_id=None, agent_id=None, **counts)
    return [found[currency] for currency in sorted(found)]


@dataclass(frozen=True, slots=True)
class Line:
    """What an agent's answers were charged in a month."""

    agent_id: str
    runs: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    charged_micros: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A month of a wallet, with what is held for answers: `opening` + `credit` - `charged` + `reversed` = `closing`.

    Attributes:
        late_micros: of `charged`, for answers that ended before this month.
        ended: whether the month is over: then nothing of this changes any more.
    """

    starts_at: datetime
    ends_at: datetime
    currency: str
    opening_micros: int
    credit_micros: int
    charged_micros: int
    late_micros: int
    reversed_micros: int
    closing_micros: int
    charges: list[Line]
    ended: bool


async def first_month(connection: "Connection", project_id: str) -> datetime | None:
    """When the first entry was booked; None where there is none."""
    found: datetime | None = await connection.fetchval(
        "SELECT recorded_at FROM ledger_entries WHERE project_id = $1 ORDER BY id LIMIT 1", project_id
    )
    return found


_BOOKED: Final = """
SELECT w.currency, now() >= $3 AS ended,
    coalesce(sum(l.amount_micros) FILTER (WHERE l.recorded_at < $2), 0)::bigint AS opening_micros,
    coalesce(sum(l.amount_micros) FILTER (WHERE l.recorded_at >= $2 AND l.kind = 'credit'), 0)::bigint AS credit_micros,
    -coalesce(sum(l.amount_micros) FILTER (WHERE l.recorded_at >= $2 AND l.kind = 'charge'), 0)::bigint
        AS charged_micros,
    -coalesce(sum(l.amount_micros) FILTER (
        WHERE l.recorded_at >= $2 AND l.kind = 'charge' AND l.occurred_at < $2), 0)::bigint AS late_micros,
    coalesce(sum(l.amount_micros) FILTER (WHERE l.recorded_at >= $2 AND l.kind = 'reverse'), 0)::bigint
        AS reversed_micros,
    coalesce(sum(l.amount_micros), 0)::bigint AS closing_micros
FROM wallets AS w
LEFT JOIN ledger_entries AS l ON l.project_id = w.project_id AND l.account IN ('wallet', 'reservation')
    AND l.recorded_at < $3
WHERE w.project_id = $1 GROUP BY w.project_id
"""
_CHARGES: Final = """
SELECT u.agent_id::text, count(*) AS runs, sum(u.input_tokens)::bigint AS input_tokens,
    sum(u.cached_input_tokens)::bigint AS cached_input_tokens, sum(u.output_tokens)::bigint AS output_tokens,
    -sum(l.amount_micros)::bigint AS charged_micros
FROM ledger_entries AS l JOIN usage_records AS u ON u.run_id = l.run_id AND u.billable
WHERE l.project_id = $1 AND l.account = 'wallet' AND l.kind = 'charge' AND l.recorded_at >= $2 AND l.recorded_at < $3
GROUP BY u.agent_id ORDER BY charged_micros DESC, agent_id
"""


async def statement(
    connection: "Connection", project_id: str, starts_at: datetime, ends_at: datetime
) -> Statement | None:
    """The books of a month; None where the project has none."""
    row = await connection.fetchrow(_BOOKED, project_id, starts_at, ends_at)
    if row is None:
        return None
    charges = [Line(**dict(line)) for line in await connection.fetch(_CHARGES, project_id, starts_at, ends_at)]
    return Statement(starts_at=starts_at, ends_at=ends_at, charges=charges, **dict(row))

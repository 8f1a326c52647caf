"""Webhooks and what they are sent, as rows.

Every function raises one of `infra.postgres.AWAY` while PostgreSQL is away.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
from msgspec import Struct

from infra.settings import switched_on

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

LEASE_S: Final = 60.0
"""Seconds after which a delivery whose attempt nobody has noted is attempted again: more than an attempt may take."""

# The notifications are the transaction's own, so each is enqueued once.
_ENQUEUE: Final = """
INSERT INTO webhook_deliveries (id, webhook_id, notification_id, body)
SELECT gen_random_uuid(), w.id, n.id, jsonb_build_object(
    'type', 'notification.' || n.kind,
    'timestamp', to_char(n.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'data', n.data || jsonb_build_object('id', n.id, 'user_id', n.user_id, 'project_id', n.project_id)
)::text
FROM notifications AS n
JOIN webhooks AS w ON w.project_id = n.project_id AND w.disabled_at IS NULL
    AND (cardinality(w.kinds) = 0 OR n.kind = ANY(w.kinds))
LEFT JOIN notification_preferences AS p ON p.user_id = n.user_id AND p.kind = n.kind
WHERE n.id = ANY($1::uuid[]) AND coalesce(p.webhook, true)
FOR KEY SHARE OF w
"""
# One of each webhook at a time: a receiver that hangs keeps nobody else's waiting.
_CLAIM: Final = """
UPDATE webhook_deliveries AS d SET next_at = now() + make_interval(secs => $1) FROM (
    SELECT due.id, w.url, w.secret, w.failing_since,
        CASE WHEN w.secret_before_until > now() THEN w.secret_before END AS secret_before
    FROM webhooks AS w
    JOIN projects AS p ON p.id = w.project_id AND p.deleted_at IS NULL
    CROSS JOIN LATERAL (
        SELECT id FROM webhook_deliveries WHERE webhook_id = w.id AND next_at <= now()
        ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE w.disabled_at IS NULL AND w.id <> ALL($2::uuid[]) LIMIT $3
) AS c WHERE d.id = c.id
RETURNING d.id::text, d.webhook_id::text, d.body, jsonb_array_length(d.attempts) AS attempts, c.url, c.secret,
    c.secret_before, coalesce(extract(epoch FROM now() - c.failing_since), 0)::float8 AS failing_s
"""
_NOTE: Final = """
UPDATE webhook_deliveries SET status = $2, next_at = now() + make_interval(secs => $3),
    attempts = attempts || jsonb_build_array($4::jsonb)
WHERE id = $1
"""
_WENT_WELL: Final = "UPDATE webhooks SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL"
_FAILED: Final = "UPDATE webhooks SET failing_since = coalesce(failing_since, now()) WHERE id = $1"
_DISABLE: Final = "UPDATE webhooks SET disabled_at = now(), disabled_why = $2 WHERE id = $1 AND disabled_at IS NULL"
_GIVE_UP: Final = """
UPDATE webhook_deliveries SET status = 'failed', next_at = NULL WHERE webhook_id = $1 AND status = 'waiting'
"""


@dataclass(frozen=True)
class WebhookSettings:
    private_addresses: bool = False
    """Whether webhooks may have addresses inside (127.0.0.1, 10.0.0.0/8, …) and plain http: for trying them on one
    machine. Elsewhere it lets people call what only our servers can reach."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "WebhookSettings":
        """Raises `infra.settings.BadSetting`."""
        return cls(private_addresses=switched_on(env, "CHORUS_WEBHOOK_PRIVATE_ADDRESSES"))


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt to deliver; `status` is the receiver's HTTP status, or `error` says why there is none."""

    at: datetime
    took_ms: int
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A delivery that is ours to attempt for `LEASE_S`.

    Attributes:
        attempts: how many were made before.
        secrets: sealed under the webhook's id (`infra.secrets`), the newest first.
        failing_s: seconds since the webhook's first failure after its last success; 0 where there is none.
    """

    id: str
    webhook_id: str
    url: str
    body: str
    attempts: int
    failing_s: float
    secrets: list[bytes] = field(repr=False)


async def enqueue(connection: "Connection", notification_ids: Sequence[str]) -> None:
    """Have these notifications, which the caller's transaction has just stored, sent to the webhooks that want them."""
    await connection.execute(_ENQUEUE, notification_ids)


async def claim(connection: "Connection", but: Collection[str], limit: int) -> list[Claimed]:
    """Deliveries that are due, one of each webhook at most.

    Args:
        but: webhooks that have an attempt under way here.
    """
    return [
        Claimed(
            id=row["id"],
            webhook_id=row["webhook_id"],
            url=row["url"],
            body=row["body"],
            attempts=row["attempts"],
            failing_s=row["failing_s"],
            secrets=[secret for secret in (row["secret"], row["secret_before"]) if secret is not None],
        )
        for row in await connection.fetch(_CLAIM, LEASE_S, list(but), limit)
    ]


async def note(
    connection: "Connection",
    delivery: Claimed,
    attempt: Attempt,
    *,
    status: str,
    again_s: float | None,
    disable: str | None,
) -> None:
    """Write down what became of an attempt, in the caller's transaction.

    Args:
        status, again_s, disable: as in `streams.rules.webhooks.Verdict`.
    """
    await connection.execute(_NOTE, delivery.id, status, again_s, msgspec.json.encode(attempt).decode())
    await connection.execute(_WENT_WELL if status == "delivered" else _FAILED, delivery.webhook_id)
    if disable is not None:
        await connection.execute(_DISABLE, delivery.webhook_id, disable)
        await connection.execute(_GIVE_UP, delivery.webhook_id)


async def forget(connection: "Connection", before: datetime) -> None:
    """Delete what was done with before, and its attempts."""
    await connection.execute("DELETE FROM webhook_deliveries WHERE created_at < $1 AND status <> 'waiting'", before)

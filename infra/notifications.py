"""Notifications as rows: stored by whoever makes something true, in that transaction; told and read afterwards.

Every function raises one of `infra.postgres.AWAY` while PostgreSQL is away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from infra import webhooks
from schemas import frames
from schemas.notifications import Kind, Notice, Wishes

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

MAIL_AFTER_S: Final = 300.0
"""Seconds after which a notification that nobody has read is mailed: whoever is at a screen needs no mail."""

# Whoever is no member (any more) is told nothing of a project. The lock keeps them, and with them their account, until
# the notification is stored.
_STORE: Final = """
INSERT INTO notifications (id, user_id, kind, project_id, data, occurred_at, in_app, mail_at)
SELECT n.id, n.user_id, n.kind, n.project_id, n.data, n.occurred_at, coalesce(p.app, true),
    CASE WHEN p.email THEN now() + make_interval(secs => $7) END
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::jsonb[], $6::timestamptz[])
    WITH ORDINALITY AS n (id, user_id, kind, project_id, data, occurred_at, place)
JOIN project_members AS m ON m.project_id = n.project_id AND m.user_id = n.user_id
LEFT JOIN notification_preferences AS p ON p.user_id = n.user_id AND p.kind = n.kind
ORDER BY n.place
FOR KEY SHARE OF m
ON CONFLICT DO NOTHING RETURNING id::text, kind
"""
_PAGE: Final = """
SELECT id::text, kind, project_id::text, data, occurred_at, created_at, read_at IS NOT NULL AS read
FROM notifications
WHERE user_id = $1 AND in_app AND (read_at IS NULL OR NOT $2)
    AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
ORDER BY created_at DESC, id DESC LIMIT $5
"""
_UNTOLD: Final = """
SELECT user_id::text, id::text, kind, project_id::text, data, occurred_at, created_at, read_at IS NOT NULL AS read
FROM notifications WHERE in_app AND told_at IS NULL ORDER BY created_at LIMIT $1
"""
_UNREAD: Final = """
SELECT user_id::text, count(*) AS unread FROM notifications
WHERE user_id = ANY($1::uuid[]) AND in_app AND read_at IS NULL GROUP BY user_id
"""
# What comes later stays unread, though it may be dated before what was read: it was not there to be seen.
_READ: Final = """
UPDATE notifications AS n SET read_at = now() FROM notifications AS last
WHERE last.id = $2 AND n.user_id = $1 AND n.in_app AND n.read_at IS NULL
    AND (n.created_at, n.id) <= (last.created_at, last.id)
"""
_WISHES: Final = "SELECT kind, app, webhook, email FROM notification_preferences WHERE user_id = $1"
_WISH: Final = """
INSERT INTO notification_preferences (user_id, kind, app, webhook, email)
SELECT $1, * FROM unnest($2::text[], $3::boolean[], $4::boolean[], $5::boolean[])
ON CONFLICT (user_id, kind) DO UPDATE SET app = excluded.app, webhook = excluded.webhook, email = excluded.email
"""
# `address` is null where nobody is to be mailed any more: it was read, or they left, or have no address of their own.
_TO_MAIL: Final = """
UPDATE notifications AS n SET mail_at = now() + make_interval(secs => $1) FROM (
    SELECT id FROM notifications WHERE mail_at <= now() ORDER BY mail_at LIMIT $2 FOR UPDATE SKIP LOCKED
) AS due, users AS u
WHERE n.id = due.id AND u.id = n.user_id
RETURNING n.id::text, n.kind, n.mail_tries AS tries, CASE
    WHEN n.read_at IS NULL AND u.email_verified_at IS NOT NULL AND EXISTS (
        SELECT FROM project_members AS m WHERE m.project_id = n.project_id AND m.user_id = n.user_id
    ) THEN u.email END AS address
"""
_MAILED: Final = """
UPDATE notifications SET mail_at = now() + make_interval(secs => $2), mail_tries = mail_tries + 1 WHERE id = $1
"""
_MINE: Final = "SELECT EXISTS (SELECT FROM notifications WHERE id = $2 AND user_id = $1 AND in_app)"


async def store(connection: "Connection", notices: Sequence[Notice]) -> list[str]:
    """Store those that are not stored yet, of people who are members of the project they are about, in the caller's
    transaction, with what is to be sent to webhooks; returns the kind of each that is new."""
    if not notices:
        return []
    rows = await connection.fetch(
        _STORE,
        [n.id for n in notices],
        [n.user_id for n in notices],
        [n.kind for n in notices],
        [n.project_id for n in notices],
        [msgspec.json.encode(n.data).decode() for n in notices],
        [n.occurred_at for n in notices],
        MAIL_AFTER_S,
    )
    if rows:
        await webhooks.enqueue(connection, [row["id"] for row in rows])
    return [row["kind"] for row in rows]


# -- telling --


async def untold(connection: "Connection", limit: int) -> list[tuple[str, frames.Notification]]:
    """Whom to tell of what, the oldest first: what nobody has noted to be told."""
    return [(row["user_id"], _notification(row)) for row in await connection.fetch(_UNTOLD, limit)]


async def told(connection: "Connection", ids: Sequence[str]) -> None:
    """Note that these were told."""
    await connection.execute("UPDATE notifications SET told_at = now() WHERE id = ANY($1::uuid[])", ids)


async def forget(connection: "Connection", before: datetime) -> None:
    """Delete what is older, read or not."""
    await connection.execute("DELETE FROM notifications WHERE created_at < $1", before)


# -- mailing --


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """A notification that is ours to mail for a while; `address` is None where that is not to be done any more."""

    id: str
    kind: str
    tries: int
    address: str | None


async def to_mail(connection: "Connection", lease_s: float, limit: int) -> list[Mailing]:
    """What is due to be mailed. What is not noted as mailed within so many seconds is due again."""
    return [Mailing(**row) for row in await connection.fetch(_TO_MAIL, lease_s, limit)]


async def mailed(connection: "Connection", id: str, again_s: float | None) -> None:
    """Note that it was mailed, or given up; with `again_s` it is tried again after so many seconds."""
    await connection.execute(_MAILED, id, again_s)


# -- reading --


async def page(
    connection: "Connection", user_id: str, *, unread_only: bool, after: tuple[datetime, str] | None, limit: int
) -> list[frames.Notification]:
    """This person's notifications, the newest first.

    Args:
        after: time and id of the last one of the page before.
    """
    return [
        _notification(row)
        for row in await connection.fetch(_PAGE, user_id, unread_only, *(after or (None, None)), limit)
    ]


async def unread(connection: "Connection", user_ids: Sequence[str]) -> Mapping[str, int]:
    """How many notifications each of these people has not read."""
    found = {row["user_id"]: row["unread"] for row in await connection.fetch(_UNREAD, user_ids)}
    return {user_id: found.get(user_id, 0) for user_id in user_ids}


async def read(connection: "Connection", user_id: str, up_to: str) -> int | None:
    """Mark this person's notification `up_to` as read, and all that are shown below it; returns how many are still
    unread. None, and nothing is done, where it is none of theirs."""
    if not await connection.fetchval(_MINE, user_id, up_to):
        return None
    await connection.execute(_READ, user_id, up_to)
    return (await unread(connection, [user_id]))[user_id]


def _notification(row: "asyncpg.Record") -> frames.Notification:
    return frames.Notification(
        id=row["id"],
        kind=row["kind"],
        project_id=row["project_id"],
        data=msgspec.json.decode(row["data"]),
        occurred_at=row["occurred_at"],
        created_at=row["created_at"],
        read=row["read"],
    )


# -- preferences --


async def wishes(connection: "Connection", user_id: str) -> dict[Kind, Wishes]:
    """What this person wants of every kind."""
    rows = await connection.fetch(_WISHES, user_id)
    said = {row["kind"]: Wishes(app=row["app"], webhook=row["webhook"], email=row["email"]) for row in rows}
    return {kind: said.get(kind, Wishes()) for kind in Kind}


async def wish(connection: "Connection", user_id: str, wanted: Mapping[Kind, Wishes]) -> None:
    """From now on this person wants this of these kinds. What was stored before stays as it is.

    Raises:
        asyncpg.ForeignKeyViolationError: there is no such person.
    """
    said = list(wanted.values())
    await connection.execute(
        _WISH,
        user_id,
        list(wanted),
        [w.app for w in said],
        [w.webhook for w in said],
        [w.email for w in said],
    )

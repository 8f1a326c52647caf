"""Deleting a person: at once what can be done at once, the rest driven by a row until it is done. See ADR 0030.

One transaction destroys the data key, the account and everything that names it, and leaves a row in `erasures`. From
its commit on no copy of the log can be read, nobody can sign in, and nothing is left to be decided; whichever API
process finds the row deletes the opened texts, and looks again once no process can remember the key.
"""

import asyncio
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

import asyncpg
import structlog
from msgspec import Struct

from edge import audit, outbox, refresh_tokens
from edge.errors import invalid
from edge.problems import Conflict
from infra import live, redis
from infra.deltas import deltas_key
from infra.keyring import FRESH_S
from infra.postgres import AWAY
from schemas.ids import new_id

if TYPE_CHECKING:
    from redis.asyncio import Redis

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

log = structlog.get_logger(__name__)

AGAIN_AFTER: Final = timedelta(seconds=FRESH_S + 30)
"""How long after the key was destroyed it is looked again: no process remembers a key for longer than `FRESH_S`, and
none takes as long as the rest to write what it has opened."""
LOOK_S: Final = 1.0
"""Seconds between two looks for something to do."""
_LEASE: Final = timedelta(seconds=60)
"""How long one process may take for one round before another one does it, too: doing it twice changes nothing."""
_BATCH: Final = 1_000
"""Messages in one transaction: nobody waits for long for a row."""
_FORGET_EVERY_S: Final = 3600.0
"""Seconds between two removals of audit entries that are old enough."""
_STATEMENT_S: Final = 25.0

SCHEMAS: Final = ("public", "replay", "replay_old")
"""Where opened texts stand: the tables, those that a replay is filling, and those that the last one has put away."""


class Kept(Struct, frozen=True):
    """Something that stays, and why."""

    what: str
    why: str


class Receipt(Struct, frozen=True, kw_only=True):
    """What became of a person's data. It names nobody but by the id that nothing stands behind any more."""

    id: str
    user_id: str
    at: datetime
    done: list[str]
    kept: list[Kept]


DONE: Final = (
    "Your account, your ways to sign in and your sign-ins are gone; you were signed out everywhere.",
    "Your data key is destroyed: your messages, the answers to them and the titles you gave cannot be read any more in "
    "the message log, its archives, and all copies of them.",
    "Your memberships, pins, shared links and invitations are gone, and so are projects that only you were in, with "
    "their agents and their secrets.",
    "The opened texts in the database, in its caches and in rebuilds under way are being deleted now. They are looked "
    "for again after 90 seconds, when no running process can remember your key; ask for this receipt again to see that "
    "it is done.",
)
KEPT: Final = (
    Kept("the times, lengths and order of your messages, under an id that leads to nobody", "threads of others go on"),
    Kept("sealed texts in the message log and its archives", "a log is not rewritten; without the key it says nothing"),
    Kept("backups of the database", "they expire one by one; putting one back deletes you again before it is used"),
    Kept(
        "entries of the audit log, by your id, without the addresses you came from, for 400 days",
        "security, and proof that this was done",
    ),
    Kept("what answers took and cost, and who put credit in, by your id", "books are kept as they were"),
    Kept("processes' logs, by your id and with addresses, until newer lines push them out", "finding faults"),
    Kept("what is on screens that show it at this moment, until they are closed", "it is not in our hands"),
    Kept("what others have copied, quoted or exported", "it is theirs"),
)

_LOCK: Final = "SELECT coalesce(email, display_name) FROM users WHERE id = $1 FOR NO KEY UPDATE"
# All that the person is or was in, because it is decided here who is left in each.
_PROJECTS: Final = """
SELECT p.id::text, p.name, p.deleted_at FROM projects AS p WHERE p.id IN (
    SELECT project_id FROM project_members WHERE user_id = $1
    UNION SELECT project_id FROM former_members WHERE user_id = $1
) ORDER BY p.id FOR UPDATE
"""
_OTHERS: Final = """
SELECT project_id::text, bool_or(role = 'owner') AS owned FROM (
    SELECT project_id, user_id, role FROM project_members UNION ALL SELECT project_id, user_id, role FROM former_members
) AS people WHERE project_id = ANY($1::uuid[]) AND user_id <> $2::uuid GROUP BY project_id
"""


_END_AGENTS: Final = """
UPDATE agents SET deleted_at = now() WHERE project_id = ANY($1::uuid[]) AND deleted_at IS NULL RETURNING id::text
"""
_BEGUN: Final = "INSERT INTO erasures (user_id, receipt_id, again_at) VALUES ($1, $2, now()) RETURNING asked_at"
_CLAIM: Final = """
UPDATE erasures SET again_at = now() + $1::interval WHERE user_id = (
    SELECT user_id FROM erasures WHERE done_at IS NULL AND again_at <= now()
    ORDER BY again_at LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING user_id, now() >= asked_at + $2::interval AS last
"""
_LATER: Final = "UPDATE erasures SET again_at = asked_at + $2::interval WHERE user_id = $1"
_FINISH: Final = "UPDATE erasures SET done_at = now() WHERE user_id = $1"
_DELETE_TEXTS: Final = """
UPDATE {schema}.messages SET content = '', content_deleted = true WHERE id IN (
    SELECT id FROM {schema}.messages WHERE owner_id = $1 AND NOT content_deleted LIMIT $2
)
"""
_UNTITLE: Final = "UPDATE {schema}.conversations SET title = NULL, title_by = NULL WHERE title_by = $1"
_CONVERSATIONS: Final = """
SELECT conversation_id FROM messages WHERE owner_id = $1 UNION SELECT id FROM conversations WHERE created_by = $1
"""
_STREAMED: Final = """
SELECT DISTINCT runs.id, attempt FROM messages JOIN runs ON question_id = messages.id
WHERE owner_id = $1 AND queued_at > now() - interval '1 day'
"""

_AT_ONCE: Final = (
    "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1 AND wrapped IS NOT NULL",
    # What nobody is known to have done may have been this person: who mistyped a password, say.
    """
    UPDATE audit_log SET address = NULL
    WHERE address IS NOT NULL AND (actor_id = $1 OR (user_id = $1 AND actor_id IS NULL))
    """,
    "DELETE FROM users WHERE id = $1",
)


async def begin(connection: "Connection", user_id: str, confirm: str | None = None) -> Receipt | None:
    """Delete a person, but for the opened texts, in one transaction; None where there is no such person.

    Their sign-ins have ended with its commit; to be spread (`edge.revocations`).

    Args:
        confirm: the person's e-mail address (without one, their name), as it was typed; None where somebody else has
            confirmed it.

    Raises:
        Refused: `confirm` is another address.
        Conflict: a project with other people would be left without an owner.
        one of `infra.postgres.AWAY`
    """
    async with connection.transaction():
        email = await connection.fetchval(_LOCK, user_id)
        if email is None:
            return None
        if confirm is not None and confirm.strip().lower() != email.lower():
            raise invalid(confirm="is not your e-mail address; nothing was deleted")
        await _leave_projects(connection, user_id)
        receipt_id = new_id()
        at = await connection.fetchval(_BEGUN, user_id, receipt_id)
        await audit.record(connection, audit.Event.USER_DELETED, actor_id=user_id, receipt_id=receipt_id)
        await refresh_tokens.revoke_all(connection, UUID(user_id))
        await connection.execute("DELETE FROM invitations WHERE lower(email) = lower($1)", email)
        for statement in _AT_ONCE:
            await connection.execute(statement, user_id)
    return Receipt(id=receipt_id, user_id=user_id, at=at, done=list(DONE), kept=list(KEPT))


async def _leave_projects(connection: "Connection", user_id: str) -> None:
    """Leave every project, and end those that nobody else is in."""
    projects = {row["id"]: row for row in await connection.fetch(_PROJECTS, user_id)}
    others = {row["project_id"]: row["owned"] for row in await connection.fetch(_OTHERS, list(projects), user_id)}
    alone = [projects[id] for id, owned in others.items() if not owned]
    if orphans := [f"{project['name']} ({project['id']})" for project in alone if project["deleted_at"] is None]:
        raise Conflict(
            projects=f"You are the only owner of {', '.join(orphans)}, where others are members: make one of them an "
            "owner, or delete the project, and then your account. Nothing was deleted."
        )
    ending = projects.keys() - others.keys()
    for row in await connection.fetch(_END_AGENTS, list(ending)):
        await outbox.agent_changed(connection, row["id"])
    await connection.execute("UPDATE projects SET deleted_at = now() WHERE id = ANY($1::uuid[])", list(ending))
    await connection.execute("DELETE FROM project_members WHERE user_id = $1", user_id)
    for project_id in sorted(projects):
        await outbox.project_changed(connection, project_id)
    await connection.execute("DELETE FROM projects WHERE id = ANY($1::uuid[])", list(ending))


# -- what is left to do ------------------------------------------------------------------------------------------------

_TRY_AGAIN: Final = (
    *AWAY,
    *redis.AWAY,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.UndefinedTableError,  # a replay has put its tables in place, or away, meanwhile
)


async def run(pool: "asyncpg.Pool[asyncpg.Record]", cache: "Redis") -> None:
    """Finish what was begun here or elsewhere, for as long as this process runs."""
    forget_at = time.monotonic()
    while True:
        try:
            while await step(pool, cache):
                pass
            if time.monotonic() >= forget_at:
                forget_at += _FORGET_EVERY_S
                await audit.forget_old(pool)
                await pool.execute("DELETE FROM erasures WHERE done_at < now() - $1::interval", audit.KEPT)
        except _TRY_AGAIN as error:
            log.warning("erasure waits", error=repr(error))
        await asyncio.sleep(LOOK_S)


async def step(pool: "asyncpg.Pool[asyncpg.Record]", cache: "Redis") -> bool:
    """Do one round for one person, if there is one to be done; whether there was."""
    claimed = await pool.fetchrow(_CLAIM, _LEASE, AGAIN_AFTER)
    if claimed is None:
        return False
    user_id = str(claimed["user_id"])
    await sweep(pool, cache, user_id)
    await pool.execute(_FINISH if claimed["last"] else _LATER, user_id, *([] if claimed["last"] else [AGAIN_AFTER]))
    log.info("erased" if claimed["last"] else "erased, to be looked at again", user_id=user_id)
    return True


async def sweep(pool: "asyncpg.Pool[asyncpg.Record]", cache: "Redis", user_id: str) -> None:
    """Delete the opened texts of somebody whose key is destroyed, wherever they are now.

    Raises:
        one of `infra.postgres.AWAY` or `infra.redis.AWAY`; asyncpg.LockNotAvailableError: a replay makes its indexes.
    """
    for schema in SCHEMAS:
        if await pool.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{schema}.messages"):
            while await _delete_texts(pool, schema, user_id) == _BATCH:
                pass
    conversations = [str(row[0]) for row in await pool.fetch(_CONVERSATIONS, user_id)]
    runs = await pool.fetch(_STREAMED, user_id)
    keys = [key for id in conversations for key in (live.state_key(id), live.records_key(id))]
    keys += [deltas_key(str(run["id"]), n + 1) for run in runs for n in range(run["attempt"])]
    for start in range(0, len(keys), _BATCH):
        await cache.delete(*keys[start : start + _BATCH])


async def _delete_texts(pool: "asyncpg.Pool[asyncpg.Record]", schema: str, user_id: str) -> int:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        await connection.execute(_UNTITLE.format(schema=schema), user_id, timeout=_STATEMENT_S)
        done = await connection.execute(_DELETE_TEXTS.format(schema=schema), user_id, _BATCH, timeout=_STATEMENT_S)
    return int(done.rpartition(" ")[2])

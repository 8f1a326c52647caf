"""What the history projection wrote: conversations, messages and runs as rows in PostgreSQL.

Every function raises one of `infra.postgres.AWAY` while PostgreSQL is away.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import msgspec
from msgspec import Struct

from schemas import events, frames, ids
from schemas.conversation import ConversationView, RunView

if TYPE_CHECKING:
    import asyncpg

    Database: TypeAlias = (
        asyncpg.Pool[asyncpg.Record]
        | asyncpg.Connection[asyncpg.Record]
        | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
    Row: TypeAlias = asyncpg.Record


class StoredMessage(Struct, frozen=True, kw_only=True):
    """A message with what clients do not see: `owner_id` is the person whose data key seals its text in the log."""

    position: int
    owner_id: str
    digest: str | None
    message: frames.Message


class StoredRun(Struct, frozen=True, kw_only=True):
    """A run, open or ended; `ended_position` is the position of the record that ended it."""

    run_id: str
    conversation_id: str
    message_id: str
    question_id: str
    user_id: str
    agent: events.AgentRef
    status: str
    keep: bool
    attempt: int
    last_seq: int
    finish_reason: str | None
    usage: events.Usage | None
    error: events.RunError | None
    queued_at: datetime
    requested_at: datetime | None
    ended_at: datetime | None
    ended_position: int | None


# -- conversations --

CONVERSATION_COLUMNS = """
    id::text AS conversation_id, project_id::text, created_by::text, created_at, updated_at, position, title,
    title_by::text, archived, deleted, deleted_at, purged, agent_id::text, last_question_id::text
"""

# One statement, because rows of two moments would be a state that never was.
_VIEW = f"""
SELECT {CONVERSATION_COLUMNS}, (
    SELECT json_agg(
        json_build_object(
            'run_id', id, 'message_id', message_id, 'question_id', question_id, 'user_id', user_id, 'agent', agent,
            'status', status, 'requested_at', requested_at, 'attempt', attempt, 'keep', keep
        )
        ORDER BY status = 'queued', ordinal
    )::text
    FROM runs WHERE conversation_id = conversations.id AND ended_at IS NULL
) AS runs
FROM conversations WHERE id = $1
"""

_open_runs = msgspec.json.Decoder(list[RunView])


async def load_view(db: "Database", conversation_id: str) -> ConversationView | None:
    """The conversation at history's position, its open runs in the order in which they will run."""
    row = await db.fetchrow(_VIEW, conversation_id)
    if row is None:
        return None
    found = dict(row)
    runs = _open_runs.decode(found.pop("runs") or "[]")
    return ConversationView(**found, runs={run.run_id: run for run in runs})


async def position(db: "Database", conversation_id: str) -> int:
    """How far history has got in this conversation; 0 where it has not seen it."""
    found: int | None = await db.fetchval("SELECT position FROM conversations WHERE id = $1", conversation_id)
    return found or 0


async def positions(db: "Database", conversation_ids: list[str]) -> dict[str, int]:
    """How far history has got in each of these conversations that it has seen."""
    rows = await db.fetch("SELECT id::text, position FROM conversations WHERE id = ANY($1::uuid[])", conversation_ids)
    return {row["id"]: row["position"] for row in rows}


_SUMMARIES = """
SELECT id::text, project_id::text, title, archived, deleted, deleted_at, agent_id::text, created_by::text, created_at,
    updated_at
FROM conversations
WHERE project_id = $1 AND {listed}
    AND ($2::boolean IS NULL OR archived = $2)
    AND ($3::text IS NULL OR strpos(lower(title), lower($3)) > 0)
    AND ($4::timestamptz IS NULL OR (updated_at, id) < ($4, $5::uuid))
    AND ($7::uuid IS NULL OR EXISTS (SELECT FROM pins WHERE user_id = $7 AND conversation_id = conversations.id))
ORDER BY updated_at DESC, id DESC
LIMIT $6
"""
# Written out, because each has an index of its own.
_PRESENT, _IN_BIN = _SUMMARIES.format(listed="NOT deleted"), _SUMMARIES.format(listed="deleted AND NOT purged")


async def conversation_summaries(
    db: "Database",
    project_id: str,
    *,
    deleted: bool = False,
    archived: bool | None = None,
    title: str | None = None,
    pinned_by: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int,
) -> list[frames.Conversation]:
    """A project's conversations, newest activity first.

    Args:
        deleted: those that are deleted and can be restored, instead of those that are not deleted.
        archived: only those that are, or are not; None for both.
        title: only those whose title contains this, in any case.
        pinned_by: only those that this person has pinned.
        before: `(updated_at, id)` of the last one of the page before.
    """
    at, last = before or (None, None)
    statement = _IN_BIN if deleted else _PRESENT
    rows = await db.fetch(statement, project_id, archived, title, at, last, limit, pinned_by)
    return [frames.Conversation(**row) for row in rows]


async def to_purge(db: "Database", kept_s: float, limit: int) -> list[tuple[str, datetime]]:
    """Conversations that were deleted more than `kept_s` seconds ago, and when, oldest first; by PostgreSQL's clock."""
    rows = await db.fetch(
        """
        SELECT id::text, deleted_at FROM conversations
        WHERE deleted AND NOT purged AND deleted_at < now() - $1 * interval '1 second' ORDER BY deleted_at LIMIT $2
        """,
        kept_s,
        limit,
    )
    return [(row["id"], row["deleted_at"]) for row in rows]


async def causes(db: "Database", conversation_id: str) -> list[str]:
    """The ids of the newest commands that updated the conversation, oldest first.

    Other commands need no list: what they made carries an id that follows from theirs.
    """
    found = await db.fetchval("SELECT causes::text[] FROM conversations WHERE id = $1", conversation_id)
    return found or []


async def remembered_cancels(db: "Database", conversation_id: str) -> set[str]:
    """The runs that were cancelled before their question came, and whose question has not come yet."""
    rows = await db.fetch(
        """
        SELECT run_id::text FROM remembered_cancels
        WHERE conversation_id = $1 AND NOT EXISTS (SELECT FROM runs WHERE id = run_id)
        """,
        conversation_id,
    )
    return {row["run_id"] for row in rows}


# -- messages --

_MESSAGE = """
    m.position, m.owner_id::text, m.digest, m.id::text, m.role, m.author_id::text, m.agent_id::text, m.content,
    m.run_id::text, m.parent_message_id::text, m.created_at, m.finish_reason, m.usage::text,
    m.content_deleted AS deleted, m.client_message_id::text
"""

_usage = msgspec.json.Decoder(events.Usage)


def _stored_message(row: "Row") -> StoredMessage:
    found = dict(row)
    usage = found.pop("usage")
    return StoredMessage(
        position=found.pop("position"),
        owner_id=found.pop("owner_id"),
        digest=found.pop("digest"),
        message=frames.Message(**found, usage=None if usage is None else _usage.decode(usage)),
    )


async def messages(
    db: "Database",
    conversation_id: str,
    *,
    after: int | None = None,
    before: int | None = None,
    limit: int,
    newest: bool = False,
) -> list[tuple[int, frames.Message]]:
    """Messages with their positions, oldest first.

    Args:
        after, before: only positions above, and below.
        newest: of those, the newest `limit` instead of the oldest.
    """
    direction = "DESC" if newest else "ASC"
    rows = await db.fetch(
        f"""
        SELECT {_MESSAGE} FROM messages AS m
        WHERE conversation_id = $1 AND position > $2 AND position < $3
        ORDER BY position {direction} LIMIT $4
        """,
        conversation_id,
        after or 0,
        2**62 if before is None else before,
        limit,
    )
    found = [(stored.position, stored.message) for stored in map(_stored_message, rows)]
    return found[::-1] if newest else found


async def outline(db: "Database", conversation_id: str, upto: int) -> list[tuple[str, str, str | None]]:
    """Id, role and parent of every message up to and with a position, in their order."""
    rows = await db.fetch(
        """
        SELECT id::text, role, parent_message_id::text FROM messages
        WHERE conversation_id = $1 AND position <= $2 ORDER BY position
        """,
        conversation_id,
        upto,
    )
    return [(row["id"], row["role"], row["parent_message_id"]) for row in rows]


async def some_messages(db: "Database", message_ids: Sequence[str]) -> dict[str, frames.Message]:
    """These messages, by their id; those that are gone are left out."""
    rows = await db.fetch(f"SELECT {_MESSAGE} FROM messages AS m WHERE id = ANY($1::uuid[])", message_ids)
    return {row["id"]: _stored_message(row).message for row in rows}


async def message(db: "Database", conversation_id: str, message_id: str) -> StoredMessage | None:
    """One message of this conversation."""
    row = await db.fetchrow(
        f"SELECT {_MESSAGE} FROM messages AS m WHERE id = $1 AND conversation_id = $2", message_id, conversation_id
    )
    return None if row is None else _stored_message(row)


async def rejections(
    db: "Database", conversation_id: str, user_id: str, after: int = 0
) -> list[tuple[int, frames.Rejected]]:
    """This person's refused messages above a position, with theirs, oldest first."""
    rows = await db.fetch(
        """
        SELECT position, message_id::text, client_message_id::text, code FROM rejections
        WHERE conversation_id = $1 AND user_id = $2 AND position > $3 ORDER BY position
        """,
        conversation_id,
        user_id,
        after,
    )
    return [
        (
            row["position"],
            frames.Rejected(message_id=row["message_id"], client_message_id=row["client_message_id"], code=row["code"]),
        )
        for row in rows
    ]


class Taken(Struct, frozen=True):
    """What became of a message: stored, with its run if an agent answers it, or refused with a `code`."""

    digest: str | None
    run_id: str | None
    code: str | None


async def taken(db: "Database", message_ids: Sequence[str]) -> list[Taken | None]:
    """What became of each of these messages of people, in their order; None where history knows nothing of it."""
    rows = await db.fetch(
        """
        SELECT m.id IS NULL AND r.code IS NULL AS unknown, m.digest, run.id::text AS run_id, r.code
        FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS wanted (message_id, run_id, n)
        LEFT JOIN messages m ON m.id = wanted.message_id
        LEFT JOIN runs run ON run.id = wanted.run_id
        LEFT JOIN rejections r ON r.message_id = wanted.message_id
        ORDER BY n
        """,
        message_ids,
        [ids.run_id(message_id) for message_id in message_ids],
    )
    return [None if row["unknown"] else Taken(row["digest"], row["run_id"], row["code"]) for row in rows]


# -- runs --

_RUN = """
    id::text AS run_id, conversation_id::text, message_id::text, question_id::text, user_id::text, agent::text, status,
    keep, attempt, last_seq, finish_reason, usage::text, error::text, queued_at, requested_at, ended_at, ended_position
"""

_agent = msgspec.json.Decoder(events.AgentRef)
_error = msgspec.json.Decoder(events.RunError)


def _stored_run(row: "Row") -> StoredRun:
    found = dict(row)
    usage, error = found.pop("usage"), found.pop("error")
    return StoredRun(
        agent=_agent.decode(found.pop("agent")),
        usage=None if usage is None else _usage.decode(usage),
        error=None if error is None else _error.decode(error),
        **found,
    )


async def run(db: "Database", conversation_id: str, run_id: str) -> StoredRun | None:
    """One run of this conversation."""
    row = await db.fetchrow(f"SELECT {_RUN} FROM runs WHERE id = $1 AND conversation_id = $2", run_id, conversation_id)
    return None if row is None else _stored_run(row)


async def runs_ended(db: "Database", conversation_id: str, after: int = 0, limit: int = 500) -> list[StoredRun]:
    """The runs that ended above a position, oldest end first."""
    rows = await db.fetch(
        f"""
        SELECT {_RUN} FROM runs WHERE conversation_id = $1 AND ended_position > $2
        ORDER BY ended_position LIMIT $3
        """,
        conversation_id,
        after,
        limit,
    )
    return [_stored_run(row) for row in rows]

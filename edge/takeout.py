"""Everything of one person's, as a zip of JSON lines, written while it is read: no more than a few rows are in memory.

Each file is what one statement finds, one row a line. A person's own texts are in it, and the answers that agents gave
them; what others wrote is not theirs to take.
"""

import io
import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import asyncpg
    from _typeshed import ReadableBuffer

    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

_ROWS: Final = 200
"""Rows that are read and packed at once."""

_README: Final = """\
Everything that Chorus holds of you, one JSON object a line, times in UTC.

profile            who you are here
memberships        the projects you are in, and as what
conversations      those you have started or written in; a title only where you may read it
messages           what you wrote, and the answers that agents gave you
runs               those answers' calls of agents, and what they used
agents             of the projects that you own; their secrets are not shown to anybody
sessions           your sign-ins
identities         your accounts at providers that you sign in with
pins, shares       what you have pinned, and the links you have made
invitations        to you, and by you
notifications      what you were told of; notification_preferences: by which channels you want to be
audit              what the audit log says that you did, and what was done to you
"""

FILES: Final = {
    "profile": "SELECT id, email, display_name, created_at, password_hash IS NOT NULL AS has_password FROM users "
    "WHERE id = $1",
    "memberships": """
        SELECT p.id AS project_id, p.name, m.role, m.created_at AS since FROM project_members AS m
        JOIN projects AS p ON p.id = m.project_id WHERE m.user_id = $1 ORDER BY m.created_at
        """,
    "conversations": """
        SELECT c.id, c.project_id, CASE WHEN c.title_by = $1 OR m.user_id IS NOT NULL THEN c.title END AS title,
            c.created_by, c.archived, c.deleted, c.created_at, c.updated_at
        FROM conversations AS c
        LEFT JOIN project_members AS m ON m.project_id = c.project_id AND m.user_id = $1 AND NOT c.deleted
        WHERE c.created_by = $1 OR c.id IN (SELECT conversation_id FROM messages WHERE owner_id = $1)
        ORDER BY c.created_at
        """,
    "messages": """
        SELECT id, conversation_id, position, role, author_id, agent_id, content, parent_message_id, run_id,
            finish_reason, usage, created_at
        FROM messages WHERE owner_id = $1 ORDER BY conversation_id, position
        """,
    "runs": """
        SELECT r.id, r.conversation_id, r.message_id, r.question_id, r.agent, r.status, r.attempt, r.finish_reason,
            r.usage, r.error, r.queued_at, r.ended_at
        FROM runs AS r WHERE r.user_id = $1 AND r.question_id IN (SELECT id FROM messages WHERE owner_id = $1)
        ORDER BY r.queued_at
        """,
    "agents": """
        SELECT a.id, a.project_id, a.name, v.version, v.config, v.created_at, a.deleted_at FROM agents AS a
        JOIN agent_versions AS v ON v.agent_id = a.id
        JOIN project_members AS m ON m.project_id = a.project_id AND m.user_id = $1 AND m.role = 'owner'
        ORDER BY a.created_at, v.version
        """,
    "identities": """
        SELECT provider, subject, email, created_at FROM identities WHERE user_id = $1 ORDER BY created_at
        """,
    "sessions": """
        SELECT family AS id, min(issued_at) AS created_at, max(issued_at) AS last_used_at,
            bool_or(revoked_at IS NOT NULL) AS ended
        FROM refresh_tokens WHERE user_id = $1 GROUP BY family ORDER BY created_at
        """,
    "pins": "SELECT conversation_id, pinned_at FROM pins WHERE user_id = $1 ORDER BY pinned_at",
    "shares": """
        SELECT id, conversation_id, created_at, revoked_at FROM shares WHERE created_by = $1 ORDER BY created_at
        """,
    "invitations": """
        SELECT id, project_id, email, role, invited_by, created_at, expires_at FROM invitations
        WHERE invited_by = $1 OR lower(email) = (SELECT lower(email) FROM users WHERE id = $1) ORDER BY created_at
        """,
    "notifications": """
        SELECT id, kind, project_id, data, occurred_at, created_at, read_at FROM notifications
        WHERE user_id = $1 ORDER BY created_at
        """,
    "notification_preferences": """
        SELECT kind, app, webhook, email FROM notification_preferences WHERE user_id = $1 ORDER BY kind
        """,
    "audit": """
        SELECT at, event, result, actor_id, user_id, project_id, CASE WHEN actor_id = $1 THEN address END AS address,
            request_id, what
        FROM audit_log WHERE actor_id = $1 OR user_id = $1 ORDER BY at, id
        """,
}
"""What is in it, and the statement that finds it; $1 is the person, and nothing else is given."""

_JSON: Final = ("usage", "error", "agent", "config", "data", "what")


async def packed(connection: "Connection", user_id: str, now: datetime) -> AsyncIterator[bytes]:
    """The zip, piece by piece, as of one moment.

    Raises:
        one of `infra.postgres.AWAY`: what was given out so far is no whole zip, and every unpacker says so.
    """
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_DEFLATED, compresslevel=5) as archive:
        archive.writestr("README.txt", _README)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for name, statement in FILES.items():
                entry = zipfile.ZipInfo(f"{name}.jsonl", now.timetuple()[:6])
                entry.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(entry, "w", force_zip64=True) as file:
                    rows = await connection.cursor(statement, user_id)
                    while found := await rows.fetch(_ROWS):
                        file.write(b"".join(_line(row) for row in found))
                        yield pieces.taken()
    yield pieces.taken()


def _line(row: "asyncpg.Record") -> bytes:
    content = {
        name: msgspec.Raw(value.encode()) if name in _JSON and value is not None else value
        for name, value in row.items()
    }
    return msgspec.json.encode(content, enc_hook=str) + b"\n"  # asyncpg's UUID is a class of its own


class _Pieces(io.RawIOBase):
    """A file that only grows, whose content is taken away. `zipfile` sees that it cannot go back in it."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer") -> int:
        self._waiting += memoryview(data)
        return memoryview(data).nbytes

    def taken(self) -> bytes:
        waiting, self._waiting = bytes(self._waiting), bytearray()
        return waiting

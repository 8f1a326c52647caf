"""Rows of the history projection as lines to be compared."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import msgspec

from infra.operator.compared import FIELDS, Tally, content_hash
from infra.operator.reached import Connection
from schemas import events

_STATEMENTS = {
    "conversation": """
        SELECT id::text AS conversation_id, id::text, project_id::text, created_by::text, title, archived, deleted,
            purged, agent_id::text, last_question_id::text, position, created_at, updated_at
        FROM conversations WHERE id = ANY($1::uuid[])
    """,
    "message": """
        SELECT conversation_id::text, id::text, position, role, author_id::text, agent_id::text, owner_id::text,
            client_message_id::text, digest, parent_message_id::text, run_id::text, finish_reason, usage::text,
            created_at, content_deleted AS deleted, content
        FROM messages WHERE conversation_id = ANY($1::uuid[])
    """,
    "run": """
        SELECT conversation_id::text, id::text, message_id::text, question_id::text, user_id::text, agent::text, status,
            keep, attempt, last_seq, finish_reason, usage::text, error::text, queued_at, requested_at, ended_at,
            ended_position
        FROM runs WHERE conversation_id = ANY($1::uuid[])
    """,
    "rejection": """
        SELECT conversation_id::text, message_id::text AS id, client_message_id::text, user_id::text, code, position
        FROM rejections WHERE conversation_id = ANY($1::uuid[])
    """,
    "remembered cancel": """
        SELECT conversation_id::text, run_id::text AS id FROM remembered_cancels WHERE conversation_id = ANY($1::uuid[])
    """,
}

_DECODED: dict[str, Any] = {
    "agent": msgspec.json.Decoder(events.AgentRef).decode,
    "usage": msgspec.json.Decoder(events.Usage).decode,
    "error": msgspec.json.Decoder(events.RunError).decode,
    "content": content_hash,
}

_PREFETCH = 1_000
"""Rows that a cursor brings at once: a conversation may have any number of messages."""


async def tallies(db: Connection, conversation_ids: Sequence[str], *, keep: bool = False) -> dict[str, Tally]:
    """What the tables hold of these conversations. Must be called in a transaction."""
    made = {conversation_id: Tally(keep=keep) for conversation_id in conversation_ids}
    for kind, statement in _STATEMENTS.items():
        async for row in db.cursor(statement, list(conversation_ids), prefetch=_PREFETCH):
            values = tuple(map(partial(_value, row), FIELDS[kind]))
            made[row["conversation_id"]].add(kind, row["id"], values)
    return made


def _value(row: Any, field: str) -> object:
    value = row[field]
    return value if value is None or field not in _DECODED else _DECODED[field](value)


async def conversation_ids(db: Connection, project_id: str | None) -> AsyncIterator[str]:
    """Every conversation that has a row. Must be called in a transaction."""
    statement = "SELECT id::text FROM conversations WHERE $1::uuid IS NULL OR project_id = $1"
    async for row in db.cursor(statement, project_id, prefetch=_PREFETCH):
        yield row["id"]


_HOMELESS = {"message": "messages", "run": "runs", "rejection": "rejections", "remembered cancel": "remembered_cancels"}


async def homeless(db: Connection) -> dict[str, dict[str, int]]:
    """By kind of row and by conversation: how many rows belong to a conversation that has none."""
    found: dict[str, dict[str, int]] = {}
    for kind, name in _HOMELESS.items():
        rows = await db.fetch(
            f"""
            SELECT conversation_id::text, count(*) FROM {name} AS r
            WHERE NOT EXISTS (SELECT FROM conversations AS c WHERE c.id = r.conversation_id)
            GROUP BY conversation_id
            """  # noqa: S608 - the names are those above
        )
        if rows:
            found[kind] = {row["conversation_id"]: row["count"] for row in rows}
    return found

"""What history has stored of a conversation, as the rule's state.

Every function raises one of `infra.postgres.AWAY` while PostgreSQL is away.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from infra import history
from streams.rules.state import Said, State

if TYPE_CHECKING:
    import asyncpg

SINK = "history"


class Stored(Struct, frozen=True, kw_only=True):
    """The rows of one conversation, None where there are none, and how far history had got when they were read.

    `next_offset` is that of the conversation's partition of conversation-events.
    """

    state: State | None
    next_offset: int


async def history_offsets(
    db: "asyncpg.Pool[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", topic_id: str
) -> dict[int, int]:
    """How far history has stored each partition of the topic with this Kafka id; unknown ones are left out."""
    rows = await db.fetch(
        "SELECT partition, next_offset FROM sink_offsets WHERE sink = $1 AND topic_id = $2", SINK, topic_id
    )
    return {row["partition"]: row["next_offset"] for row in rows}


async def load_state(
    pool: "asyncpg.Pool[asyncpg.Record]", topic_id: str, partition: int, conversation_id: str
) -> Stored:
    """Read one conversation, all as it was at one moment. Texts are not read: see `load_texts`."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        next_offset = (await history_offsets(connection, topic_id)).get(partition, 0)
        view = await history.load_view(connection, conversation_id)
        if view is None:
            return Stored(state=None, next_offset=next_offset)
        state = State(replace(view, title=None), titled=view.title is not None, updated_position=view.position)
        for row in await connection.fetch(
            """
            SELECT id::text, role, owner_id::text, parent_message_id::text, digest FROM messages
            WHERE conversation_id = $1 ORDER BY position
            """,
            conversation_id,
        ):
            state.add(row["id"], Said(row["role"], row["owner_id"], row["parent_message_id"], row["digest"]))
        for row in await connection.fetch(
            "SELECT id::text, status, attempt FROM runs WHERE conversation_id = $1 AND ended_at IS NOT NULL",
            conversation_id,
        ):
            state.ended[row["id"]] = row["status"]
            state.accepted[row["id"]] = row["attempt"]
        for row in await connection.fetch(
            "SELECT message_id::text, code FROM rejections WHERE conversation_id = $1", conversation_id
        ):
            state.rejected[row["message_id"]] = row["code"]
        cancelled = await history.remembered_cancels(connection, conversation_id)
        state.cancelled_early = cancelled - state.ended.keys() - view.runs.keys()
        state.causes = await history.causes(connection, conversation_id)
    return Stored(state=state, next_offset=next_offset)


async def load_texts(pool: "asyncpg.Pool[asyncpg.Record]", message_ids: Iterable[str]) -> Mapping[str, str | None]:
    """Plain texts by message id, of those that are stored; None where the owner's key was gone already."""
    rows = await pool.fetch(
        "SELECT id::text, CASE WHEN NOT content_deleted THEN content END AS content FROM messages "
        "WHERE id = ANY($1::uuid[])",
        list(message_ids),
    )
    return {row["id"]: row["content"] for row in rows}


async def open_since(pool: "asyncpg.Pool[asyncpg.Record]", before: datetime) -> list[str]:
    """The conversations with a run that was requested before that time and has not ended."""
    rows = await pool.fetch(
        "SELECT DISTINCT conversation_id::text FROM runs WHERE ended_at IS NULL AND requested_at < $1", before
    )
    return [row["conversation_id"] for row in rows]

"""Which conversations a person has pinned: theirs alone, and no part of the conversation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.history import Database


async def pin(db: "Database", user_id: str, conversation_id: str) -> None:
    """Doing it again changes nothing."""
    await db.execute(
        "INSERT INTO pins (user_id, conversation_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", user_id, conversation_id
    )


async def unpin(db: "Database", user_id: str, conversation_id: str) -> None:
    """Doing it again changes nothing."""
    await db.execute("DELETE FROM pins WHERE user_id = $1 AND conversation_id = $2", user_id, conversation_id)


async def pinned(db: "Database", user_id: str, conversation_ids: Sequence[str]) -> set[str]:
    """Those of these conversations that this person has pinned."""
    rows = await db.fetch(
        "SELECT conversation_id::text AS id FROM pins WHERE user_id = $1 AND conversation_id = ANY($2::uuid[])",
        user_id,
        conversation_ids,
    )
    return {row["id"] for row in rows}

"""Names of those who speak in a conversation, for readers who see no ids."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from schemas import frames

if TYPE_CHECKING:
    from edge.rest.services import Connection

GONE: Final = "deleted"
"""Stands for a person who is no longer there, and for an agent that is not."""

_NAMES: Final = """
SELECT id::text, display_name AS name FROM users WHERE id = ANY($1::uuid[])
UNION ALL SELECT id::text, name FROM agents WHERE id = ANY($1::uuid[])
"""


async def names(connection: "Connection", messages: Iterable[frames.Message]) -> Mapping[str, str]:
    """The names of the authors and agents of these messages, by their id."""
    wanted = {id for m in messages if (id := speaker(m)) is not None}
    return {row["id"]: row["name"] for row in await connection.fetch(_NAMES, list(wanted))}


def speaker(message: frames.Message) -> str | None:
    """Who said it: a person, or an agent."""
    return message.author_id if message.role == "user" else message.agent_id


def name_of(message: frames.Message, known: Mapping[str, str]) -> str:
    id = speaker(message)
    return GONE if id is None else known.get(id, GONE)

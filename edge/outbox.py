"""What others are told of accounts, written in the transaction that makes it true; the relay publishes it afterwards.

What is rolled back is never told, and what is committed always is, whatever dies in between. Events of one key are told
in the order in which they were written, because whoever writes one holds the row that it is about.
"""

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from schemas.account_events import AccountEvent, AgentChanged, AgentEvent, Member, ProjectChanged
from schemas.ids import new_id
from schemas.topics import ACCOUNT_EVENTS, AGENT_EVENTS

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

CHANNEL: Final = "outbox"
"""On which PostgreSQL wakes the relay once the transaction is committed."""

_PROJECT: Final = """
UPDATE projects SET revision = revision + 1 WHERE id = $1
RETURNING id::text AS project_id, revision, default_agent_id::text, deleted_at
"""
_MEMBERS: Final = "SELECT user_id::text, role FROM project_members WHERE project_id = $1"
_AGENT: Final = """
SELECT a.id::text AS agent_id, a.project_id::text, a.version, v.config ->> 'kind' AS kind,
    a.deleted_at IS NOT NULL AS deleted
FROM agents a JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version WHERE a.id = $1 FOR UPDATE OF a
"""


async def publish(connection: "Connection", event: AccountEvent | AgentEvent) -> None:
    """Have an event told once this transaction is committed. The caller holds the row that its key names."""
    contract = ACCOUNT_EVENTS if isinstance(event, ProjectChanged) else AGENT_EVENTS
    key = event.project_id if isinstance(event, ProjectChanged) else event.agent_id
    await connection.execute(
        "INSERT INTO outbox (event_id, topic, key, type, value) VALUES ($1, $2, $3, $4, $5)",
        new_id(),
        contract.topic,
        key,
        event.type,
        msgspec.json.encode(event),
    )
    await connection.execute("SELECT pg_notify($1, '')", CHANNEL)


async def project_changed(connection: "Connection", project_id: str) -> list[str]:
    """Tell how a project is now. From here to the commit nobody else changes it.

    Returns:
        the ids of all whom it concerns: to be forgotten here once it is committed (`Access.changed`).
    """
    row = await connection.fetchrow(_PROJECT, project_id)
    assert row is not None, "whoever changes a project has it"
    members = [Member(**member) for member in await connection.fetch(_MEMBERS, project_id)]
    await publish(connection, ProjectChanged(members=members, **row))
    return [project_id, *(member.user_id for member in members)]


async def agent_changed(connection: "Connection", agent_id: str) -> None:
    """Tell how an agent is now. Its end is the last thing told of it, and so counts as one version more."""
    row = await connection.fetchrow(_AGENT, agent_id)
    assert row is not None, "whoever changes an agent has it"
    await publish(connection, AgentChanged(revision=row["version"] + row["deleted"], **row))

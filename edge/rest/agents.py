"""The agents of a project, to be read. Their secrets never leave."""

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
from fastapi import APIRouter

from edge.errors import Refused
from edge.rest import answers
from edge.rest.fields import Cursor, IdInPath, Limit
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.services import Caller, ServicesOf
from schemas.frames import ErrorCode

if TYPE_CHECKING:
    import asyncpg

    Row: TypeAlias = asyncpg.Record

router = APIRouter(tags=["agents"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND))

_SHOWN: Final = ("kind", "model", "system_prompt", "params", "context_messages")
"""What of a configuration is shown: chosen, not filtered, so that a secret added later stays inside. An address may
hold a password, too."""

_OF_PROJECT: Final = """
SELECT a.id::text, a.project_id::text, a.name, a.version, v.config, a.created_at
FROM agents a JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version
WHERE a.project_id = $1 AND a.deleted_at IS NULL
    AND ($2::timestamptz IS NULL OR (a.created_at, a.id) > ($2, $3::uuid))
ORDER BY a.created_at, a.id LIMIT $4
"""
_ONE: Final = """
SELECT a.id::text, a.project_id::text, a.name, a.version, v.config, a.created_at
FROM agents a JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version
JOIN project_members m ON m.project_id = a.project_id AND m.user_id = $1
WHERE a.id = $2 AND a.deleted_at IS NULL
"""


def _agent(row: "Row") -> answers.Agent:
    config = msgspec.json.decode(row["config"], type=dict)
    return answers.Agent(**{**row, "config": {name: config[name] for name in _SHOWN if name in config}})


@router.get("/v1/projects/{project_id}/agents")
async def agents(
    services: ServicesOf, caller: Caller, project_id: IdInPath, limit: Limit = 50, cursor: Cursor = None
) -> answers.Page[answers.Agent]:
    """Oldest first."""
    await services.access.project_role(caller.user_id, project_id)
    after = key_of(cursor) or (None, None)
    async with services.database() as connection:
        rows = await connection.fetch(_OF_PROJECT, project_id, *after, limit + 1)
    return page([_agent(row) for row in rows], limit, lambda a: (a.created_at, a.id))


@router.get("/v1/agents/{agent_id}")
async def agent(services: ServicesOf, caller: Caller, agent_id: IdInPath) -> answers.Agent:
    async with services.database() as connection:
        row = await connection.fetchrow(_ONE, caller.user_id, agent_id)
    if row is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return _agent(row)

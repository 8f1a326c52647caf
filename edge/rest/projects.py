"""Projects, who is in them, and what a new one starts with."""

from typing import TYPE_CHECKING, Final

import msgspec
from fastapi import APIRouter, Response

from edge import outbox
from edge.errors import Refused
from edge.rest import answers
from edge.rest.fields import Body, Cursor, IdInPath, Limit, Name
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.services import Caller, ServicesOf
from schemas.frames import ErrorCode
from schemas.ids import new_id
from schemas.roles import Action, may

if TYPE_CHECKING:
    from edge.rest.services import Connection

router = APIRouter(tags=["projects"], responses=refusals(ErrorCode.UNAVAILABLE))

FIRST_PROJECT: Final = "Personal"

_DEFAULT_AGENT: Final = {"kind": "openai", "system_prompt": "You are a helpful assistant."}
"""Without an address of its own it is the platform's agent, whatever that is."""
_DEMONSTRATION: Final = {"kind": "scripted"}

_PROJECTS: Final = """
SELECT p.id::text, p.name, m.role, p.default_agent_id::text, p.created_at
FROM projects p JOIN project_members m ON m.project_id = p.id AND m.user_id = $1
WHERE ($2::uuid IS NULL OR p.id = $2) AND ($3::timestamptz IS NULL OR (p.created_at, p.id) > ($3, $4::uuid))
ORDER BY p.created_at, p.id LIMIT $5
"""
_MEMBERS: Final = """
SELECT m.user_id::text, u.email, u.display_name, m.role, m.created_at
FROM project_members m JOIN users u ON u.id = m.user_id
WHERE m.project_id = $1 AND ($2::timestamptz IS NULL OR (m.created_at, m.user_id) > ($2, $3::uuid))
ORDER BY m.created_at, m.user_id LIMIT $4
"""


class ProjectNamed(Body):
    name: Name


async def found_project(connection: "Connection", user_id: str, name: str) -> str:
    """A new project with its owner and its agents, in the caller's transaction; returns its id."""
    project_id, default_id = new_id(), new_id()
    await connection.execute(
        "INSERT INTO projects (id, name, default_agent_id) VALUES ($1, $2, $3)", project_id, name, default_id
    )
    await connection.execute(
        "INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, 'owner')", project_id, user_id
    )
    for agent_id, agent, config in (
        (default_id, "SmolLM2", _DEFAULT_AGENT),
        (new_id(), "Echo", _DEMONSTRATION),
    ):
        await connection.execute(
            "INSERT INTO agents (id, project_id, name) VALUES ($1, $2, $3)", agent_id, project_id, agent
        )
        await connection.execute(
            "INSERT INTO agent_versions (agent_id, version, config) VALUES ($1, 1, $2::jsonb)",
            agent_id,
            msgspec.json.encode(config).decode(),
        )
        await outbox.agent_changed(connection, agent_id)
    await outbox.project_changed(connection, project_id)
    return project_id


async def _project(connection: "Connection", user_id: str, project_id: str) -> answers.Project:
    row = await connection.fetchrow(_PROJECTS, user_id, project_id, None, None, 1)
    if row is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return answers.Project(**row)


@router.get("/v1/projects")
async def projects(
    services: ServicesOf, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> answers.Page[answers.Project]:
    """The projects that the caller is a member of, oldest first."""
    after = key_of(cursor) or (None, None)
    async with services.database() as connection:
        rows = await connection.fetch(_PROJECTS, caller.user_id, None, *after, limit + 1)
    return page([answers.Project(**row) for row in rows], limit, lambda p: (p.created_at, p.id))


@router.post("/v1/projects", status_code=201)
async def create_project(
    services: ServicesOf, caller: Caller, named: ProjectNamed, response: Response
) -> answers.Project:
    async with services.database() as connection, connection.transaction():
        project_id = await found_project(connection, caller.user_id, named.name)
        made = await _project(connection, caller.user_id, project_id)
    response.headers["Location"] = f"/v1/projects/{project_id}"
    return made


@router.get("/v1/projects/{project_id}", responses=refusals(ErrorCode.NOT_FOUND))
async def project(services: ServicesOf, caller: Caller, project_id: IdInPath) -> answers.Project:
    async with services.database() as connection:
        return await _project(connection, caller.user_id, project_id)


@router.patch("/v1/projects/{project_id}", responses=refusals(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN))
async def rename_project(
    services: ServicesOf, caller: Caller, project_id: IdInPath, named: ProjectNamed
) -> answers.Project:
    """Owners and admins may."""
    async with services.database() as connection, connection.transaction():
        if not may((await _project(connection, caller.user_id, project_id)).role, Action.RENAME_PROJECT):
            raise Refused(ErrorCode.FORBIDDEN)
        await connection.execute("UPDATE projects SET name = $2 WHERE id = $1", project_id, named.name)
        return await _project(connection, caller.user_id, project_id)


@router.get("/v1/projects/{project_id}/members", responses=refusals(ErrorCode.NOT_FOUND))
async def members(
    services: ServicesOf, caller: Caller, project_id: IdInPath, limit: Limit = 50, cursor: Cursor = None
) -> answers.Page[answers.Member]:
    """Who is in the project, in the order in which they came."""
    await services.access.project_role(caller.user_id, project_id)
    after = key_of(cursor) or (None, None)
    async with services.database() as connection:
        rows = await connection.fetch(_MEMBERS, project_id, *after, limit + 1)
    return page([answers.Member(**row) for row in rows], limit, lambda m: (m.created_at, m.user_id))

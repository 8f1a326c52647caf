"""Projects, and what a new one starts with."""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Response

from edge import audit, outbox
from edge.errors import Forbidden, Refused, invalid
from edge.rest import answers, invitations, members
from edge.rest.changing import PROJECTS, changing, read_project
from edge.rest.conditional import ChangingOf, ReadingOf
from edge.rest.fields import Body, Cursor, Id, IdInPath, Limit, Name, Text
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.repeats import Once
from edge.rest.services import Caller, ServicesOf
from schemas.frames import ErrorCode
from schemas.ids import new_id
from schemas.roles import Action, may

if TYPE_CHECKING:
    from edge.rest.services import Connection

router = APIRouter(route_class=Once, tags=["projects"], responses=refusals(ErrorCode.UNAVAILABLE))
router.include_router(members.router)
router.include_router(invitations.router)

_REFUSED: Final = refusals(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN)

FIRST_PROJECT: Final = "Personal"

_DEFAULT_AGENT: Final = {"kind": "openai", "system_prompt": "You are a helpful assistant."}
"""Without an address of its own it is the platform's agent, whatever that is."""
_DEMONSTRATION: Final = {"kind": "scripted"}

_DELETED: Final = """
SELECT p.id::text, p.name, f.role, p.default_agent_id::text, p.created_at, p.deleted_at
FROM projects p JOIN former_members f ON f.project_id = p.id AND f.user_id = $1
WHERE p.deleted_at IS NOT NULL AND f.role = 'owner'
    AND ($2::timestamptz IS NULL OR (p.created_at, p.id) > ($2, $3::uuid))
ORDER BY p.created_at, p.id LIMIT $4
"""
_DELETE: Final = (
    "INSERT INTO former_members SELECT * FROM project_members WHERE project_id = $1",
    "DELETE FROM project_members WHERE project_id = $1",
    "DELETE FROM invitations WHERE project_id = $1",
)
_RESTORE: Final = (
    "INSERT INTO project_members SELECT * FROM former_members WHERE project_id = $1",
    "DELETE FROM former_members WHERE project_id = $1",
    "UPDATE projects SET deleted_at = NULL, deleted_by = NULL WHERE id = $1",
)
_FORMER: Final = """
SELECT f.role FROM projects p JOIN former_members f ON f.project_id = p.id AND f.user_id = $2
WHERE p.id = $1 AND p.deleted_at IS NOT NULL FOR UPDATE OF p
"""
_CHANGE: Final = """
UPDATE projects SET name = coalesce($2, name), default_agent_id = CASE WHEN $3 THEN $4 ELSE default_agent_id END
WHERE id = $1
"""
_HAS_AGENT: Final = "SELECT EXISTS (SELECT FROM agents WHERE id = $1 AND project_id = $2 AND deleted_at IS NULL)"


class ProjectNamed(Body):
    name: Name


class ProjectChange(Body):
    name: Name | None = None
    default_agent_id: Id | None = None


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


@router.get("/v1/projects")
async def projects(
    services: ServicesOf,
    caller: Caller,
    deleted: Annotated[bool, Query(description="Those that were deleted and that the caller may restore.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> answers.Page[answers.Project]:
    """The projects that the caller is a member of, oldest first."""
    after = key_of(cursor) or (None, None)
    async with services.database() as connection:
        if deleted:
            rows = await connection.fetch(_DELETED, caller.user_id, *after, limit + 1)
        else:
            rows = await connection.fetch(PROJECTS, caller.user_id, None, *after, limit + 1)
    return page([answers.Project(**row) for row in rows], limit, lambda p: (p.created_at, p.id))


@router.post("/v1/projects", status_code=201)
async def create_project(
    services: ServicesOf, caller: Caller, named: ProjectNamed, response: Response
) -> answers.Project:
    async with services.database() as connection, connection.transaction():
        project_id = await found_project(connection, caller.user_id, named.name)
        await _note(connection, audit.Event.SENSITIVE_CREATE, caller, project_id)
        made = await read_project(connection, caller.user_id, project_id)
    await services.changed([project_id, caller.user_id])
    response.headers["Location"] = f"/v1/projects/{project_id}"
    return made


@router.get("/v1/projects/{project_id}", responses=refusals(ErrorCode.NOT_FOUND))
async def project(services: ServicesOf, caller: Caller, project_id: IdInPath, reading: ReadingOf) -> answers.Project:
    async with services.database() as connection:
        return reading.tagged(await read_project(connection, caller.user_id, project_id))


@router.patch("/v1/projects/{project_id}", responses=_REFUSED)
async def change_project(
    services: ServicesOf, caller: Caller, project_id: IdInPath, change: ProjectChange, if_match: ChangingOf
) -> answers.Project:
    """Owners and admins may. What is absent stays as it is; `default_agent_id` null lets nobody answer."""
    agent_given = "default_agent_id" in change.model_fields_set
    async with changing(services, caller.user_id, project_id, Action.RENAME_PROJECT) as held:
        if_match.check(await read_project(held.connection, caller.user_id, project_id))
        agent_id = change.default_agent_id
        if agent_id is not None and not await held.connection.fetchval(_HAS_AGENT, agent_id, project_id):
            raise invalid(default_agent_id="is no agent of this project")
        await held.connection.execute(_CHANGE, project_id, change.name, agent_given, agent_id)
        return if_match.tagged(await read_project(held.connection, caller.user_id, project_id))


@router.delete("/v1/projects/{project_id}", status_code=204, responses=_REFUSED)
async def delete_project(
    services: ServicesOf,
    caller: Caller,
    project_id: IdInPath,
    if_match: ChangingOf,
    confirm: Annotated[Text | None, Query(max_length=200, description="The project's name, to say it twice.")] = None,
) -> None:
    """For everybody, with all that is in it; owners may. Its answers stop. For 30 days an owner can restore it."""
    async with changing(services, caller.user_id, project_id, Action.DELETE_PROJECT) as held:
        if_match.check(await read_project(held.connection, caller.user_id, project_id))
        if confirm != held.name:
            raise invalid(confirm="must be the project's name: everything in it is deleted")
        for statement in _DELETE:
            await held.connection.execute(statement, project_id)
        await held.connection.execute(
            "UPDATE projects SET deleted_at = now(), deleted_by = $2 WHERE id = $1", project_id, caller.user_id
        )
        await _note(held.connection, audit.Event.SENSITIVE_DELETE, caller, project_id)


@router.post("/v1/projects/{project_id}/restore", responses=_REFUSED)
async def restore_project(services: ServicesOf, caller: Caller, project_id: IdInPath) -> answers.Project:
    """Back as it was, with everybody who was in it. The answers that the deletion stopped stay stopped."""
    async with services.database() as connection, connection.transaction():
        role = await connection.fetchval(_FORMER, project_id, caller.user_id)
        if role is None:
            raise Refused(ErrorCode.NOT_FOUND)
        if not may(role, Action.DELETE_PROJECT):
            raise Forbidden(project_id, Action.DELETE_PROJECT)
        for statement in _RESTORE:
            await connection.execute(statement, project_id)
        changed = await outbox.project_changed(connection, project_id)
        await _note(connection, audit.Event.SENSITIVE_UPDATE, caller, project_id)
        restored = await read_project(connection, caller.user_id, project_id)
    await services.changed(changed)
    return restored


async def _note(connection: "Connection", event: audit.Event, caller: Caller, project_id: str) -> None:
    await audit.record(connection, event, actor_id=caller.user_id, project_id=project_id, thing="project")

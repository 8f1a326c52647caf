"""The agents of a project: made, changed version by version, and deleted. Their secrets go in and never come out."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter, Response

from edge import audit, outbox
from edge.errors import Refused, invalid
from edge.rest import agent_configs, answers
from edge.rest.agent_configs import Config, OpenAIConfig, ScriptedConfig
from edge.rest.changing import Held, changing
from edge.rest.conditional import ChangingOf, ReadingOf
from edge.rest.fields import Body, Cursor, IdInPath, Limit, Name
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.repeats import Once
from edge.rest.services import Caller, Services, ServicesOf
from schemas.frames import ErrorCode
from schemas.ids import new_id
from schemas.roles import Action, may

if TYPE_CHECKING:
    import asyncpg

    from edge.rest.services import Connection

    Row: TypeAlias = asyncpg.Record

router = APIRouter(route_class=Once, tags=["agents"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND))

MOST_AGENTS: Final = 200
"""Of one project: more are a mistake, or a script's."""
_REFUSED: Final = refusals(ErrorCode.FORBIDDEN, ErrorCode.INVALID)

_OF_PROJECT: Final = """
SELECT a.id::text, a.project_id::text, a.name, a.version, v.config, v.secret IS NOT NULL AS has_secret, a.created_at
FROM agents a JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version
WHERE a.project_id = $1 AND a.deleted_at IS NULL
    AND ($2::timestamptz IS NULL OR (a.created_at, a.id) > ($2, $3::uuid))
ORDER BY a.created_at, a.id LIMIT $4
"""
_ONE: Final = """
SELECT a.id::text, a.project_id::text, a.name, a.version, v.config, v.secret IS NOT NULL AS has_secret, a.created_at
FROM agents a JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version
JOIN project_members m ON m.project_id = a.project_id AND m.user_id = $1
WHERE a.id = $2 AND a.deleted_at IS NULL
"""
_VERSIONS: Final = """
SELECT version, config, secret IS NOT NULL AS has_secret, created_at FROM agent_versions
WHERE agent_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3
"""
_PRESENT: Final = """
SELECT v.config, v.secret FROM agents a JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version
WHERE a.id = $1 AND a.project_id = $2 AND a.deleted_at IS NULL
"""
_NEW_VERSION: Final = """
WITH next AS (UPDATE agents SET version = version + 1 WHERE id = $1 RETURNING version)
INSERT INTO agent_versions (agent_id, version, config, secret) SELECT $1, version, $2::jsonb, $3 FROM next
"""
_NEWEST: Final = 2**31 - 1


class NewAgent(Body):
    name: Name
    config: Config


class AgentChange(Body):
    """What is absent stays as it is. A `config` is the whole of it, and makes a new version."""

    name: Name | None = None
    config: Config | None = None


class AgentVersion(answers.Answer):
    """How the agent was from `created_at` on, until the next version."""

    version: int
    config: dict[str, Any]
    created_at: datetime


def _config(row: "Row") -> dict[str, Any]:
    return agent_configs.shown(msgspec.json.decode(row["config"], type=dict), has_secret=row["has_secret"])


def _agent(row: "Row") -> answers.Agent:
    fields = {name: row[name] for name in ("id", "project_id", "name", "version", "created_at")}
    return answers.Agent(**fields, config=_config(row))


async def _read(connection: "Connection", user_id: str, agent_id: str) -> answers.Agent:
    row = await connection.fetchrow(_ONE, user_id, agent_id)
    if row is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return _agent(row)


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


@router.post("/v1/projects/{project_id}/agents", status_code=201, responses=_REFUSED)
async def create_agent(
    services: ServicesOf, caller: Caller, project_id: IdInPath, new: NewAgent, response: Response
) -> answers.Agent:
    """Owners and admins may."""
    agent_id = new_id()
    await _check(services, caller, project_id, new.config)
    async with changing(services, caller.user_id, project_id, Action.MANAGE_AGENTS, tell=False) as held:
        count = "SELECT count(*) FROM agents WHERE project_id = $1 AND deleted_at IS NULL"
        if await held.connection.fetchval(count, project_id) >= MOST_AGENTS:
            raise invalid(project_id=f"has {MOST_AGENTS} agents already; delete those that nobody needs")
        await held.connection.execute(
            "INSERT INTO agents (id, project_id, name, version) VALUES ($1, $2, $3, 0)", agent_id, project_id, new.name
        )
        await _new_version(services, held, agent_id, new.config, None)
        await _note(held, audit.Event.SENSITIVE_CREATE, agent_id)
        made = await _read(held.connection, caller.user_id, agent_id)
    await services.changed([agent_id])
    response.headers["Location"] = f"/v1/agents/{agent_id}"
    return made


@router.get("/v1/agents/{agent_id}")
async def agent(services: ServicesOf, caller: Caller, agent_id: IdInPath, reading: ReadingOf) -> answers.Agent:
    async with services.database() as connection:
        return reading.tagged(await _read(connection, caller.user_id, agent_id))


@router.patch("/v1/agents/{agent_id}", responses=_REFUSED)
async def change_agent(
    services: ServicesOf, caller: Caller, agent_id: IdInPath, change: AgentChange, if_match: ChangingOf
) -> answers.Agent:
    """Owners and admins may. Answers that have begun go on as they were; a run says which version it used."""
    project_id = await _project_of(services, caller, agent_id)
    if change.config is not None:
        await _check(services, caller, project_id, change.config)
    async with changing(services, caller.user_id, project_id, Action.MANAGE_AGENTS, tell=False) as held:
        before = await held.connection.fetchrow(_PRESENT, agent_id, project_id)
        if before is None:
            raise Refused(ErrorCode.NOT_FOUND)
        if_match.check(await _read(held.connection, caller.user_id, agent_id))
        if change.name is not None:
            await held.connection.execute("UPDATE agents SET name = $2 WHERE id = $1", agent_id, change.name)
        if change.config is not None:
            await _new_version(services, held, agent_id, change.config, before)
        await _note(held, audit.Event.SENSITIVE_UPDATE, agent_id)
        changed = await _read(held.connection, caller.user_id, agent_id)
    await services.changed([agent_id])
    return if_match.tagged(changed)


@router.delete("/v1/agents/{agent_id}", status_code=204, responses=refusals(ErrorCode.FORBIDDEN))
async def delete_agent(services: ServicesOf, caller: Caller, agent_id: IdInPath, if_match: ChangingOf) -> None:
    """Its secrets are destroyed. What it said stays; where it was to answer by default, nobody does any longer."""
    project_id = await _project_of(services, caller, agent_id)
    async with changing(services, caller.user_id, project_id, Action.MANAGE_AGENTS) as held:
        connection = held.connection
        if await connection.fetchrow(_PRESENT, agent_id, project_id) is None:
            raise Refused(ErrorCode.NOT_FOUND)
        if_match.check(await _read(connection, caller.user_id, agent_id))
        await connection.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", agent_id)
        await connection.execute("UPDATE agent_versions SET secret = NULL WHERE agent_id = $1", agent_id)
        await connection.execute(
            "UPDATE projects SET default_agent_id = NULL WHERE id = $1 AND default_agent_id = $2", project_id, agent_id
        )
        await outbox.agent_changed(connection, agent_id)
        await _note(held, audit.Event.SENSITIVE_DELETE, agent_id)
    await services.changed([agent_id])


@router.get("/v1/agents/{agent_id}/versions")
async def versions(
    services: ServicesOf, caller: Caller, agent_id: IdInPath, limit: Limit = 50, cursor: Cursor = None
) -> answers.Page[AgentVersion]:
    """Newest first."""
    if cursor is not None and not (cursor.isdecimal() and 0 < int(cursor) < _NEWEST):
        raise invalid(cursor="is no cursor of this list")
    async with services.database() as connection:
        await _read(connection, caller.user_id, agent_id)
        rows = await connection.fetch(_VERSIONS, agent_id, int(cursor or _NEWEST), limit + 1)
    found = [AgentVersion(version=r["version"], config=_config(r), created_at=r["created_at"]) for r in rows[:limit]]
    return answers.Page(data=found, next_cursor=str(found[-1].version) if len(rows) > limit else None)


async def _project_of(services: Services, caller: Caller, agent_id: str) -> str:
    async with services.database() as connection:
        return (await _read(connection, caller.user_id, agent_id)).project_id


async def _check(services: Services, caller: Caller, project_id: str, config: OpenAIConfig | ScriptedConfig) -> None:
    """Before the project is held, because names may resolve slowly. Who may not change it has nothing looked up."""
    if may(await services.access.project_role(caller.user_id, project_id), Action.MANAGE_AGENTS):
        await agent_configs.check_address(config, private_allowed=services.settings.private_agents)


async def _new_version(
    services: Services, held: Held, agent_id: str, config: OpenAIConfig | ScriptedConfig, before: "Row | None"
) -> None:
    text = msgspec.json.encode(agent_configs.stored(config)).decode()
    secret = _secret(services, agent_id, config, before)
    await held.connection.execute(_NEW_VERSION, agent_id, text, secret)
    await outbox.agent_changed(held.connection, agent_id)


def _secret(
    services: Services, agent_id: str, config: OpenAIConfig | ScriptedConfig, before: "Row | None"
) -> bytes | None:
    """The sealed secret of the next version.

    A secret that nobody gave again goes on to no other address: whoever may change an agent may not read it, and would
    only have to have it sent to themselves.
    """
    if isinstance(config, ScriptedConfig):
        return None
    if config.secret is not None:
        if config.url is None:
            raise invalid(**{"config.openai.secret": "goes with an url: the platform's own agent needs none"})
        return services.secrets.seal(agent_id, config.secret)
    if "secret" in config.model_fields_set or before is None or before["secret"] is None:
        return None
    earlier = msgspec.json.decode(before["config"], type=dict).get("base_url")
    if _server(earlier) != _server(config.url):
        raise invalid(**{"config.openai.secret": "give it again for another address, or null to go without"})
    kept: bytes = before["secret"]
    return kept


def _server(url: str | None) -> tuple[str, str] | None:
    return None if url is None else (urlsplit(url).scheme, urlsplit(url).netloc.lower())


async def _note(held: Held, event: audit.Event, agent_id: str) -> None:
    await audit.record(
        held.connection, event, actor_id=held.user_id, project_id=held.project_id, thing="agent", agent_id=agent_id
    )

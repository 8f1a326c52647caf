"""A project's budgets: how much it, a person or an agent may take in a day, a week or a month."""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter
from pydantic import Field

from edge import audit
from edge.errors import invalid
from edge.rest.answers import Answer
from edge.rest.changing import changing
from edge.rest.fields import Body, Id, IdInPath
from edge.rest.openapi import refusals
from edge.rest.repeats import Once
from edge.rest.services import Caller, ServicesOf
from edge.rest.wholes import Micros
from infra import budgets as kept
from schemas.frames import ErrorCode
from schemas.roles import Action

router = APIRouter(route_class=Once, tags=["money"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND))

MOST: Final = 100
"""Of one project: each is looked at before every answer."""
_UNKNOWN: Final = """
SELECT wanted.id::text FROM unnest($2::uuid[]) AS wanted (id)
WHERE NOT EXISTS (SELECT FROM project_members WHERE project_id = $1 AND user_id = wanted.id)
    AND NOT EXISTS (SELECT FROM budgets WHERE project_id = $1 AND user_id = wanted.id)
"""
_UNKNOWN_AGENTS: Final = """
SELECT wanted.id::text FROM unnest($2::uuid[]) AS wanted (id)
WHERE NOT EXISTS (SELECT FROM agents WHERE project_id = $1 AND id = wanted.id)
"""


class NewBudget(Body):
    """Without `user_id` for everybody together, without `agent_id` for all agents. A `hard` one holds: no answer begins
    that it does not pay for; another one only tells."""

    user_id: Id | None = None
    agent_id: Id | None = None
    period: Literal["day", "week", "month"]
    limit_micros: Micros
    hard: bool = True


class NewBudgets(Body):
    data: Annotated[list[NewBudget], Field(max_length=MOST)]


class Budget(Answer):
    """What has counted in its present period: `spent_micros` was charged, `reserved_micros` is held for answers that
    are being made. Periods begin by UTC, weeks with Monday."""

    id: str
    user_id: str | None
    agent_id: str | None
    period: Literal["day", "week", "month"]
    limit_micros: int
    hard: bool
    spent_micros: int
    reserved_micros: int
    starts_at: datetime
    ends_at: datetime


class Budgets(Answer):
    data: list[Budget]


@router.get("/v1/projects/{project_id}/budgets")
async def budgets(services: ServicesOf, caller: Caller, project_id: IdInPath) -> Budgets:
    """Oldest first. Every member may see them."""
    await services.access.project_role(caller.user_id, project_id)
    async with services.database() as connection:
        return Budgets(data=[Budget.model_validate(b) for b in await kept.of_project(connection, project_id)])


@router.put("/v1/projects/{project_id}/budgets", responses=refusals(ErrorCode.FORBIDDEN, ErrorCode.INVALID))
async def set_budgets(services: ServicesOf, caller: Caller, project_id: IdInPath, new: NewBudgets) -> Budgets:
    """All of them at once: what is not among them ends. One for the same person, agent and period keeps what it has
    counted. Owners and admins may."""
    wanted = [kept.Wanted(b.user_id, b.agent_id, b.period, b.limit_micros, b.hard) for b in new.data]
    if len({(w.user_id, w.agent_id, w.period) for w in wanted}) < len(wanted):
        raise invalid(data="has two budgets for the same person, agent and period")
    async with changing(services, caller.user_id, project_id, Action.MANAGE_MONEY, tell=False) as held:
        for statement, name, ids in (
            (_UNKNOWN, "user_id", [w.user_id for w in wanted if w.user_id is not None]),
            (_UNKNOWN_AGENTS, "agent_id", [w.agent_id for w in wanted if w.agent_id is not None]),
        ):
            if await held.connection.fetch(statement, project_id, ids):
                raise invalid(**{f"data.{name}": "names nobody of this project"})
        await kept.replace(held.connection, project_id, wanted)
        await audit.record(
            held.connection,
            audit.Event.SENSITIVE_UPDATE,
            actor_id=caller.user_id,
            project_id=project_id,
            thing="budgets",
            count=len(wanted),
        )
        return Budgets(data=[Budget.model_validate(b) for b in await kept.of_project(held.connection, project_id)])

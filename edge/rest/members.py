"""Who is in a project, as what: people come, change and go. A project always has an owner."""

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter
from pydantic import Field

from edge import audit
from edge.errors import Refused, invalid
from edge.problems import Conflict
from edge.rest import answers, invitations
from edge.rest.changing import Held, changing, enter
from edge.rest.conditional import ChangingOf, ReadingOf
from edge.rest.fields import Body, Cursor, Email, Id, IdInPath, Limit
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.repeats import Once
from edge.rest.services import Caller, ServicesOf
from infra import notifications
from schemas.frames import ErrorCode
from schemas.ids import new_id
from schemas.notifications import Kind, Notice
from schemas.roles import Action, Role, may_set_role

if TYPE_CHECKING:
    from edge.rest.services import Connection

router = APIRouter(route_class=Once, tags=["projects"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND))

_REFUSED: Final = refusals(ErrorCode.FORBIDDEN)
_LAST_OWNER: Final = refusals(ErrorCode.FORBIDDEN, HTTPStatus.CONFLICT)

_MEMBERS: Final = """
SELECT m.user_id::text, u.email, u.display_name, m.role, m.created_at
FROM project_members m JOIN users u ON u.id = m.user_id
WHERE m.project_id = $1 AND ($2::timestamptz IS NULL OR (m.created_at, m.user_id) > ($2, $3::uuid))
ORDER BY m.created_at, m.user_id LIMIT $4
"""
_MEMBER: Final = """
SELECT m.user_id::text, u.email, u.display_name, m.role, m.created_at
FROM project_members m JOIN users u ON u.id = m.user_id WHERE m.project_id = $1 AND m.user_id = $2
"""
_SET_ROLE: Final = "UPDATE project_members SET role = $3 WHERE project_id = $1 AND user_id = $2"
_REMOVE: Final = "DELETE FROM project_members WHERE project_id = $1 AND user_id = $2"
_OTHER_OWNER: Final = """
SELECT EXISTS (SELECT FROM project_members WHERE project_id = $1 AND role = 'owner' AND user_id <> $2)
"""


class NewMember(Body):
    email: Email
    role: Annotated[Role, Field(strict=False)]


class RoleChange(Body):
    role: Annotated[Role, Field(strict=False)]


class NewOwner(Body):
    user_id: Id


async def _member(connection: "Connection", project_id: str, user_id: str) -> answers.Member:
    row = await connection.fetchrow(_MEMBER, project_id, user_id)
    if row is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return answers.Member(**row)


@router.get("/v1/projects/{project_id}/members")
async def members(
    services: ServicesOf, caller: Caller, project_id: IdInPath, limit: Limit = 50, cursor: Cursor = None
) -> answers.Page[answers.Member]:
    """Who is in the project, in the order in which they came."""
    await services.access.project_role(caller.user_id, project_id)
    after = key_of(cursor) or (None, None)
    async with services.reading() as connection:
        rows = await connection.fetch(_MEMBERS, project_id, *after, limit + 1)
    return page([answers.Member(**row) for row in rows], limit, lambda m: (m.created_at, m.user_id))


@router.post("/v1/projects/{project_id}/members", status_code=201, responses=_LAST_OWNER)
async def add_member(
    services: ServicesOf, caller: Caller, project_id: IdInPath, new: NewMember
) -> answers.Member | invitations.Invited:
    """Somebody with an account is a member at once (`status` is `active`); anybody else is invited by mail."""
    token: str | None = None
    added: answers.Member | invitations.Invited
    async with changing(services, caller.user_id, project_id, Action.MANAGE_MEMBERS) as held:
        held.check(may_set_role(held.role, None, new.role))
        user_id = await held.connection.fetchval("SELECT id::text FROM users WHERE lower(email) = $1", new.email)
        if user_id is None:
            added, token = await invitations.invite(held, new.email, new.role)
        elif await enter(held.connection, project_id, user_id, new.role):
            added = await _member(held.connection, project_id, user_id)
            await notifications.store(held.connection, [_invitation(held, user_id, new.role, added.created_at)])
            await _note(held, user_id, None, new.role)
        else:
            raise Conflict(email="This person is a member already; change their role instead.")
    if token is not None:
        await invitations.tell(services, caller.user_id, new.email, token)
    return added


@router.get("/v1/projects/{project_id}/members/{user_id}")
async def member(
    services: ServicesOf, caller: Caller, project_id: IdInPath, user_id: IdInPath, reading: ReadingOf
) -> answers.Member:
    """One of them, as all members see them."""
    await services.access.project_role(caller.user_id, project_id)
    async with services.database() as connection:
        return reading.tagged(await _member(connection, project_id, user_id))


@router.patch("/v1/projects/{project_id}/members/{user_id}", responses=_LAST_OWNER)
async def change_role(
    services: ServicesOf,
    caller: Caller,
    project_id: IdInPath,
    user_id: IdInPath,
    change: RoleChange,
    if_match: ChangingOf,
) -> answers.Member:
    """Owners are made and unmade by owners, the last one by nobody."""
    async with changing(services, caller.user_id, project_id, Action.MANAGE_MEMBERS) as held:
        if_match.check(await _member(held.connection, project_id, user_id))
        await _set_role(held, user_id, change.role)
        return if_match.tagged(await _member(held.connection, project_id, user_id))


@router.delete("/v1/projects/{project_id}/members/{user_id}", status_code=204, responses=_LAST_OWNER)
async def remove_member(services: ServicesOf, caller: Caller, project_id: IdInPath, user_id: IdInPath) -> None:
    """Send somebody away or, oneself, leave. What they said stays; what they watch ends within a second."""
    leaving = user_id == caller.user_id
    action = Action.READ if leaving else Action.MANAGE_MEMBERS
    async with changing(services, caller.user_id, project_id, action) as held:
        await _set_role(held, user_id, None)


@router.post("/v1/projects/{project_id}/transfer", responses=_REFUSED)
async def transfer_project(
    services: ServicesOf, caller: Caller, project_id: IdInPath, given: NewOwner
) -> answers.Member:
    """Hand the project over to another member, who is its owner then; the caller becomes an admin."""
    async with changing(services, caller.user_id, project_id, Action.MANAGE_OWNERS) as held:
        if given.user_id == caller.user_id:
            raise invalid(user_id="is yourself")
        await _set_role(held, given.user_id, Role.OWNER)
        await _set_role(held, caller.user_id, Role.ADMIN)
        return await _member(held.connection, project_id, given.user_id)


async def _set_role(held: Held, user_id: str, role: str | None) -> None:
    """Give a member another role; None to take them out.

    Raises:
        Refused: `not_found` where they are no member, `forbidden` where the caller may not, and a conflict where the
            project would be without an owner.
    """
    present = await held.role_of(user_id)
    if present is None:
        raise Refused(ErrorCode.NOT_FOUND)
    leaving = role is None and user_id == held.user_id
    held.check(leaving or may_set_role(held.role, present, role))
    if present == Role.OWNER != role and not await held.connection.fetchval(_OTHER_OWNER, held.project_id, user_id):
        raise Conflict(user_id="This is the project's last owner: make somebody else one first.")
    if role is None:
        await held.connection.execute(_REMOVE, held.project_id, user_id)
    else:
        await held.connection.execute(_SET_ROLE, held.project_id, user_id, role)
    await invitations.withdraw_of(held, user_id, role)
    await _note(held, user_id, present, role)


def _invitation(held: Held, user_id: str, role: str, at: datetime) -> Notice:
    return Notice(
        id=new_id(),  # nothing names a membership; its transaction makes it once
        user_id=user_id,
        kind=Kind.INVITATION,
        project_id=held.project_id,
        occurred_at=at,
        data={"by": held.user_id, "role": role},
    )


async def _note(held: Held, user_id: str, before: str | None, after: str | None) -> None:
    await audit.record(
        held.connection,
        audit.Event.PRIVILEGE_PERMISSIONS_CHANGED,
        actor_id=held.user_id,
        user_id=user_id,
        project_id=held.project_id,
        before=before,
        after=after,
    )

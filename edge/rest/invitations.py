"""Invitations by mail, for those who have no account yet: a link that works once, for a week."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final, Literal

from fastapi import APIRouter

from edge import audit, outbox
from edge.errors import Forbidden, Refused, invalid
from edge.problems import Conflict
from edge.rest import answers
from edge.rest.changing import Held, changing, enter, read_project
from edge.rest.fields import Body, Cursor, IdInPath, Limit, Token
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.repeats import Once
from edge.rest.services import Caller, Services, ServicesOf
from schemas.frames import ErrorCode
from schemas.ids import new_id
from schemas.roles import Action, may, may_set_role

router = APIRouter(route_class=Once, tags=["projects"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND))

LIFETIME: Final = timedelta(days=7)
TOKEN_BYTES: Final = 32
MOST_OPEN: Final = 100
"""Invitations of one project that nobody has accepted yet: each is a mail to a stranger."""

_MAIL: Final = """\
{inviting} invites you to a project on Chorus.

Follow this link within a week to join. It works once:

{link}

If you do not know who that is, there is nothing to do.
"""
_OPEN: Final = """
SELECT id::text AS invitation_id, email, role, invited_by::text, created_at, expires_at FROM invitations
WHERE project_id = $1 AND expires_at > now()
    AND ($2::timestamptz IS NULL OR (created_at, id) > ($2, $3::uuid))
ORDER BY created_at, id LIMIT $4
"""
_INVITE: Final = """
INSERT INTO invitations (id, project_id, email, role, token_hash, invited_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, now() + $7)
ON CONFLICT (project_id, email) DO UPDATE SET role = excluded.role, token_hash = excluded.token_hash,
    invited_by = excluded.invited_by, created_at = now(), expires_at = excluded.expires_at
RETURNING id::text AS invitation_id, email, role, invited_by::text, created_at, expires_at
"""
_NO_INVITATION: Final = "is no invitation, or one that was used, was withdrawn or has ended"
_OF: Final = "SELECT project_id::text FROM invitations WHERE token_hash = $1 AND expires_at > now()"
_TAKE: Final = "DELETE FROM invitations WHERE token_hash = $1 AND expires_at > now() RETURNING id::text, role"


class Invited(answers.Answer):
    """Somebody who was asked to join by mail, and has not yet."""

    status: Literal["invited"] = "invited"
    invitation_id: str
    email: str
    role: str
    invited_by: str | None
    created_at: datetime
    expires_at: datetime


class Acceptance(Body):
    token: Token


async def tell(services: Services, user_id: str, email: str, token: str) -> None:
    """Mail the link. What comes behind `#` reaches no server and no log on the way.

    The mail goes to a stranger, so nothing stands in it that the inviting person could have written as they like.
    """
    async with services.database() as connection:
        inviting = await connection.fetchval("SELECT email FROM users WHERE id = $1", user_id)
    link = f"{services.settings.public_url}/invitations#token={token}"
    text = _MAIL.format(inviting=inviting, link=link)
    await services.afterwards(lambda: services.mail.send(email, "You are invited to Chorus", text))


async def invite(held: Held, email: str, role: str) -> tuple[Invited, str]:
    """An invitation and its token, which stands nowhere else. Inviting again makes the link before it useless."""
    connection = held.connection
    await connection.execute("DELETE FROM invitations WHERE project_id = $1 AND expires_at <= now()", held.project_id)
    if (
        await connection.fetchval("SELECT count(*) FROM invitations WHERE project_id = $1", held.project_id)
        >= MOST_OPEN
    ):
        raise Conflict(email=f"{MOST_OPEN} invitations are open already; withdraw those that nobody will accept.")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    row = await connection.fetchrow(
        _INVITE, new_id(), held.project_id, email, role, _hash(token), held.user_id, LIFETIME
    )
    assert row is not None
    invited = Invited(**row)
    await audit.record(
        connection,
        audit.Event.SENSITIVE_CREATE,
        actor_id=held.user_id,
        project_id=held.project_id,
        thing="invitation",
        invitation_id=invited.invitation_id,
        role=role,
    )
    return invited, token


def _hash(token: str) -> bytes:
    # The token is 256 random bits: nothing that could be guessed needs a slow hash.
    return hashlib.sha256(token.encode(errors="replace")).digest()


async def withdraw_of(held: Held, user_id: str, role: str | None) -> None:
    """Withdraw what somebody has invited others to and could not any longer, being `role` now."""
    rows = await held.connection.fetch(
        "SELECT id, role FROM invitations WHERE project_id = $1 AND invited_by = $2", held.project_id, user_id
    )
    gone = [row["id"] for row in rows if not may_set_role(role or "", None, row["role"])]
    await held.connection.execute("DELETE FROM invitations WHERE id = ANY($1::uuid[])", gone)


@router.get("/v1/projects/{project_id}/invitations", responses=refusals(ErrorCode.FORBIDDEN))
async def invitations(
    services: ServicesOf, caller: Caller, project_id: IdInPath, limit: Limit = 50, cursor: Cursor = None
) -> answers.Page[Invited]:
    """Those that are open, oldest first; for those who may invite."""
    if not may(await services.access.project_role(caller.user_id, project_id), Action.MANAGE_MEMBERS):
        raise Forbidden(project_id, Action.MANAGE_MEMBERS)
    after = key_of(cursor) or (None, None)
    async with services.database() as connection:
        rows = await connection.fetch(_OPEN, project_id, *after, limit + 1)
    return page([Invited(**row) for row in rows], limit, lambda i: (i.created_at, i.invitation_id))


@router.delete(
    "/v1/projects/{project_id}/invitations/{invitation_id}",
    status_code=204,
    responses=refusals(ErrorCode.FORBIDDEN),
)
async def withdraw(services: ServicesOf, caller: Caller, project_id: IdInPath, invitation_id: IdInPath) -> None:
    """The link that was mailed works no longer."""
    async with changing(services, caller.user_id, project_id, Action.MANAGE_MEMBERS, tell=False) as held:
        role = await held.connection.fetchval(
            "DELETE FROM invitations WHERE id = $1 AND project_id = $2 RETURNING role", invitation_id, project_id
        )
        if role is None:
            raise Refused(ErrorCode.NOT_FOUND)
        held.check(may_set_role(held.role, None, role))
        await audit.record(
            held.connection,
            audit.Event.SENSITIVE_DELETE,
            actor_id=caller.user_id,
            project_id=project_id,
            thing="invitation",
            invitation_id=invitation_id,
        )


@router.post("/v1/invitations/accept", responses=refusals(ErrorCode.INVALID))
async def accept(services: ServicesOf, caller: Caller, given: Acceptance) -> answers.Project:
    """Join the project that one was invited to; the link works once.

    It proves who got the mail, not which address they signed up with: people have several. Who is a member already
    stays what they are.
    """
    async with services.database() as connection, connection.transaction():
        project_id = await connection.fetchval(_OF, _hash(given.token))
        await connection.execute("SELECT FROM projects WHERE id = $1 FOR UPDATE", project_id)
        taken = await connection.fetchrow(_TAKE, _hash(given.token))
        if taken is None:
            raise invalid(token=_NO_INVITATION)
        await enter(connection, project_id, caller.user_id, taken["role"])
        changed = await outbox.project_changed(connection, project_id)
        await audit.record(
            connection,
            audit.Event.PRIVILEGE_PERMISSIONS_CHANGED,
            actor_id=caller.user_id,
            user_id=caller.user_id,
            project_id=project_id,
            invitation_id=taken["id"],
            after=taken["role"],
        )
        joined = await read_project(connection, caller.user_id, project_id)
    await services.changed(changed)
    return joined

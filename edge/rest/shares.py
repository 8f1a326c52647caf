"""A read-only link to a conversation as it was when it was shared.

Whoever has the link reads the newest path up to that moment: what was said differently since, or before, and what was
answered again is not theirs to see. Texts and names are those of now, so what was deleted is deleted there as well.
"""

import hashlib
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Path, Query, Response

from edge import audit
from edge.branches import newest_path
from edge.errors import Forbidden, Refused, invalid
from edge.rest.answers import Answer
from edge.rest.fields import IdInPath, Limit
from edge.rest.openapi import refusals
from edge.rest.people import name_of, names
from edge.rest.repeats import Once
from edge.rest.services import Address, Caller, Services, ServicesOf
from infra import history
from schemas.frames import ErrorCode
from schemas.ids import new_id
from schemas.roles import Action, may

if TYPE_CHECKING:
    from edge.rest.services import Connection

router = APIRouter(route_class=Once, tags=["shares"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND))

TOKEN_BYTES: Final = 32
NOT_FOR_ROBOTS: Final = "noindex, nofollow, noarchive"
_MOST_SHARES: Final = 100
"""Links of one conversation that are not revoked: more are a mistake, or a script's."""
_LONGEST_CURSOR: Final = 12


class Share(Answer):
    """`created_by` shared what had been said by `created_at`."""

    id: str
    created_by: str
    created_at: datetime


class NewShare(Share):
    """`token`, and with it `url` (an address of the page), are shown this once."""

    token: str
    url: str


class Shares(Answer):
    data: list[Share]


class SharedMessage(Answer):
    """`author` is a name, of a person or an agent; `deleted` where there is none any more."""

    role: str
    author: str
    content: str
    deleted: bool
    created_at: datetime


class SharedConversation(Answer):
    """What was said up to `shared_at`, oldest first. `title` is null where it has changed since."""

    title: str | None
    shared_at: datetime
    messages: list[SharedMessage]
    next_cursor: str | None


_SHARED: Final = """
SELECT s.conversation_id::text, s.position, s.title_hash, s.created_at, c.title
FROM shares s JOIN conversations c ON c.id = s.conversation_id JOIN projects p ON p.id = c.project_id
WHERE s.token_hash = $1 AND s.revoked_at IS NULL AND NOT c.deleted AND p.deleted_at IS NULL
"""


def _token_hash(token: str) -> bytes:
    # The token is 256 random bits: nothing that could be guessed needs a slow hash.
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _title_hash(token: str, title: str | None) -> bytes | None:
    """Tells whether the title is still the one that was shared. Without the token it tells nothing."""
    return None if title is None else hashlib.sha256(f"{token}\0{title}".encode()).digest()


async def _may_share(services: Services, caller: Caller, conversation_id: str) -> str:
    """The project's id."""
    found = await services.access.present_conversation(caller.user_id, conversation_id)
    if not may(found.role, Action.SHARE):
        raise Forbidden(found.project_id, Action.SHARE)
    return found.project_id


@router.post(
    "/v1/conversations/{conversation_id}/shares",
    status_code=201,
    responses=refusals(ErrorCode.FORBIDDEN, ErrorCode.INVALID),
)
async def share(services: ServicesOf, caller: Caller, conversation_id: IdInPath) -> NewShare:
    """Make a link by which anybody may read what has been said so far. What is said later is not shared by it."""
    project_id = await _may_share(services, caller, conversation_id)
    await services.caught_up(conversation_id)
    token, share_id = secrets.token_urlsafe(TOKEN_BYTES), new_id()
    async with services.database() as connection, connection.transaction():
        view = await history.load_view(connection, conversation_id)
        if view is None or view.deleted:
            raise Refused(ErrorCode.NOT_FOUND)
        if len(await _shares(connection, conversation_id)) >= _MOST_SHARES:
            raise invalid(conversation_id=f"has {_MOST_SHARES} links already; revoke those that nobody needs")
        created_at: datetime = await connection.fetchval(
            """
            INSERT INTO shares (id, conversation_id, created_by, token_hash, position, title_hash)
            VALUES ($1, $2, $3, $4, $5, $6) RETURNING created_at
            """,
            share_id,
            conversation_id,
            caller.user_id,
            _token_hash(token),
            view.position,
            _title_hash(token, view.title),
        )
        await audit.record(
            connection,
            audit.Event.SENSITIVE_CREATE,
            actor_id=caller.user_id,
            project_id=project_id,
            thing="share",
            share_id=share_id,
            conversation_id=conversation_id,
        )
    return NewShare(id=share_id, created_by=caller.user_id, created_at=created_at, token=token, url=f"/shared/{token}")


@router.get("/v1/conversations/{conversation_id}/shares", responses=refusals(ErrorCode.FORBIDDEN))
async def shares(services: ServicesOf, caller: Caller, conversation_id: IdInPath) -> Shares:
    """The links that are not revoked, oldest first; nobody is shown their tokens again."""
    await _may_share(services, caller, conversation_id)
    async with services.database() as connection:
        return Shares(data=await _shares(connection, conversation_id))


async def _shares(connection: "Connection", conversation_id: str) -> list[Share]:
    rows = await connection.fetch(
        """
        SELECT id::text, created_by::text, created_at FROM shares
        WHERE conversation_id = $1 AND revoked_at IS NULL ORDER BY created_at, id
        """,
        conversation_id,
    )
    return [Share(**row) for row in rows]


@router.delete(
    "/v1/conversations/{conversation_id}/shares/{share_id}", status_code=204, responses=refusals(ErrorCode.FORBIDDEN)
)
async def revoke(services: ServicesOf, caller: Caller, conversation_id: IdInPath, share_id: IdInPath) -> Response:
    """Take a link back, whoever made it: from now on it leads nowhere. Doing it again answers the same."""
    project_id = await _may_share(services, caller, conversation_id)
    async with services.database() as connection, connection.transaction():
        found = await connection.fetchrow(
            """
            WITH before AS (SELECT id, revoked_at FROM shares WHERE id = $1 AND conversation_id = $2 FOR UPDATE)
            UPDATE shares SET revoked_at = coalesce(before.revoked_at, now()) FROM before WHERE shares.id = before.id
            RETURNING before.revoked_at
            """,
            share_id,
            conversation_id,
        )
        if found is None:
            raise Refused(ErrorCode.NOT_FOUND)
        if found["revoked_at"] is None:
            await audit.record(
                connection,
                audit.Event.SENSITIVE_DELETE,
                actor_id=caller.user_id,
                project_id=project_id,
                thing="share",
                share_id=share_id,
                conversation_id=conversation_id,
            )
    return Response(status_code=204)


@router.get("/v1/shared/{token}", responses=refusals(ErrorCode.RATE_LIMITED, ErrorCode.INVALID))
async def shared(
    services: ServicesOf,
    address: Address,
    response: Response,
    token: Annotated[str, Path()],
    limit: Limit = 50,
    cursor: Annotated[
        str | None, Query(max_length=_LONGEST_CURSOR, description="`next_cursor` of the page before.")
    ] = None,
) -> SharedConversation:
    """What a link shows, to whoever has it; no account is needed. One that was revoked was never there."""
    await services.limits.shared_reads.take(address)
    first = _number(cursor)
    async with services.reading() as connection:
        row = await connection.fetchrow(_SHARED, _token_hash(token))
        if row is None:
            raise Refused(ErrorCode.NOT_FOUND)
        path = newest_path(await history.outline(connection, row["conversation_id"], row["position"]))
        ids = path[first : first + limit]
        found = await history.some_messages(connection, ids)
        known = await names(connection, found.values())
    response.headers["X-Robots-Tag"] = NOT_FOR_ROBOTS
    same_title = _title_hash(token, row["title"]) == row["title_hash"]
    return SharedConversation(
        title=row["title"] if same_title else None,
        shared_at=row["created_at"],
        messages=[
            SharedMessage(
                role=message.role,
                author=name_of(message, known),
                content=message.content,
                deleted=message.deleted,
                created_at=message.created_at,
            )
            for id in ids
            if (message := found.get(id)) is not None
        ],
        next_cursor=str(first + limit) if first + limit < len(path) else None,
    )


def _number(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal()):
        raise invalid(cursor="is no cursor of this conversation")
    return int(cursor)

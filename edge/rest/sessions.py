"""Where one is signed in, and ending that from elsewhere."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter

from edge import refresh_tokens
from edge.errors import Refused
from edge.rest import answers
from edge.rest.fields import IdInPath
from edge.rest.openapi import refusals
from edge.rest.services import Caller, ServicesOf
from schemas.frames import ErrorCode

router = APIRouter(prefix="/v1/users/me/sessions")


class Session(answers.Answer):
    """`last_used_at` is when its tokens were last renewed. `current`: it is what asks."""

    id: str
    created_at: datetime
    last_used_at: datetime
    current: bool


@router.get("")
async def sessions(services: ServicesOf, caller: Caller) -> answers.Page[Session]:
    """The caller's sign-ins that go on, last used first; all of them, on one page."""
    async with services.database() as connection:
        found = await refresh_tokens.sign_ins(connection, UUID(caller.user_id))
    data = [
        Session(
            id=str(one.id),
            created_at=one.created_at,
            last_used_at=one.last_used_at,
            current=str(one.id) == caller.sign_in_id,
        )
        for one in found
    ]
    return answers.Page(data=data, next_cursor=None)


@router.delete("/{session_id}", status_code=204, responses=refusals(ErrorCode.NOT_FOUND))
async def end_session(services: ServicesOf, caller: Caller, session_id: IdInPath) -> None:
    """End a sign-in, at once: its access tokens are refused, its sockets closed with 4503."""
    async with services.database() as connection, connection.transaction():
        if not await refresh_tokens.revoke_one(connection, UUID(caller.user_id), UUID(session_id)):
            raise Refused(ErrorCode.NOT_FOUND)
    await services.revocations.spread()

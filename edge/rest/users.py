"""One's own profile."""

from typing import TYPE_CHECKING, Final, TypeAlias

from fastapi import APIRouter

from edge.errors import Refused
from edge.rest import answers
from edge.rest.fields import Body, Name
from edge.rest.openapi import refusals
from edge.rest.services import Caller, ServicesOf
from schemas.frames import ErrorCode

if TYPE_CHECKING:
    import asyncpg

    Row: TypeAlias = asyncpg.Record

router = APIRouter(tags=["users"], responses=refusals(ErrorCode.UNAVAILABLE))

_ME: Final = "SELECT id::text, email, display_name, created_at FROM users WHERE id = $1"
_CHANGE_ME: Final = """
UPDATE users SET display_name = coalesce($2, display_name) WHERE id = $1
RETURNING id::text, email, display_name, created_at
"""


class ProfileChange(Body):
    display_name: Name | None = None


def _me(row: "Row | None") -> answers.User:
    if row is None:  # the token outlived the person
        raise Refused(ErrorCode.UNAUTHENTICATED)
    return answers.User(**row)


@router.get("/v1/users/me")
async def me(services: ServicesOf, caller: Caller) -> answers.User:
    async with services.database() as connection:
        return _me(await connection.fetchrow(_ME, caller.user_id))


@router.patch("/v1/users/me")
async def change_me(services: ServicesOf, caller: Caller, change: ProfileChange) -> answers.User:
    """What is absent stays as it is."""
    async with services.database() as connection:
        return _me(await connection.fetchrow(_CHANGE_ME, caller.user_id, change.display_name))

"""One's own profile, all of one's own to take away, and the end of it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from edge import audit, erasure, takeout
from edge.errors import Refused
from edge.rest import answers, identities, mailed, sessions
from edge.rest.conditional import ChangingOf, ReadingOf
from edge.rest.fields import Body, IdInPath, Name, Text
from edge.rest.openapi import refusals
from edge.rest.services import Caller, Services, ServicesOf
from schemas.frames import ErrorCode

if TYPE_CHECKING:
    import asyncpg

    Row: TypeAlias = asyncpg.Record

router = APIRouter(tags=["users"], responses=refusals(ErrorCode.UNAVAILABLE))
router.include_router(identities.router)
router.include_router(mailed.users_router)
router.include_router(sessions.router)

_ME: Final = """
SELECT id::text, email, email_verified_at IS NOT NULL AS email_verified, display_name, created_at
FROM users WHERE id = $1
"""
_CHANGE_ME: Final = """
UPDATE users SET display_name = coalesce($2, display_name) WHERE id = $1
RETURNING id::text, email, email_verified_at IS NOT NULL AS email_verified, display_name, created_at
"""
_ERASURE: Final = "SELECT receipt_id::text AS id, asked_at, done_at FROM erasures WHERE receipt_id = $1"

_EXPORTS_AT_ONCE: Final = 2
"""In one process: each holds a connection for as long as its reader takes."""
_EXPORT_LIMIT_S: Final = 900.0
"""Seconds for one export; who reads more slowly has it cut."""
_ZIP: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/zip": {}}, "description": "JSON lines, zipped."}
}
_RETRY_EXPORT_MS: Final = 30_000
_exports = asyncio.Semaphore(_EXPORTS_AT_ONCE)


class ProfileChange(Body):
    display_name: Name | None = None


def _me(row: "Row | None") -> answers.User:
    if row is None:  # the token outlived the person
        raise Refused(ErrorCode.UNAUTHENTICATED)
    return answers.User(**row)


@router.get("/v1/users/me")
async def me(services: ServicesOf, caller: Caller, reading: ReadingOf) -> answers.User:
    async with services.database() as connection:
        return reading.tagged(_me(await connection.fetchrow(_ME, caller.user_id)))


@router.patch("/v1/users/me")
async def change_me(services: ServicesOf, caller: Caller, change: ProfileChange, if_match: ChangingOf) -> answers.User:
    """What is absent stays as it is."""
    async with services.database() as connection, connection.transaction():
        if_match.check(_me(await connection.fetchrow(f"{_ME} FOR UPDATE", caller.user_id)))
        return if_match.tagged(_me(await connection.fetchrow(_CHANGE_ME, caller.user_id, change.display_name)))


@router.get(
    "/v1/users/me/export",
    response_class=Response,
    responses=_ZIP | refusals(ErrorCode.RATE_LIMITED),
)
async def export(services: ServicesOf, caller: Caller) -> Response:
    """Everything of mine: profile, memberships, conversations, messages and their answers, sign-ins, what the audit log
    says of me. A zip that ends early is not whole, and says so when it is opened."""
    if _exports.locked():
        raise Refused(ErrorCode.RATE_LIMITED, "Others are taking theirs just now.", retry_after_ms=_RETRY_EXPORT_MS)
    async with services.database() as connection:
        await audit.record(connection, audit.Event.SENSITIVE_READ, actor_id=caller.user_id, of="export")
    now = datetime.now(UTC)
    return StreamingResponse(
        _packed(services, caller.user_id, now),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="chorus-{now:%Y-%m-%d}.zip"'},
    )


async def _packed(services: Services, user_id: str, now: datetime) -> AsyncIterator[bytes]:
    async with _exports, asyncio.timeout(_EXPORT_LIMIT_S), services.pool.acquire() as connection:
        async for piece in takeout.packed(connection, user_id, now):
            yield piece


class Farewell(Body):
    """`confirm` is the e-mail address of the account: nobody deletes it by mistake."""

    confirm: Annotated[Text, Field(max_length=300)]


class KeptThing(answers.Answer):
    what: str
    why: str


class Receipt(answers.Answer):
    """What was done, and what stays and why. `id` asks for `/v1/erasures/{id}`, which says when all of it is done."""

    id: str
    user_id: str
    at: datetime
    done: list[str]
    kept: list[KeptThing]


class Erasure(answers.Answer):
    """`done_at` is null until the last copy has been looked at."""

    id: str
    asked_at: datetime
    done_at: datetime | None


@router.delete("/v1/users/me", responses=refusals(HTTPStatus.CONFLICT))
async def delete_me(services: ServicesOf, caller: Caller, farewell: Farewell) -> Receipt:
    """Delete the account and everything of it, for good. There is no way back.

    Refused with 409 while a project with other members has no other owner: hand it over or delete it first.
    """
    async with services.database() as connection:
        receipt = await erasure.begin(connection, caller.user_id, farewell.confirm)
    if receipt is None:  # the token outlived the person
        raise Refused(ErrorCode.UNAUTHENTICATED)
    await services.revocations.spread()
    return Receipt.model_validate(receipt)


@router.get("/v1/erasures/{receipt_id}", responses=refusals(ErrorCode.NOT_FOUND))
async def erasure_of(services: ServicesOf, receipt_id: IdInPath) -> Erasure:
    """How far a deletion is. Whoever has the receipt may ask: nobody is left who could sign in."""
    async with services.database() as connection:
        row = await connection.fetchrow(_ERASURE, receipt_id)
    if row is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return Erasure(**row)

"""One's own ways in, added and removed; the last one stays."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Request, Response
from pydantic import Field

from edge import audit
from edge.errors import Refused
from edge.oauth.flow import LONGEST_NEXT, ProviderFailed
from edge.problems import Conflict
from edge.rest import answers
from edge.rest.fields import Body, Text
from edge.rest.oauth import ProviderName, begin, checked_next
from edge.rest.openapi import refusals
from edge.rest.services import Address, Caller, ServicesOf
from schemas.frames import ErrorCode

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/users/me/identities")

_LIST: Final = """
SELECT provider, email, created_at FROM identities WHERE user_id = $1 ORDER BY created_at, provider
"""
# Locked, so that two removals at once do not each leave the other's way in.
_LOCK: Final = "SELECT password_hash IS NOT NULL FROM users WHERE id = $1 FOR NO KEY UPDATE"


class OneIdentity(answers.Answer):
    """`email` is what the provider said last; it need not be the account's."""

    provider: str
    email: str | None
    created_at: datetime


class Identities(answers.Answer):
    data: list[OneIdentity]
    has_password: bool


class Way(answers.Answer):
    """Where to send the browser."""

    url: str


class WayWanted(Body):
    next: Annotated[
        Text,
        Field(max_length=LONGEST_NEXT, description="Where to come back to: a path on this site, with one / at first."),
    ] = "/"


@router.get("")
async def identities(services: ServicesOf, caller: Caller) -> Identities:
    async with services.database() as connection:
        has_password = await connection.fetchval(
            "SELECT password_hash IS NOT NULL FROM users WHERE id = $1", caller.user_id
        )
        rows = await connection.fetch(_LIST, caller.user_id)
    return Identities(data=[OneIdentity(**row) for row in rows], has_password=bool(has_password))


@router.post("/{provider}/start", responses=refusals(ErrorCode.NOT_FOUND, ErrorCode.RATE_LIMITED))
async def start(
    services: ServicesOf,
    caller: Caller,
    address: Address,
    request: Request,
    response: Response,
    provider: ProviderName,
    wanted: WayWanted | None = None,
) -> Way:
    """Begin to add an identity; it is added where this browser comes back from the provider."""
    await services.limits.sign_ups.take(address)
    try:
        next = checked_next("/" if wanted is None else wanted.next)
        url, browser = await begin(services, request, provider, next, caller.user_id)
    except ProviderFailed as failed:
        log.warning("provider failed", provider=provider, reason=failed.reason)
        raise Refused(ErrorCode.UNAVAILABLE, "This provider does not answer at the moment.") from None
    services.cookies.keep_browser(response, browser)
    return Way(url=url)


@router.delete("/{provider}", status_code=204, responses=refusals(ErrorCode.NOT_FOUND, HTTPStatus.CONFLICT))
async def remove(services: ServicesOf, caller: Caller, provider: ProviderName) -> None:
    """Remove a way in; refused where nothing else would be left."""
    async with services.database() as connection, connection.transaction():
        has_password = await connection.fetchval(_LOCK, caller.user_id)
        providers = {row["provider"] for row in await connection.fetch(_LIST, caller.user_id)}
        if provider not in providers:
            raise Refused(ErrorCode.NOT_FOUND)
        if not has_password and len(providers) == 1:
            raise Conflict(provider="This is your only way in: add another, or set a password, and then remove it.")
        await connection.execute(
            "DELETE FROM identities WHERE user_id = $1 AND provider = $2", caller.user_id, provider
        )
        await audit.record(
            connection, audit.Event.SENSITIVE_DELETE, actor_id=caller.user_id, thing="identity", provider=provider
        )

"""Signing in through Google, Facebook or TikTok: the way there, the way back, and being asked to forget somebody."""

import secrets
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, urlencode
from uuid import UUID

import asyncpg
import structlog
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from edge import audit, erasure, refresh_tokens
from edge.errors import Refused, invalid
from edge.oauth import accounts, states
from edge.oauth.facebook import NAME as FACEBOOK
from edge.oauth.facebook import Facebook
from edge.oauth.flow import LONGEST_NEXT, Identity, Provider, ProviderFailed, is_safe_next
from edge.problems import Conflict
from edge.rest import answers
from edge.rest.openapi import refusals
from edge.rest.services import Address, Services, ServicesOf
from schemas.frames import ErrorCode

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/oauth", responses=refusals(ErrorCode.NOT_FOUND))

ProviderName = Annotated[str, Path(pattern="^[a-z]{1,20}$", description="`google`, `facebook` or `tiktok`.")]
Next = Annotated[str, Query(max_length=LONGEST_NEXT, description="Where on the page to go afterwards: a path.")]

_REDIRECT: Final[dict[int | str, dict[str, Any]]] = {302: {"description": "To the provider, or back to the page."}}
_LONGEST_ANSWER: Final = 4096
"""Characters of a code or state; the longest codes known have some hundred."""


def provider_of(services: Services, name: str) -> Provider:
    """A provider that is switched on. Raises `Refused` (`not_found`) for any other."""
    if (found := services.providers.get(name)) is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return found


def callback_of(services: Services, name: str) -> str:
    """The one address that this provider sends people back to."""
    return f"{services.settings.public_url}/v1/auth/oauth/{name}/callback"


def checked_next(text: str) -> str:
    if not is_safe_next(text):
        raise invalid(next="must be a path on this site that begins with one /")
    return text


async def begin(services: Services, request: Request, name: str, next: str, user_id: str | None) -> tuple[str, str]:
    """The address at the provider, and what the browser is to be told apart by.

    Raises:
        ProviderFailed: the provider cannot be asked for its addresses.
        Refused: `unavailable`
    """
    provider = provider_of(services, name)
    # The same for all of a browser's tabs, so that two ways can be begun at once.
    browser = services.cookies.browser(request) or states.new_browser()
    async with services.database() as connection:
        trip = await states.begin(connection, name, browser, callback_of(services, name), next, user_id)
    return await provider.address(trip), browser


@router.get(
    "/{provider}/start",
    status_code=302,
    response_class=Response,
    responses=_REDIRECT | refusals(ErrorCode.RATE_LIMITED, ErrorCode.UNAVAILABLE),
)
async def start(
    services: ServicesOf, address: Address, request: Request, provider: ProviderName, next: Next = "/"
) -> Response:
    """To the provider. The way back is good for ten minutes, once, and in this browser."""
    provider_of(services, provider)
    await services.limits.sign_ups.take(address)
    try:
        there, browser = await begin(services, request, provider, checked_next(next), None)
    except ProviderFailed as failed:
        log.warning("provider failed", provider=provider, reason=failed.reason)
        return _to_page(provider, "provider_unavailable")
    response = RedirectResponse(there, HTTPStatus.FOUND)
    services.cookies.keep_browser(response, browser)
    return response


@router.get(
    "/{provider}/callback",
    status_code=302,
    response_class=Response,
    responses=_REDIRECT | refusals(ErrorCode.RATE_LIMITED),
)
async def callback(services: ServicesOf, address: Address, request: Request, provider: ProviderName) -> Response:
    """Back from the provider: signs in, or adds the identity to whom began so; then on to `next`.

    What goes wrong is told to the page as `/?error=…&provider=…`: `denied` (by the person), `expired` (begun too long
    ago, in another browser, or used already), `provider_failed`, `provider_unavailable`, `email_taken`,
    `identity_taken`, `provider_taken`, `unavailable`.
    """
    provider_of(services, provider)
    await services.limits.failed_sign_ins.take(address)
    try:
        next, refresh_token = await _arrive(services, request, provider)
    except _Failed as failed:
        await _record_failure(services, provider, failed.code)
        return _to_page(provider, failed.code)
    except Refused as refused:  # PostgreSQL is away, and whoever looks at the page should be told in words
        return _to_page(provider, refused.code)
    await services.limits.failed_sign_ins.give_back(address)
    response = RedirectResponse(next, HTTPStatus.FOUND)
    if refresh_token is not None:
        services.cookies.keep_refresh(response, refresh_token)
    return response


class _Failed(Exception):
    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


async def _arrive(services: Services, request: Request, name: str) -> tuple[str, str | None]:
    """Where to go, and the refresh token of a new sign-in."""
    provider, query = services.providers[name], request.query_params
    state, browser = query.get("state", ""), services.cookies.browser(request)
    begun = None
    if state and browser and len(state) <= _LONGEST_ANSWER:
        async with services.database() as connection:
            begun = await states.end(connection, name, browser, state, callback_of(services, name))
    if begun is None:
        raise _Failed("expired")
    if (issuer := query.get("iss")) is not None and issuer != provider.issuer:
        raise _Failed("provider_failed")  # another provider's answer, brought here (RFC 9207)
    if "error" in query:
        raise _Failed("denied" if query["error"] == "access_denied" else "provider_failed")
    code = query.get("code", "")
    if not 0 < len(code) <= _LONGEST_ANSWER:
        raise _Failed("provider_failed")
    try:
        identity = await provider.identity(code, begun.trip)
        if begun.user_id is None:
            return begun.next, await _sign_in(services, identity)
        async with services.database() as connection, connection.transaction():
            await accounts.link(connection, begun.user_id, identity)
        return begun.next, None
    except ProviderFailed as failed:
        log.warning("provider failed", provider=name, reason=failed.reason)
        raise _Failed("provider_unavailable" if failed.away else "provider_failed") from None
    except accounts.Declined as declined:
        raise _Failed(declined.code) from None
    except asyncpg.ForeignKeyViolationError:  # who began to add it is gone
        raise _Failed("expired") from None


async def _sign_in(services: Services, identity: Identity) -> str:
    try:
        return await _entered(services, identity)
    except asyncpg.UniqueViolationError:
        # Two tabs at once, or a sign-up with the same address: what the other made is there now.
        return await _entered(services, identity)


async def _entered(services: Services, identity: Identity) -> str:
    async with services.database() as connection, connection.transaction():
        user_id, is_new = await accounts.enter(connection, services.keyring, identity)
        issued = await refresh_tokens.start_family(connection, UUID(user_id))
        await audit.record(
            connection, audit.Event.AUTHN_LOGIN_SUCCESS, actor_id=user_id, provider=identity.provider, is_new=is_new
        )
    return issued.token


async def _record_failure(services: Services, provider: str, code: str) -> None:
    try:
        async with services.database() as connection:
            await audit.record(
                connection,
                audit.Event.AUTHN_LOGIN_FAIL,
                actor_id=None,
                result=audit.Result.FAILURE,
                provider=provider,
                reason=code,
            )
    except Refused:
        log.warning("authn_login_fail", provider=provider, reason=code)


def _to_page(provider: str, code: str) -> Response:
    return RedirectResponse(f"/?{urlencode({'error': code, 'provider': provider})}", HTTPStatus.FOUND)


# -- Facebook asks us to forget somebody -------------------------------------------------------------------------------


class Forgetting(answers.Answer):
    """What Facebook shows to whoever asked: where to look, and what to look for."""

    url: str
    confirmation_code: str


class Forgotten(answers.Answer):
    """`outcome`: `deleted` (the account, which nothing else opened), `unlinked` (it has other ways in), `kept` (it
    alone owns projects that others are in, and is now opened by nothing of Facebook's), `unknown`."""

    outcome: str
    asked_at: datetime


_SIGNED_REQUEST: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {"signed_request": {"type": "string"}},
                    "required": ["signed_request"],
                }
            }
        },
    }
}


@router.post(
    "/facebook/deletion",
    responses=refusals(ErrorCode.INVALID, ErrorCode.UNAVAILABLE),
    openapi_extra=_SIGNED_REQUEST,
)
async def facebook_deletion(services: ServicesOf, request: Request) -> Forgetting:
    """Facebook's data-deletion callback: somebody removed the app and asked that we forget them."""
    provider = provider_of(services, FACEBOOK)
    assert isinstance(provider, Facebook)
    form = parse_qs((await request.body()).decode("ascii", "replace"))
    subject = provider.asked_to_forget(form.get("signed_request", [""])[0])
    if subject is None:
        raise invalid(signed_request="is not signed by Facebook for this app")
    outcome = await _forget(services, FACEBOOK, subject)
    await services.revocations.spread()
    code = secrets.token_urlsafe(12)
    async with services.database() as connection:
        await connection.execute(
            "INSERT INTO provider_deletions (code, provider, outcome) VALUES ($1, $2, $3)", code, FACEBOOK, outcome
        )
    return Forgetting(
        url=f"{services.settings.public_url}/v1/auth/oauth/facebook/deletion/{code}", confirmation_code=code
    )


@router.get("/facebook/deletion/{code}", responses=refusals(ErrorCode.NOT_FOUND, ErrorCode.UNAVAILABLE))
async def deletion_status(services: ServicesOf, code: Annotated[str, Path(max_length=64)]) -> Forgotten:
    """What came of such a request."""
    async with services.database() as connection:
        row = await connection.fetchrow(
            "SELECT outcome, created_at AS asked_at FROM provider_deletions WHERE code = $1", code
        )
    if row is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return Forgotten(**row)


_UNLINK: Final = "DELETE FROM identities WHERE provider = $1 AND subject = $2 RETURNING user_id::text"
_WAYS_IN: Final = """
SELECT password_hash IS NOT NULL OR EXISTS (SELECT FROM identities WHERE user_id = $1) FROM users WHERE id = $1
"""


async def _forget(services: Services, provider: str, subject: str) -> str:
    async with services.database() as connection, connection.transaction():
        user_id = await connection.fetchval(_UNLINK, provider, subject)
        if user_id is None:
            return "unknown"
        await refresh_tokens.revoke_all(connection, UUID(user_id))
        await audit.record(
            connection, audit.Event.SENSITIVE_DELETE, actor_id=None, user_id=user_id, thing="identity", by=provider
        )
        if await connection.fetchval(_WAYS_IN, user_id):
            return "unlinked"
        try:
            await erasure.begin(connection, user_id)
        except Conflict:
            return "kept"
    return "deleted"

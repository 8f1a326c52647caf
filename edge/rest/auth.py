"""Signing up, in and out."""

from http import HTTPStatus
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from fastapi import APIRouter

from edge import refresh_tokens
from edge.errors import Refused
from edge.problems import Conflict
from edge.rest import answers
from edge.rest.fields import Body, Email, GivenPassword, Name, NewPassword, Token
from edge.rest.openapi import refusals
from edge.rest.projects import FIRST_PROJECT, found_project
from edge.rest.services import Address, CallerIfAny, Services, ServicesOf
from edge.tokens import ACCESS_LIFETIME
from schemas.frames import ErrorCode
from schemas.ids import new_id

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/auth", tags=["auth"], responses=refusals(ErrorCode.UNAVAILABLE))

_NEW_USER: Final = """
INSERT INTO users (id, email, display_name, password_hash) VALUES ($1, $2, $3, $4)
RETURNING id::text, email, display_name, created_at
"""
_BY_EMAIL: Final = """
SELECT id::text, email, display_name, created_at, password_hash FROM users WHERE lower(email) = lower($1)
"""
_BY_ID: Final = "SELECT id::text, email, display_name, created_at FROM users WHERE id = $1"


class SignUp(Body):
    email: Email
    password: NewPassword
    display_name: Name


class SignIn(Body):
    email: Email
    password: GivenPassword


class Refresh(Body):
    refresh_token: Token


class SignOut(Body):
    """`everywhere` ends all sign-ins of the caller, who is then named by an access token."""

    refresh_token: Token | None = None
    everywhere: bool = False


def _signed_in(services: Services, user: answers.User, refresh_token: str) -> answers.SignedIn:
    return answers.SignedIn(
        user=user,
        access_token=services.tokens.mint(user.id),
        refresh_token=refresh_token,
        expires_in=int(ACCESS_LIFETIME.total_seconds()),
    )


@router.post("/register", status_code=201, responses=refusals(HTTPStatus.CONFLICT, ErrorCode.RATE_LIMITED))
async def register(services: ServicesOf, address: Address, new: SignUp) -> answers.SignedIn:
    """A new person, with a first project and its agents.

    Nothing is mailed yet, so a taken address has to be told. That it takes as long as a free one, and that one address
    may only try so often, is what keeps a list of addresses from being tried out.
    """
    services.sign_ups.take(address)
    password_hash = await services.passwords.hash(new.password)
    user_id = new_id()
    try:
        async with services.database() as connection, connection.transaction():
            row = await connection.fetchrow(_NEW_USER, user_id, new.email, new.display_name, password_hash)
            assert row is not None
            await services.keyring.create(connection, user_id)
            await found_project(connection, user_id, FIRST_PROJECT)
            refresh_token = await refresh_tokens.start_family(connection, UUID(user_id))
    except asyncpg.UniqueViolationError:
        raise Conflict(email="This address cannot be used; if it is yours, sign in.") from None
    log.info("user_created", user_id=user_id)
    return _signed_in(services, answers.User(**row), refresh_token)


@router.post("/login", responses=refusals(ErrorCode.UNAUTHENTICATED, ErrorCode.RATE_LIMITED))
async def login(services: ServicesOf, address: Address, given: SignIn) -> answers.SignedIn:
    """Unknown people and wrong passwords get the same answer after the same time."""
    services.failed_sign_ins.take(address)
    async with services.database() as connection:
        row = await connection.fetchrow(_BY_EMAIL, given.email)
    stored = None if row is None else row["password_hash"]
    if not await services.passwords.matches(stored, given.password):
        log.info("authn_login_fail")
        raise Refused(ErrorCode.UNAUTHENTICATED, "The e-mail address or the password is wrong.")
    assert row is not None
    assert stored is not None
    services.failed_sign_ins.give_back(address)
    new_hash = await services.passwords.hash(given.password) if services.passwords.is_outdated(stored) else None
    async with services.database() as connection, connection.transaction():
        if new_hash is not None:
            await connection.execute("UPDATE users SET password_hash = $2 WHERE id = $1", row["id"], new_hash)
        refresh_token = await refresh_tokens.start_family(connection, UUID(row["id"]))
    return _signed_in(services, answers.User.model_validate(dict(row)), refresh_token)


@router.post("/refresh", responses=refusals(ErrorCode.UNAUTHENTICATED))
async def refresh(services: ServicesOf, given: Refresh) -> answers.SignedIn:
    """The next tokens; the refresh token that was given is spent."""
    async with services.database() as connection, connection.transaction():
        rotated = await refresh_tokens.rotate(connection, given.refresh_token, services.refresh_secret)
        row = None if rotated is None else await connection.fetchrow(_BY_ID, rotated[0])
    if rotated is None or row is None:
        raise Refused(ErrorCode.UNAUTHENTICATED, "This sign-in has ended; sign in again.")
    return _signed_in(services, answers.User(**row), rotated[1])


@router.post("/logout", status_code=204, responses=refusals(ErrorCode.UNAUTHENTICATED))
async def logout(services: ServicesOf, caller: CallerIfAny, given: SignOut) -> None:
    """Ends the sign-in that the refresh token belongs to, or all of the caller's.

    A refresh token that is unknown or spent is no error: the sign-in is over either way. Access tokens that were
    given out before work until they expire.
    """
    if caller is None and (given.everywhere or given.refresh_token is None):
        raise Refused(ErrorCode.UNAUTHENTICATED)
    async with services.database() as connection, connection.transaction():
        if given.refresh_token is not None:
            await refresh_tokens.revoke(connection, given.refresh_token)
        if given.everywhere and caller is not None:
            await refresh_tokens.revoke_all(connection, UUID(caller.user_id))

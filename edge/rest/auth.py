"""Signing up, in and out."""

import hashlib
from http import HTTPStatus
from typing import Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter, BackgroundTasks, Request, Response

from edge import audit, refresh_tokens
from edge.errors import Refused
from edge.problems import Conflict
from edge.refresh_tokens import Issued, Use
from edge.rest import answers, mailed, oauth
from edge.rest.fields import Body, Email, GivenPassword, Name, NewPassword, Token
from edge.rest.mailed import send_verification
from edge.rest.openapi import refusals
from edge.rest.projects import FIRST_PROJECT, found_project
from edge.rest.services import Address, CallerIfAny, Services, ServicesOf
from edge.tokens import ACCESS_LIFETIME
from schemas.frames import ErrorCode
from schemas.ids import new_id

router = APIRouter(prefix="/v1/auth", tags=["auth"], responses=refusals(ErrorCode.UNAVAILABLE))
router.include_router(mailed.router)
router.include_router(oauth.router)

_NEW_USER: Final = """
INSERT INTO users (id, email, display_name, password_hash) VALUES ($1, $2, $3, $4)
RETURNING id::text, email, email_verified_at IS NOT NULL AS email_verified, display_name, created_at
"""
_BY_EMAIL: Final = """
SELECT id::text, email, email_verified_at IS NOT NULL AS email_verified, display_name, created_at, password_hash
FROM users WHERE lower(email) = lower($1)
"""
_BY_ID: Final = """
SELECT id::text, email, email_verified_at IS NOT NULL AS email_verified, display_name, created_at
FROM users WHERE id = $1
"""

_AT_HOME: Final = """
SELECT EXISTS (SELECT FROM audit_log WHERE actor_id = $1 AND at > now() - interval '30 days'
    AND event IN ('authn_login_success', 'user_created') AND address = $2)
"""
_LOCK: Final = "SELECT password_hash FROM users WHERE id = $1 FOR NO KEY UPDATE"
_WRONG: Final = "The e-mail address or the password is wrong."


class SignUp(Body):
    email: Email
    password: NewPassword
    display_name: Name


class SignIn(Body):
    email: Email
    password: GivenPassword


class Refresh(Body):
    """Without a token the one in the cookie is taken."""

    refresh_token: Token | None = None


class SignOut(Body):
    """`everywhere` ends all sign-ins of the caller, who is then named by an access token. Without a token the one in
    the cookie is taken."""

    refresh_token: Token | None = None
    everywhere: bool = False


def _account(email: str) -> str:
    """What an address is counted under: it stands in no key itself."""
    return hashlib.sha256(email.lower().encode()).hexdigest()


def _signed_in(services: Services, user: answers.User, issued: Issued, *, in_cookie: bool = False) -> answers.SignedIn:
    return answers.SignedIn(
        user=user,
        access_token=services.tokens.mint(user.id, str(issued.family)),
        refresh_token=None if in_cookie else issued.token,
        expires_in=int(ACCESS_LIFETIME.total_seconds()),
    )


@router.post("/register", status_code=201, responses=refusals(HTTPStatus.CONFLICT, ErrorCode.RATE_LIMITED))
async def register(
    services: ServicesOf, address: Address, background: BackgroundTasks, new: SignUp
) -> answers.SignedIn:
    """A new person, with a first project and its agents; they are mailed a link that proves their address.

    They are let in at once, so a taken address has to be told. That it takes as long as a free one, and that one
    address may only try so often, is what keeps a list of addresses from being tried out.
    """
    await services.limits.sign_ups.take(address)
    password_hash = await services.passwords.hash(new.password)
    user_id = new_id()
    try:
        async with services.database() as connection, connection.transaction():
            row = await connection.fetchrow(_NEW_USER, user_id, new.email, new.display_name, password_hash)
            assert row is not None
            await services.keyring.create(connection, user_id)
            await found_project(connection, user_id, FIRST_PROJECT)
            issued = await refresh_tokens.start_family(connection, UUID(user_id))
            await audit.record(connection, audit.Event.USER_CREATED, actor_id=user_id)
    except asyncpg.UniqueViolationError:
        raise Conflict(email="This address cannot be used; if it is yours, sign in.") from None
    background.add_task(send_verification, services, user_id, new.email)
    return _signed_in(services, answers.User(**row), issued)


@router.post("/login", responses=refusals(ErrorCode.UNAUTHENTICATED, ErrorCode.RATE_LIMITED))
async def login(services: ServicesOf, address: Address, given: SignIn) -> answers.SignedIn:
    """Unknown people and wrong passwords get the same answer after the same time."""
    await services.limits.failed_sign_ins.take(address)
    async with services.database() as connection:
        row = await connection.fetchrow(_BY_EMAIL, given.email)
    account = _account(given.email)
    try:
        await services.limits.failed_sign_ins_of_accounts.take(account)
    except Refused:
        # Who guesses at somebody's password must not keep them out where they are at home. Asked for nobody, too, for
        # the same time.
        async with services.database() as connection:
            if not await connection.fetchval(_AT_HOME, new_id() if row is None else row["id"], address):
                raise
    stored = None if row is None else row["password_hash"]
    if not await services.passwords.matches(stored, given.password):
        async with services.database() as connection:
            await audit.record(
                connection,
                audit.Event.AUTHN_LOGIN_FAIL,
                actor_id=None,
                user_id=None if row is None else row["id"],
                result=audit.Result.FAILURE,
            )
        raise Refused(ErrorCode.UNAUTHENTICATED, _WRONG)
    assert row is not None
    assert stored is not None
    await services.limits.failed_sign_ins.give_back(address)
    await services.limits.failed_sign_ins_of_accounts.give_back(account)
    new_hash = await services.passwords.hash(given.password) if services.passwords.is_outdated(stored) else None
    async with services.database() as connection, connection.transaction():
        # A password that was changed while this one was looked at has ended all sign-ins, and begins none.
        if await connection.fetchval(_LOCK, row["id"]) != stored:
            raise Refused(ErrorCode.UNAUTHENTICATED, _WRONG)
        if new_hash is not None:
            await connection.execute("UPDATE users SET password_hash = $2 WHERE id = $1", row["id"], new_hash)
        issued = await refresh_tokens.start_family(connection, UUID(row["id"]))
        await audit.record(connection, audit.Event.AUTHN_LOGIN_SUCCESS, actor_id=row["id"])
    return _signed_in(services, answers.User.model_validate(dict(row)), issued)


@router.post("/refresh", responses=refusals(ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN_ORIGIN))
async def refresh(
    services: ServicesOf, request: Request, response: Response, given: Refresh | None = None
) -> answers.SignedIn:
    """The next tokens; the refresh token that was given is spent. Whose came as a cookie gets the next as one."""
    in_body = None if given is None else given.refresh_token
    token = in_body or services.cookies.refresh(request)
    if token is None:
        raise Refused(ErrorCode.UNAUTHENTICATED)
    async with services.database() as connection, connection.transaction():
        issued = await refresh_tokens.rotate(connection, token, services.refresh_secret)
        row = await connection.fetchrow(_BY_ID, issued.user_id) if isinstance(issued, Issued) else None
    if issued is Use.REUSE:
        await services.revocations.spread()
    if not isinstance(issued, Issued) or row is None:
        raise Refused(ErrorCode.UNAUTHENTICATED, "This sign-in has ended; sign in again.")
    if in_body is None:
        services.cookies.keep_refresh(response, issued.token)
    return _signed_in(services, answers.User(**row), issued, in_cookie=in_body is None)


@router.post("/logout", status_code=204, responses=refusals(ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN_ORIGIN))
async def logout(
    services: ServicesOf, caller: CallerIfAny, request: Request, response: Response, given: SignOut | None = None
) -> None:
    """Ends the sign-in that the refresh token belongs to, without one the caller's own, or all of the caller's.

    Afterwards its access tokens are refused, and its sockets are closed with 4503. A refresh token that is unknown or
    spent is no error: the sign-in is over either way.
    """
    given = given or SignOut()
    token = given.refresh_token or services.cookies.refresh(request)
    if caller is None and (given.everywhere or token is None):
        raise Refused(ErrorCode.UNAUTHENTICATED)
    async with services.database() as connection, connection.transaction():
        if token is not None:
            await refresh_tokens.revoke(connection, token)
        if caller is not None and given.everywhere:
            await refresh_tokens.revoke_all(connection, UUID(caller.user_id))
        elif caller is not None and token is None:
            await refresh_tokens.revoke_one(connection, UUID(caller.user_id), UUID(caller.sign_in_id))
    await services.revocations.spread()
    services.cookies.drop_refresh(response)

"""What a link in a mail does: prove that a mailbox is one's own, or set a new password. And changing it otherwise."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks
from starlette.responses import Response

from edge import audit, proofs, refresh_tokens
from edge.errors import Refused, invalid
from edge.problems import Conflict
from edge.proofs import Purpose
from edge.rest.fields import Body, Email, GivenPassword, NewPassword, Token
from edge.rest.openapi import refusals
from edge.rest.services import Address, Caller, Services, ServicesOf
from schemas.frames import ErrorCode

if TYPE_CHECKING:
    from edge.rest.services import Connection

router = APIRouter()
users_router = APIRouter(prefix="/v1/users/me")

_BY_EMAIL: Final = "SELECT id::text, email FROM users WHERE lower(email) = lower($1)"
_OWNER: Final = """
SELECT email_verified_at IS NOT NULL AS verified FROM users
WHERE id = $1 AND lower(email) = lower($2) FOR NO KEY UPDATE
"""
_SET: Final = """
UPDATE users SET password_hash = $2, email_verified_at = coalesce(email_verified_at, now()) WHERE id = $1
"""

_VERIFY_TEXT: Final = """\
Please confirm that this address is yours:

{url}/verify#token={token}

The link works once, for two days, where you are signed in. If you did not sign up to Chorus, do nothing.
"""
_RESET_TEXT: Final = """\
Somebody, hopefully you, asked for a new password for your account at Chorus. Choose it here:

{url}/reset#token={token}

The link works once, for an hour. If it was not you, do nothing: your password stays as it is.
"""
_CHANGED_TEXT: Final = """\
The password of your account at Chorus was changed, and all of its sign-ins have ended.

If it was not you, choose a new one now: {url}/ ("forgotten password").
"""


class Forgot(Body):
    email: Email


class Reset(Body):
    token: Token
    password: NewPassword


class Verify(Body):
    token: Token


class PasswordChange(Body):
    """`current_password` is needed where there is one."""

    current_password: GivenPassword | None = None
    new_password: NewPassword


async def send_verification(services: Services, user_id: str, email: str) -> None:
    """Mail a link that proves that the address is this person's; nothing where they were sent enough of them."""
    async with services.database() as connection:
        token = await proofs.make(connection, Purpose.VERIFY, user_id, email, services.refresh_secret)
    if token is not None:
        text = _VERIFY_TEXT.format(url=services.settings.public_url, token=token)
        await services.mail.send(email, "Confirm your address", text)


async def _send_reset(services: Services, email: str) -> None:
    async with services.database() as connection:
        row = await connection.fetchrow(_BY_EMAIL, email)
        if row is None:
            return
        token = await proofs.make(connection, Purpose.RESET, row["id"], row["email"], services.refresh_secret)
    if token is not None:
        text = _RESET_TEXT.format(url=services.settings.public_url, token=token)
        await services.mail.send(row["email"], "Choose a new password", text)


async def _tell_of_change(services: Services, email: str) -> None:
    await services.mail.send(email, "Your password was changed", _CHANGED_TEXT.format(url=services.settings.public_url))


@router.post("/password/forgot", status_code=202, response_class=Response, responses=refusals(ErrorCode.RATE_LIMITED))
async def forgot(services: ServicesOf, address: Address, background: BackgroundTasks, given: Forgot) -> Response:
    """Mail a link to choose a new password, where there is such a person; the answer is the same where there is none,
    and made before anybody has looked."""
    await services.limits.mail_requests.take(address)
    background.add_task(_send_reset, services, given.email)
    return Response(status_code=HTTPStatus.ACCEPTED, background=background)


@router.post("/password/reset", status_code=204, responses=refusals(ErrorCode.RATE_LIMITED))
async def reset(services: ServicesOf, address: Address, given: Reset) -> None:
    """Set a new password by a mailed link. Ends all sign-ins.

    It proves the mailbox, too. Where nothing had before, whoever signed up need not be who reads the mail: every other
    way in goes with the old password.
    """
    await services.limits.failed_sign_ins.take(address)
    useless = invalid(token="is no such link, or one that was used or has ended; ask for a new one")  # noqa: S106  # says what is wrong with it
    if proofs.read(given.token, Purpose.RESET, services.refresh_secret) is None:
        raise useless  # before any work is done for it
    password_hash = await services.passwords.hash(given.password)
    async with services.database() as connection, connection.transaction():
        proof = await proofs.redeem(connection, Purpose.RESET, given.token, services.refresh_secret)
        owner = None if proof is None else await connection.fetchrow(_OWNER, proof.user_id, proof.email)
        if proof is None or owner is None:
            raise useless
        await connection.execute(_SET, proof.user_id, password_hash)
        if not owner["verified"]:
            await connection.execute("DELETE FROM identities WHERE user_id = $1", proof.user_id)
        await _changed(connection, proof.user_id, by="link")
    await services.revocations.spread()
    await services.limits.failed_sign_ins.give_back(address)
    await _tell_of_change(services, proof.email)


async def _changed(connection: "Connection", user_id: str, by: str) -> None:
    """All that the old password could have opened, or left open, ends."""
    await refresh_tokens.revoke_all(connection, UUID(user_id))
    await connection.execute("DELETE FROM oauth_states WHERE user_id = $1", user_id)
    await connection.execute("DELETE FROM mail_proofs WHERE user_id = $1 AND purpose = $2", user_id, Purpose.RESET)
    await audit.record(connection, audit.Event.AUTHN_PASSWORD_CHANGE, actor_id=user_id, by=by)


@router.post(
    "/email/verify/send",
    status_code=202,
    response_class=Response,
    responses=refusals(ErrorCode.RATE_LIMITED, HTTPStatus.CONFLICT),
)
async def verify_send(services: ServicesOf, caller: Caller, address: Address) -> Response:
    """Mail a link that proves that the account's address is the caller's; nothing where that is proven already."""
    await services.limits.mail_requests.take(address)
    async with services.database() as connection:
        row = await connection.fetchrow(
            "SELECT email, email_verified_at IS NOT NULL AS verified FROM users WHERE id = $1", caller.user_id
        )
    if row is None:
        raise Refused(ErrorCode.UNAUTHENTICATED)
    if row["email"] is None:
        raise Conflict(email="This account has no e-mail address.")
    if not row["verified"]:
        await send_verification(services, caller.user_id, row["email"])
    return Response(status_code=HTTPStatus.ACCEPTED)


@router.post("/email/verify", status_code=204)
async def verify(services: ServicesOf, caller: Caller, given: Verify) -> None:
    """The account's address is proven to be the caller's.

    Only by the account itself: somebody may have signed up with a stranger's address, and the stranger, who finds a
    link in their mail, must not vouch for that account by a click.
    """
    async with services.database() as connection, connection.transaction():
        proof = await proofs.redeem(connection, Purpose.VERIFY, given.token, services.refresh_secret)
        if proof is None or proof.user_id != caller.user_id:
            raise invalid(token="is no such link of this account, or one that was used or has ended")  # noqa: S106  # says what is wrong with it
        await connection.execute(
            "UPDATE users SET email_verified_at = coalesce(email_verified_at, now()) WHERE id = $1 AND email = $2",
            proof.user_id,
            proof.email,
        )
        await audit.record(connection, audit.Event.USER_UPDATED, actor_id=caller.user_id, field="email_verified")


@users_router.post("/password", status_code=204, responses=refusals(ErrorCode.RATE_LIMITED, HTTPStatus.CONFLICT))
async def change_password(services: ServicesOf, caller: Caller, address: Address, given: PasswordChange) -> None:
    """Change the password, or set a first one. Ends all sign-ins: sign in anew with it."""
    await services.limits.failed_sign_ins.take(address)
    async with services.database() as connection:
        row = await connection.fetchrow("SELECT email, password_hash FROM users WHERE id = $1", caller.user_id)
    if row is None:
        raise Refused(ErrorCode.UNAUTHENTICATED)
    if row["email"] is None:
        raise Conflict(email="This account has no e-mail address to sign in with.")
    stored = row["password_hash"]
    if stored is not None and not await services.passwords.matches(stored, given.current_password or ""):
        async with services.database() as connection:
            await audit.record(
                connection,
                audit.Event.AUTHN_PASSWORD_CHANGE_FAIL,
                actor_id=caller.user_id,
                result=audit.Result.FAILURE,
            )
        raise invalid(current_password="is not your password")  # noqa: S106  # says what is wrong with it
    await services.limits.failed_sign_ins.give_back(address)
    password_hash = await services.passwords.hash(given.new_password)
    async with services.database() as connection, connection.transaction():
        done = await connection.execute(
            "UPDATE users SET password_hash = $2 WHERE id = $1 AND password_hash IS NOT DISTINCT FROM $3",
            caller.user_id,
            password_hash,
            stored,
        )
        if done == "UPDATE 0":
            raise Conflict(current_password="The password was changed by somebody else just now.")  # noqa: S106  # says what is wrong with it
        await _changed(connection, caller.user_id, by="password" if stored is not None else "first")
    await services.revocations.spread()
    await _tell_of_change(services, row["email"])

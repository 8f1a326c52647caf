"""Whose account an identity opens.

People are known by provider and subject, never by an e-mail address. An address leads to an account that is there
already only where both sides have proven it: the provider says that the mailbox is theirs, and so does a mail that the
account's owner answered. Without the second, whoever signs up first with a stranger's address would wait for that
stranger to move in. Without the first, whoever claims an address at a provider would move in with its owner.
"""

from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg
from pydantic import TypeAdapter, ValidationError

from edge import audit
from edge.oauth.flow import Identity
from edge.rest.fields import Email, Name
from edge.rest.projects import FIRST_PROJECT, found_project
from infra.keyring import Keyring
from schemas.ids import new_id

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

_EMAIL: Final[TypeAdapter[str]] = TypeAdapter(Email)
_NAME: Final[TypeAdapter[str]] = TypeAdapter(Name)
_LONGEST_NAME: Final = 80

_SEEN: Final = """
UPDATE identities SET email = $3 WHERE provider = $1 AND subject = $2 RETURNING user_id::text
"""
_BY_EMAIL: Final = """
SELECT id::text, email_verified_at IS NOT NULL AS verified FROM users WHERE lower(email) = lower($1) FOR UPDATE
"""
_LINK: Final = """
INSERT INTO identities (provider, subject, user_id, email) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING true
"""
_NEW: Final = """
INSERT INTO users (id, email, email_verified_at, display_name) VALUES ($1, $2, CASE WHEN $3 THEN now() END, $4)
"""


class Declined(Exception):
    """An identity opens or joins no account. `code` is what the page is told.

    `email_taken`: an account has its address, and not both have proven it. `identity_taken`: it is another person's.
    `provider_taken`: the account has another identity of this provider.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


async def enter(connection: "Connection", keyring: Keyring, identity: Identity) -> tuple[str, bool]:
    """Whose account this identity opens, and whether it is new. In the caller's transaction.

    Raises:
        Declined: `email_taken`.
        asyncpg.UniqueViolationError: the same is being done at this moment; once more, and it is done.
    """
    email = email_of(identity)
    user_id: str | None = await connection.fetchval(_SEEN, identity.provider, identity.subject, email)
    if user_id is not None:
        return user_id, False
    known = None if email is None else await connection.fetchrow(_BY_EMAIL, email)
    if known is not None:
        if not (identity.email_verified and known["verified"]):
            raise Declined("email_taken")
        await link(connection, known["id"], identity)
        return str(known["id"]), False
    user_id = new_id()
    await connection.execute(_NEW, user_id, email, identity.email_verified and email is not None, _name(identity))
    await connection.execute(
        "INSERT INTO identities (provider, subject, user_id, email) VALUES ($1, $2, $3, $4)",
        identity.provider,
        identity.subject,
        user_id,
        email,
    )
    await keyring.create(connection, user_id)
    await found_project(connection, user_id, FIRST_PROJECT)
    await audit.record(connection, audit.Event.USER_CREATED, actor_id=user_id, provider=identity.provider)
    return user_id, True


async def link(connection: "Connection", user_id: str, identity: Identity) -> None:
    """Have an identity open this account, too; nothing happens where it does already.

    Raises:
        Declined: `identity_taken` or `provider_taken`.
    """
    if await connection.fetchval(_LINK, identity.provider, identity.subject, user_id, email_of(identity)):
        await audit.record(
            connection,
            audit.Event.SENSITIVE_CREATE,
            actor_id=user_id,
            thing="identity",
            provider=identity.provider,
        )
        return
    owner = await connection.fetchval(
        "SELECT user_id::text FROM identities WHERE provider = $1 AND subject = $2", identity.provider, identity.subject
    )
    if owner != user_id:
        raise Declined("provider_taken" if owner is None else "identity_taken")


def email_of(identity: Identity) -> str | None:
    """Its address in our spelling; None where it has none that we could use."""
    try:
        return None if identity.email is None else _EMAIL.validate_python(identity.email)
    except ValidationError:
        return None


def _name(identity: Identity) -> str:
    try:
        return _NAME.validate_python(identity.name[:_LONGEST_NAME])
    except ValidationError:
        return identity.provider.title()

"""Refresh tokens: how a person stays signed in, and how a stolen token is noticed.

Each is random, stored only as a hash, and used once: using it gives its successor. All that follow from one sign-in
are a family, which ends for good after `FAMILY_LIFETIME`. A spent token that comes back means that two parties hold it,
so its family is revoked. Answers get lost on the way, though, and two tabs may refresh at once: for `GRACE` after its
use the immediate predecessor gets the same successor again, as long as that has not been used itself.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from uuid import UUID, uuid4

from edge import audit, revocations

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

LIFETIME: Final = timedelta(days=7)
FAMILY_LIFETIME: Final = timedelta(days=90)
"""After this a person signs in again, however busy they were (ASVS 10.4.8)."""
GRACE: Final = timedelta(seconds=5)
"""Enough for a phone to ask again for an answer that it lost; short enough to be of no use to a thief."""

_TOKEN_BYTES: Final = 32


class Use(Enum):
    """What the use of a token means."""

    ROTATE = auto()
    REPEAT = auto()
    """It was used a moment ago: the same successor again."""
    REUSE = auto()
    """It was spent: two parties hold it."""
    VOID = auto()
    """It has expired or was revoked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """A stored token. `successor_used` says whether the token that replaced it has been used or revoked itself."""

    id: UUID
    family: UUID
    expires_at: datetime
    family_expires_at: datetime
    used_at: datetime | None
    replaced_by: UUID | None
    revoked_at: datetime | None
    successor_used: bool


@dataclass(frozen=True, slots=True)
class Issued:
    """A token for its owner. `family` is the sign-in that it belongs to."""

    user_id: UUID
    family: UUID
    token: str


def judge(token: RefreshToken, now: datetime) -> Use:
    """What it means that this token is presented now."""
    if token.revoked_at is not None or token.expires_at <= now:
        return Use.VOID
    if token.used_at is None:
        return Use.ROTATE
    if now - token.used_at <= GRACE and not token.successor_used:
        return Use.REPEAT
    return Use.REUSE


def successor_of(token: str, successor_id: UUID, secret: bytes) -> str:
    """The successor's text, made anew from its predecessor's wherever that is presented.

    So all who present the predecessor within the grace get one token, not a tree of them, and nothing needs to keep
    the text. It takes the predecessor (256 random bits), the id (a row) and the secret (the environment) to make it.
    """
    made = hmac.digest(secret, b"refresh\0" + successor_id.bytes + token.encode(), "sha256")
    return urlsafe_b64encode(made).rstrip(b"=").decode()


def _hash(token: str) -> bytes:
    # Without salt or stretching: there are 256 random bits in it, nothing to guess.
    return hashlib.sha256(token.encode()).digest()


_INSERT = """
INSERT INTO refresh_tokens (id, user_id, family, token_hash, expires_at, family_expires_at)
VALUES ($1, $2, $3, $4, least(clock_timestamp() + $5::interval, $6::timestamptz), $6)
"""
_START = """
INSERT INTO refresh_tokens (id, user_id, family, token_hash, expires_at, family_expires_at)
VALUES ($1, $2, $1, $3, clock_timestamp() + $4::interval, clock_timestamp() + $5::interval)
"""
_FIND = """
SELECT t.id, t.family, t.expires_at, t.family_expires_at, t.used_at, t.replaced_by, t.revoked_at,
    coalesce(s.used_at IS NOT NULL OR s.revoked_at IS NOT NULL, false) AS successor_used
FROM refresh_tokens t LEFT JOIN refresh_tokens s ON s.id = t.replaced_by
WHERE t.token_hash = $1
"""
_REVOKE = """
UPDATE refresh_tokens SET revoked_at = now()
WHERE user_id = $1 AND ($2::uuid IS NULL OR family = $2) AND revoked_at IS NULL RETURNING family
"""
# Of each sign-in that goes on there is one token that was not used yet.
_SIGN_INS = """
SELECT family AS id, family_expires_at - $2::interval AS created_at, issued_at AS last_used_at FROM refresh_tokens
WHERE user_id = $1 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > now() ORDER BY issued_at DESC, family
"""


async def start_family(connection: "Connection", user_id: UUID) -> Issued:
    """The first token of a sign-in. What this person left of sign-ins long expired is cleared away."""
    await connection.execute(
        "DELETE FROM refresh_tokens WHERE user_id = $1 AND expires_at < now() - $2::interval", user_id, LIFETIME
    )
    issued = Issued(user_id, uuid4(), secrets.token_urlsafe(_TOKEN_BYTES))
    await connection.execute(_START, issued.family, user_id, _hash(issued.token), LIFETIME, FAMILY_LIFETIME)
    return issued


async def rotate(connection: "Connection", token: str, secret: bytes) -> Issued | Literal[Use.REUSE, Use.VOID]:
    """The successor of a token, or why there is none; what nobody knows is void.

    Runs in the caller's transaction, which must be committed in either case: a reuse revokes the family, and is to be
    spread (`edge.revocations`).
    """
    user_id = await connection.fetchval("SELECT user_id FROM refresh_tokens WHERE token_hash = $1", _hash(token))
    if user_id is None:
        return Use.VOID
    # One at a time for each person: a rotation may not slip past a revocation that cannot see its new row yet.
    await connection.execute("SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
    row = await connection.fetchrow(_FIND, _hash(token))
    if row is None:  # cleared away a moment ago
        return Use.VOID
    found = RefreshToken(**row)
    match judge(found, await connection.fetchval("SELECT clock_timestamp()")):
        case Use.ROTATE:
            successor_id = uuid4()
            successor = successor_of(token, successor_id, secret)
            await connection.execute(
                "UPDATE refresh_tokens SET used_at = clock_timestamp(), replaced_by = $2 WHERE id = $1",
                found.id,
                successor_id,
            )
            await connection.execute(
                _INSERT, successor_id, user_id, found.family, _hash(successor), LIFETIME, found.family_expires_at
            )
            return Issued(user_id, found.family, successor)
        case Use.REPEAT:
            assert found.replaced_by is not None
            return Issued(user_id, found.family, successor_of(token, found.replaced_by, secret))
        case Use.REUSE:
            await audit.record(
                connection,
                audit.Event.AUTHN_TOKEN_REUSE,
                actor_id=None,
                user_id=str(user_id),
                result=audit.Result.FAILURE,
                sign_in_id=str(found.family),
            )
            await _revoke(connection, user_id, found.family)
            return Use.REUSE
        case Use.VOID:
            return Use.VOID


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in that goes on. Times are aware, in UTC."""

    id: UUID
    created_at: datetime
    last_used_at: datetime


async def sign_ins(connection: "Connection", user_id: UUID) -> list[SignIn]:
    """Those of a person that have not ended, last used first."""
    return [SignIn(**row) for row in await connection.fetch(_SIGN_INS, user_id, FAMILY_LIFETIME)]


# Whatever ends a sign-in ends its access tokens, too, once it is spread (`edge.revocations`). All of these take turns
# with a rotation: it may not slip past a revocation that cannot see its new row yet.


async def revoke(connection: "Connection", token: str) -> None:
    """End the sign-in that this token belongs to; nothing happens where it belongs to none."""
    row = await connection.fetchrow("SELECT user_id, family FROM refresh_tokens WHERE token_hash = $1", _hash(token))
    if row is not None:
        await _revoke(connection, row["user_id"], row["family"])


async def revoke_one(connection: "Connection", user_id: UUID, family: UUID) -> bool:
    """End this sign-in; False where it is none of this person's that goes on."""
    return await _revoke(connection, user_id, family)


async def revoke_all(connection: "Connection", user_id: UUID) -> None:
    """End all sign-ins of this person."""
    await _revoke(connection, user_id, None)


async def _revoke(connection: "Connection", user_id: UUID, family: UUID | None) -> bool:
    await connection.execute("SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id)
    ended = {row["family"] for row in await connection.fetch(_REVOKE, user_id, family)}
    await revocations.revoke(connection, user_id, ended)
    if ended:
        await audit.record(
            connection,
            audit.Event.AUTHN_TOKEN_REVOKED,
            actor_id=None,
            user_id=str(user_id),
            sign_in_id=None if family is None else str(family),
            sign_ins=len(ended),
        )
    return bool(ended)

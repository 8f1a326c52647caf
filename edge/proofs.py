"""Links in mails, which prove who reads a mailbox: signed, used once, good for a while.

The signature turns away what was made up before any row is looked for; the row makes a link work once. Neither does
without the other: the secret is in no database, and a row that was used is gone.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID, uuid4

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]


class Purpose(StrEnum):
    """What a link is for; it works for nothing else."""

    RESET = "reset"
    VERIFY = "verify"


LIFETIME: Final = {Purpose.RESET: timedelta(hours=1), Purpose.VERIFY: timedelta(days=2)}
MOST_IN_AN_HOUR: Final = 5
"""Links of one purpose for one person: nobody fills a stranger's mailbox with them."""

_ID_BYTES: Final = 16

_MAKE: Final = """
INSERT INTO mail_proofs (id, purpose, user_id, email, expires_at)
SELECT $1, $2, $3, $4, now() + $5::interval WHERE $6 > (
    SELECT count(*) FROM mail_proofs WHERE user_id = $3 AND purpose = $2 AND created_at > now() - interval '1 hour'
) RETURNING true
"""
_REDEEM: Final = """
DELETE FROM mail_proofs WHERE id = $1 AND purpose = $2 AND expires_at > now() RETURNING user_id::text, email
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """Whoever shows it reads the mailbox `email`, which was this person's when the link was made."""

    user_id: str
    email: str


def sign(id: UUID, purpose: Purpose, secret: bytes) -> str:
    """The token of a link."""
    return urlsafe_b64encode(id.bytes + _signature(id, purpose, secret)).rstrip(b"=").decode()


def read(token: str, purpose: Purpose, secret: bytes) -> UUID | None:
    """The id in a token that was signed for this purpose; None for any other text."""
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        id = UUID(bytes=raw[:_ID_BYTES])
    except ValueError:
        return None
    return id if hmac.compare_digest(raw[_ID_BYTES:], _signature(id, purpose, secret)) else None


def _signature(id: UUID, purpose: Purpose, secret: bytes) -> bytes:
    return hmac.digest(secret, b"mail\0" + purpose.encode() + b"\0" + id.bytes, "sha256")


async def make(connection: "Connection", purpose: Purpose, user_id: str, email: str, secret: bytes) -> str | None:
    """The token of a new link; None where this person was sent enough of them."""
    await connection.execute("DELETE FROM mail_proofs WHERE user_id = $1 AND expires_at < now()", user_id)
    id = uuid4()
    made = await connection.fetchval(_MAKE, id, purpose, user_id, email, LIFETIME[purpose], MOST_IN_AN_HOUR)
    return sign(id, purpose, secret) if made else None


async def redeem(connection: "Connection", purpose: Purpose, token: str, secret: bytes) -> Proof | None:
    """What a token proves, this once; None where it proves nothing (any longer)."""
    id = read(token, purpose, secret)
    row = None if id is None else await connection.fetchrow(_REDEEM, id, purpose)
    return None if row is None else Proof(**row)

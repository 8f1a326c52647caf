"""Ways to a provider that somebody has begun: each belongs to one browser and one provider, once, for ten minutes."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from edge.oauth.flow import Trip

if TYPE_CHECKING:
    import asyncpg

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

LIFETIME: Final = timedelta(minutes=10)
_BYTES: Final = 32

_BEGIN: Final = """
INSERT INTO oauth_states (state_hash, provider, browser_hash, nonce, verifier, next, user_id, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8::interval)
"""
_END: Final = """
DELETE FROM oauth_states WHERE state_hash = $1
RETURNING provider, browser_hash, nonce, verifier, next, user_id::text, expires_at > now() AS alive
"""


@dataclass(frozen=True, slots=True)
class Begun:
    """A way that came back to where it began. `user_id`: who adds an identity; None where somebody signs in."""

    trip: Trip
    next: str
    user_id: str | None


def new_browser() -> str:
    """What a browser is told apart by, in a cookie."""
    return secrets.token_urlsafe(_BYTES)


async def begin(
    connection: "Connection", provider: str, browser: str, callback: str, next: str, user_id: str | None
) -> Trip:
    """Begin a way; those that nobody came back from in time are cleared away."""
    await connection.execute("DELETE FROM oauth_states WHERE expires_at < now()")
    trip = Trip(
        state=secrets.token_urlsafe(_BYTES),
        nonce=secrets.token_urlsafe(_BYTES),
        verifier=secrets.token_urlsafe(_BYTES),
        callback=callback,
    )
    await connection.execute(
        _BEGIN, _hash(trip.state), provider, _hash(browser), trip.nonce, trip.verifier, next, user_id, LIFETIME
    )
    return trip


async def end(connection: "Connection", provider: str, browser: str, state: str, callback: str) -> Begun | None:
    """The way that this state belongs to, which ends here whatever comes of it.

    None where there is none, it is over, it is another provider's, or another browser began it: the last two are what
    an attacker needs, to have a code of theirs used in somebody else's browser, or at another provider.
    """
    row = await connection.fetchrow(_END, _hash(state))
    if row is None or not row["alive"] or row["provider"] != provider or row["browser_hash"] != _hash(browser):
        return None
    trip = Trip(state=state, nonce=row["nonce"], verifier=row["verifier"], callback=callback)
    return Begun(trip, row["next"], row["user_id"])


def _hash(text: str) -> bytes:
    # 256 random bits: nothing that could be guessed needs a slow hash.
    return hashlib.sha256(text.encode(errors="replace")).digest()

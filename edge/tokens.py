"""Access tokens: who is calling, known from a key and a clock alone (RFC 7519, RFC 8725).

What is said here takes no look-up. Whether the sign-in that a token came from (`sid`) has ended meanwhile is for
`edge.revocations` to say. `typ` keeps other tokens signed with the same key (an agent's, a ticket) from being used as
access tokens.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt

from edge.errors import Refused
from infra.settings import BadSetting, refuse_weak
from schemas.frames import ErrorCode
from schemas.ids import canonical, new_id

ISSUER: Final = "chorus"
AUDIENCE: Final = "chorus-api"
ACCESS: Final = "access"
ACCESS_LIFETIME: Final = timedelta(hours=1)
LEEWAY: Final = timedelta(seconds=10)
"""How far two machines' clocks may differ."""

_ALGORITHM: Final = "HS256"
_SHORTEST_SECRET_BYTES: Final = 32
_LONGEST_TOKEN: Final = 4096
"""Ours take about 400 characters; nobody makes us decode a megabyte."""
_REQUIRED: Final = ["iss", "aud", "sub", "jti", "iat", "exp", "typ"]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class TokenSettings:
    """The signing keys. Tokens are minted with the first and accepted under either, so a key changes without signing
    anyone out: move the old one to `previous` for an hour."""

    kid: str
    secret: bytes = field(repr=False)
    previous_kid: str | None = None
    previous_secret: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, secret in self._secrets():
            if len(secret) < _SHORTEST_SECRET_BYTES:
                raise BadSetting(
                    f"{name} has {len(secret)} bytes, fewer than {_SHORTEST_SECRET_BYTES} (openssl rand -base64 48)"
                )
        if (self.previous_kid is None) != (self.previous_secret is None):
            raise BadSetting("give CHORUS_JWT_PREVIOUS_SECRET and CHORUS_JWT_PREVIOUS_KID together")
        if self.previous_kid == self.kid:
            raise BadSetting("CHORUS_JWT_PREVIOUS_KID and CHORUS_JWT_KID are the same: a new key has a new id")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "TokenSettings":
        """Read `CHORUS_JWT_*`.

        Raises:
            BadSetting: a secret is missing or could be guessed, or two keys cannot be told apart.
        """
        previous = env.get("CHORUS_JWT_PREVIOUS_SECRET")
        made = cls(
            kid=env.get("CHORUS_JWT_KID") or "1",
            secret=env.get("CHORUS_JWT_SECRET", "").encode(),
            previous_kid=env.get("CHORUS_JWT_PREVIOUS_KID") or None,
            previous_secret=previous.encode() if previous else None,
        )
        for name, secret in made._secrets():
            refuse_weak(env, name, secret, "openssl rand -base64 48")
        return made

    def _secrets(self) -> list[tuple[str, bytes]]:
        named = (("CHORUS_JWT_SECRET", self.secret), ("CHORUS_JWT_PREVIOUS_SECRET", self.previous_secret))
        return [(name, secret) for name, secret in named if secret is not None]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a verified access token speaks for. `expires_at` is aware, in UTC.

    Attributes:
        sign_in_id: the sign-in that the token came from, and ends with.
    """

    user_id: str
    sign_in_id: str
    token_id: str
    expires_at: datetime


class Tokens:
    """Mints and verifies access tokens. `now` gives the time, aware; tests pass their own."""

    def __init__(self, settings: TokenSettings, now: Callable[[], datetime] = _now) -> None:
        self._kid = settings.kid
        self._keys = {settings.kid: settings.secret}
        if settings.previous_kid is not None and settings.previous_secret is not None:
            self._keys[settings.previous_kid] = settings.previous_secret
        self._now = now

    def mint(self, user_id: str, sign_in_id: str) -> str:
        """An access token for this person and sign-in, good for `ACCESS_LIFETIME`."""
        now = self._now()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "sid": sign_in_id,
            "jti": new_id(),
            "iat": int(now.timestamp()),
            "exp": int((now + ACCESS_LIFETIME).timestamp()),
            "typ": ACCESS,
        }
        return jwt.encode(claims, self._keys[self._kid], algorithm=_ALGORITHM, headers={"kid": self._kid})

    def verify(self, token: str) -> Principal:
        """Who the token speaks for. Takes no I/O.

        Raises:
            Refused: `token_expired` where nothing but its age is wrong, else `unauthenticated`; which of the other
                checks failed is not told.
        """
        if len(token) > _LONGEST_TOKEN:
            raise Refused(ErrorCode.UNAUTHENTICATED)
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                raise Refused(ErrorCode.UNAUTHENTICATED)
            # The clock is ours to pass in, so `exp` and `iat` are judged below.
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "strict_aud": True},
            )
            if claims["typ"] != ACCESS:
                raise Refused(ErrorCode.UNAUTHENTICATED)
            user_id, token_id = canonical(claims["sub"]), canonical(claims["jti"])
            # Minted by the version before: a refresh gives one that can be revoked.
            sign_in_id = canonical(str(claims["sid"])) if "sid" in claims else None
            issued_at, expires_at = _moment(claims["iat"]), _moment(claims["exp"])
        except (jwt.PyJWTError, ValueError, OverflowError, TypeError) as error:
            raise Refused(ErrorCode.UNAUTHENTICATED) from error
        now = self._now()
        if issued_at > now + LEEWAY:
            raise Refused(ErrorCode.UNAUTHENTICATED)
        if expires_at <= now - LEEWAY or sign_in_id is None:
            raise Refused(ErrorCode.TOKEN_EXPIRED)
        return Principal(user_id, sign_in_id, token_id, expires_at)


def _moment(numeric_date: object) -> datetime:
    """A NumericDate of RFC 7519: seconds since 1970. (`bool` is an int, too: turned away.)"""
    if isinstance(numeric_date, bool) or not isinstance(numeric_date, int | float):
        raise TypeError("a NumericDate is a number")
    return datetime.fromtimestamp(numeric_date, UTC)

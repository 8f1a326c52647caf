"""What signing in through a provider has in common: pure rules, and what each provider has to offer (RFC 9700)."""

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

LONGEST_NEXT: Final = 512
_NOT_IN_A_PATH: Final = re.compile(r"[\x00-\x20\\\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a provider says that somebody is.

    Attributes:
        subject: the provider's own id of them, which never changes and is the only thing that they are known by.
        email: where the provider tells one.
        email_verified: whether the provider says that this mailbox is theirs.
    """

    provider: str
    subject: str
    email: str | None
    email_verified: bool
    name: str


@dataclass(frozen=True, slots=True)
class Trip:
    """One way to a provider and back. `nonce` comes back in an id token, `verifier` goes with the code (PKCE)."""

    state: str
    nonce: str
    verifier: str
    callback: str


class ProviderFailed(Exception):
    """A provider did not say who somebody is. `reason` is for the log and holds no code, token or name.

    Attributes:
        away: it could not be reached, or is at fault itself; later it may work.
    """

    def __init__(self, reason: str, *, away: bool = False) -> None:
        self.reason = reason
        self.away = away
        super().__init__(reason)


class Provider(Protocol):
    name: str
    issuer: str | None
    """What `iss` of its callbacks says, where it sends one (RFC 9207)."""

    async def address(self, trip: Trip) -> str:
        """Where the browser goes. Raises `ProviderFailed`."""

    async def identity(self, code: str, trip: Trip) -> Identity:
        """Who came back with this code. Raises `ProviderFailed`."""


def is_safe_next(text: str) -> bool:
    """Whether a browser that is sent there stays with us, however it reads it: a path from the root and no more.

    `//host` and `/\\host` name a host, control characters are dropped by browsers before they look, and a path that
    holds `//` further on may become one when a page cuts it.
    """
    if len(text) > LONGEST_NEXT or not text.startswith("/") or _NOT_IN_A_PATH.search(text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc and "//" not in parts.path


def challenge(verifier: str) -> str:
    """PKCE's S256 (RFC 7636, 4.2)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def hex_challenge(verifier: str) -> str:
    """What TikTok calls S256: the digest in hexadecimal."""
    return hashlib.sha256(verifier.encode()).hexdigest()

"""Google, by OpenID Connect: the id token says who it is, and is checked as OpenID Connect Core 3.1.3.7 asks."""

import hmac
import time
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import jwt
import msgspec

from edge.oauth.asking import ask
from edge.oauth.flow import Identity, ProviderFailed, Trip, challenge

NAME: Final = "google"
_LEEWAY_S: Final = 30
_DISCOVERY_S: Final = 3600.0


class _Discovered(msgspec.Struct):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class _Tokens(msgspec.Struct):
    id_token: str | None = None
    error: str | None = None


class _Claims(msgspec.Struct):
    sub: str
    nonce: str = ""
    email: str | None = None
    email_verified: bool | str = False
    """Some libraries of theirs write it as text."""
    name: str = ""


class Google:
    """`issuer` is where its discovery document lies; `http` asks."""

    name = NAME

    def __init__(self, http: aiohttp.ClientSession, issuer: str, client_id: str, client_secret: str) -> None:
        self.issuer: str | None = issuer
        self._http = http
        self._base = issuer
        self._client_id, self._client_secret = client_id, client_secret
        self._discovered: tuple[float, _Discovered] | None = None
        self._keys: dict[str, Any] = {}

    async def address(self, trip: Trip) -> str:
        query = {
            "client_id": self._client_id,
            "redirect_uri": trip.callback,
            "response_type": "code",
            "scope": "openid email profile",
            "state": trip.state,
            "nonce": trip.nonce,
            "code_challenge": challenge(trip.verifier),
            "code_challenge_method": "S256",
            "prompt": "select_account",
        }
        return f"{(await self._discover()).authorization_endpoint}?{urlencode(query)}"

    async def identity(self, code: str, trip: Trip) -> Identity:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "redirect_uri": trip.callback,
            "code_verifier": trip.verifier,
        }
        answer = await ask(self._http, "POST", (await self._discover()).token_endpoint, _Tokens, form=form)
        if answer.id_token is None:
            raise ProviderFailed(f"token endpoint: {_word(answer.error)}")
        claims = await self._checked(answer.id_token)
        if not hmac.compare_digest(claims.nonce.encode(), trip.nonce.encode()):
            raise ProviderFailed("id token: another nonce")
        return Identity(
            provider=NAME,
            subject=claims.sub,
            email=claims.email,
            email_verified=claims.email_verified in (True, "true"),
            name=claims.name,
        )

    async def _checked(self, id_token: str) -> _Claims:
        try:
            kid = str(jwt.get_unverified_header(id_token).get("kid"))
            if kid not in self._keys:
                await self._fetch_keys()
            if kid not in self._keys:
                raise ProviderFailed("id token: unknown key")
            claims = jwt.decode(
                id_token,
                self._keys[kid],
                algorithms=["RS256"],
                # Google writes its issuer with and without the scheme.
                issuer=[self._base, self._base.removeprefix("https://")],
                audience=self._client_id,
                leeway=_LEEWAY_S,
                options={"require": ["iss", "aud", "exp", "iat", "sub"], "strict_aud": True},
            )
            return msgspec.convert(claims, _Claims)
        except jwt.PyJWTError as error:
            raise ProviderFailed(f"id token: {type(error).__name__}") from None
        except msgspec.ValidationError:
            raise ProviderFailed("id token: claims of another shape") from None

    async def _discover(self) -> _Discovered:
        if self._discovered is None or time.monotonic() - self._discovered[0] > _DISCOVERY_S:
            found = await ask(self._http, "GET", f"{self._base}/.well-known/openid-configuration", _Discovered)
            if found.issuer != self._base:
                raise ProviderFailed("discovery: another issuer")
            self._discovered = time.monotonic(), found
        return self._discovered[1]

    async def _fetch_keys(self) -> None:
        """Keys change every few days; one that is not known yet is a reason to look."""
        answer = await ask(self._http, "GET", (await self._discover()).jwks_uri, dict[str, Any])
        try:
            found = jwt.PyJWKSet.from_dict(answer).keys
        except jwt.PyJWTError as error:
            raise ProviderFailed(f"keys: {type(error).__name__}", away=True) from None
        self._keys = {str(key.key_id): key.key for key in found if key.key_type == "RSA"}


def _word(text: str | None) -> str:
    """An error code of theirs, for our log; nothing else that they may say."""
    return text if text is not None and len(text) <= 40 and text.replace("_", "").isalnum() else "unclear"

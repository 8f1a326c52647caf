"""Facebook: OAuth with no id token, so the Graph is asked who it is. It never says whether an e-mail is verified."""

import hashlib
import hmac
from base64 import urlsafe_b64decode
from typing import Final
from urllib.parse import urlencode

import aiohttp
import msgspec

from edge.oauth.asking import ask
from edge.oauth.flow import Identity, ProviderFailed, Trip, challenge

NAME: Final = "facebook"


class _Error(msgspec.Struct):
    code: int = 0
    type: str = ""


class _Token(msgspec.Struct):
    access_token: str | None = None
    error: _Error | None = None


class _Me(msgspec.Struct):
    id: str = ""
    name: str = ""
    email: str | None = None
    error: _Error | None = None


class _SignedRequest(msgspec.Struct):
    algorithm: str
    user_id: str


class Facebook:
    """`site` is where people are asked, `graph` where we ask; both with the API's version."""

    name = NAME
    issuer: str | None = None

    def __init__(self, http: aiohttp.ClientSession, site: str, graph: str, client_id: str, client_secret: str) -> None:
        self._http = http
        self._site, self._graph = site, graph
        self._client_id, self._client_secret = client_id, client_secret

    async def address(self, trip: Trip) -> str:
        query = {
            "client_id": self._client_id,
            "redirect_uri": trip.callback,
            "response_type": "code",
            "scope": "public_profile,email",
            "state": trip.state,
            "code_challenge": challenge(trip.verifier),
            "code_challenge_method": "S256",
        }
        return f"{self._site}/dialog/oauth?{urlencode(query)}"

    async def identity(self, code: str, trip: Trip) -> Identity:
        form = {
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "redirect_uri": trip.callback,
            "code": code,
            "code_verifier": trip.verifier,
        }
        token = await ask(self._http, "POST", f"{self._graph}/oauth/access_token", _Token, form=form)
        if token.access_token is None:
            raise ProviderFailed(_what("token endpoint", token.error))
        # Proves that the token is used by the app that it was given to, not by somebody who found it.
        proof = hmac.digest(self._client_secret.encode(), token.access_token.encode(), "sha256").hex()
        params = {"fields": "id,name,email", "appsecret_proof": proof}
        me = await ask(self._http, "GET", f"{self._graph}/me", _Me, params=params, bearer=token.access_token)
        if not me.id:
            raise ProviderFailed(_what("me", me.error))
        return Identity(provider=NAME, subject=me.id, email=me.email, email_verified=False, name=me.name)

    def asked_to_forget(self, signed_request: str) -> str | None:
        """The subject whom Facebook asks us to forget; None where it was not Facebook that asked."""
        signature, _, payload = signed_request.partition(".")
        try:
            given = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
            request = msgspec.json.decode(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_SignedRequest)
        except (ValueError, msgspec.DecodeError):
            return None
        made = hmac.digest(self._client_secret.encode(), payload.encode(), hashlib.sha256)
        is_theirs = hmac.compare_digest(given, made) and request.algorithm.upper() == "HMAC-SHA256"
        return request.user_id if is_theirs else None


def _what(where: str, error: _Error | None) -> str:
    return f"{where}: {'unclear' if error is None else f'error {error.code}'}"

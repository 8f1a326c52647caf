"""TikTok: OAuth with words of its own. It tells neither an e-mail address nor an id token."""

from typing import Final
from urllib.parse import urlencode

import aiohttp
import msgspec

from edge.oauth.asking import ask
from edge.oauth.flow import Identity, ProviderFailed, Trip, hex_challenge

NAME: Final = "tiktok"


class _Token(msgspec.Struct):
    access_token: str | None = None
    open_id: str | None = None
    error: str | None = None


class _User(msgspec.Struct):
    open_id: str = ""
    display_name: str = ""


class _Data(msgspec.Struct):
    user: _User | None = None


class _Error(msgspec.Struct):
    code: str = ""


class _Info(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)
    error: _Error = msgspec.field(default_factory=_Error)


class TikTok:
    """`site` is where people are asked, `api` where we ask. `pkce`: documented for apps, and refused for some web
    clients; its challenge is hexadecimal."""

    name = NAME
    issuer: str | None = None

    def __init__(
        self, http: aiohttp.ClientSession, site: str, api: str, client_key: str, client_secret: str, *, pkce: bool
    ) -> None:
        self._http = http
        self._site, self._api = site, api
        self._client_key, self._client_secret = client_key, client_secret
        self._pkce = pkce

    async def address(self, trip: Trip) -> str:
        query = {
            "client_key": self._client_key,
            "redirect_uri": trip.callback,
            "response_type": "code",
            "scope": "user.info.basic",
            "state": trip.state,
        }
        if self._pkce:
            query |= {"code_challenge": hex_challenge(trip.verifier), "code_challenge_method": "S256"}
        return f"{self._site}/v2/auth/authorize/?{urlencode(query)}"

    async def identity(self, code: str, trip: Trip) -> Identity:
        form = {
            "client_key": self._client_key,
            "client_secret": self._client_secret,
            "code": code,
            "grant_type": "authorization_code",
            "redirect_uri": trip.callback,
        }
        if self._pkce:
            form["code_verifier"] = trip.verifier
        token = await ask(self._http, "POST", f"{self._api}/v2/oauth/token/", _Token, form=form)
        if token.access_token is None or not token.open_id:
            raise ProviderFailed(f"token endpoint: {_word(token.error)}")
        info = await ask(
            self._http,
            "GET",
            f"{self._api}/v2/user/info/",
            _Info,
            params={"fields": "open_id,display_name"},
            bearer=token.access_token,
        )
        # Errors come with status 200, too.
        if info.error.code != "ok" or info.data.user is None:
            raise ProviderFailed(f"user info: {_word(info.error.code)}")
        if info.data.user.open_id != token.open_id:
            raise ProviderFailed("user info: of somebody else")
        return Identity(
            provider=NAME,
            subject=token.open_id,
            email=None,
            email_verified=False,
            name=info.data.user.display_name,
        )


def _word(text: str | None) -> str:
    """An error code of theirs, for our log; nothing else that they may say."""
    return text if text and len(text) <= 40 and text.replace("_", "").isalnum() else "unclear"

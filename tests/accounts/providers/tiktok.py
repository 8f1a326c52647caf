"""TikTok's Login Kit as a server meets it: `client_key`, commas between scopes, forms, errors with status 200.

https://developers.tiktok.com/doc/oauth-user-access-token-management
"""

import hashlib
import secrets
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from tests.accounts.providers.serving import Account, Codes

CLIENT_KEY = "awtestclientkey00"
CLIENT_SECRET = "tiktok-test-secret"
_KNOWN_SCOPES = {"user.info.basic", "user.info.profile", "user.info.stats", "video.list"}


@dataclass
class TikTok:
    """`account` is who is signed in there; None where they say no. `web_pkce`: whether this client may use PKCE."""

    url: str
    redirect_uri: str
    account: Account | None = None
    web_pkce: bool = False
    impostor: str | None = None
    """An `open_id` that user info tells in place of the token's."""
    down: bool = False

    def __post_init__(self) -> None:
        self.codes = Codes()
        self._tokens: dict[str, Account] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/v2/auth/authorize/", self._authorize),
                web.post("/v2/oauth/token/", self._token),
                web.get("/v2/user/info/", self._info),
            ]
        )
        return app

    async def _authorize(self, request: web.Request) -> web.Response:
        q = request.query
        if q.get("client_key") != CLIENT_KEY or "client_id" in q:
            return web.Response(status=400, text="client_key")
        if q.get("redirect_uri") != self.redirect_uri:
            return web.Response(status=400, text="redirect_uri")
        scopes = frozenset(q.get("scope", "").split(","))
        if not scopes <= _KNOWN_SCOPES or q.get("response_type") != "code" or not q.get("state"):
            return web.Response(status=400, text="scope")
        if "code_challenge" in q and not self.web_pkce:
            return web.Response(status=400, text="code_challenge")
        if self.account is None:
            answer = {
                "error": "access_denied",
                "error_description": "User cancelled",
                "state": q["state"],
                "scopes": "",
            }
        else:
            # A code has characters that must be decoded once, and sent as they then are.
            code = self.codes.give(self.account, self.redirect_uri, scopes, q) + "*1!5555.va"
            answer = {"code": code, "scopes": ",".join(sorted(scopes)), "state": q["state"]}
        raise web.HTTPFound(f"{self.redirect_uri}?{urlencode(answer)}")

    async def _token(self, request: web.Request) -> web.Response:
        if self.down:
            return web.Response(status=502, text="<html>Bad Gateway</html>")
        if request.content_type != "application/x-www-form-urlencoded":
            return _refused("invalid_request", "Only `application/x-www-form-urlencoded` is supported.")
        form = await request.post()
        if form.get("client_key") != CLIENT_KEY or form.get("client_secret") != CLIENT_SECRET:
            return _refused("invalid_client", "Client key or secret is incorrect.")
        if form.get("grant_type") != "authorization_code":
            return _refused("unsupported_grant_type", "Grant type is not supported.")
        code, mark, _ = str(form.get("code")).rpartition("*")
        grant = self.codes.take(code) if mark else None
        if grant is None:
            return _refused("invalid_grant", "Authorization code is expired.")
        if form.get("redirect_uri") != grant.redirect_uri:
            return _refused("invalid_request", "Redirect_uri is not matched with the uri when requesting code.")
        if grant.challenge is not None:
            verifier = str(form.get("code_verifier", "")).encode()
            if hashlib.sha256(verifier).hexdigest() != grant.challenge:
                return _refused("invalid_request", "Code verifier or code challenge is invalid.")
        elif "code_verifier" in form:
            return _refused("invalid_request", "Code verifier or code challenge is invalid.")
        token = f"act.{secrets.token_urlsafe(32)}"
        self._tokens[token] = grant.account
        return web.json_response(
            {
                "access_token": token,
                "expires_in": 86400,
                "open_id": grant.account.subject,
                "refresh_expires_in": 31536000,
                "refresh_token": f"rft.{secrets.token_urlsafe(32)}",
                "scope": ",".join(sorted(grant.scopes)),
                "token_type": "Bearer",
            }
        )

    async def _info(self, request: web.Request) -> web.Response:
        account = self._tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if account is None:
            return _info_error(401, "access_token_invalid", "The access token is invalid or not found in the request.")
        fields = set(filter(None, request.query.get("fields", "").split(",")))
        if not fields:
            return _info_error(400, "invalid_params", "The `fields` query parameter is missing.")
        if unknown := fields - {"open_id", "union_id", "avatar_url", "display_name"}:
            return _info_error(401, "scope_not_authorized", f"The user did not authorize {sorted(unknown)}.")
        user = {
            "open_id": self.impostor or account.subject,
            "union_id": f"union-{account.subject}",
            "avatar_url": "https://p16.tiktokcdn.com/x.webp",
            "display_name": account.name,
        }
        return web.json_response(
            {
                "data": {"user": {name: value for name, value in user.items() if name in fields}},
                "error": {"code": "ok", "message": "", "log_id": secrets.token_hex(16)},
            }
        )


def _refused(error: str, description: str) -> web.Response:
    """With status 200: only the body says so."""
    return web.json_response({"error": error, "error_description": description, "log_id": secrets.token_hex(16)})


def _info_error(status: int, code: str, message: str) -> web.Response:
    return web.json_response(
        {"data": {}, "error": {"code": code, "message": message, "log_id": secrets.token_hex(16)}}, status=status
    )

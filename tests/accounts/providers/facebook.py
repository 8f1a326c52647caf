"""Facebook's Login and Graph as a server meets them: its own shape of errors, codes once, `appsecret_proof` required.

https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from tests.accounts.providers.serving import Account, Codes

APP_ID = "314159265358979"
APP_SECRET = "0123456789abcdef0123456789abcdef"


@dataclass
class Facebook:
    """`account` is who is signed in there; None where they say no. `subject` is scoped to the app."""

    url: str
    redirect_uri: str
    account: Account | None = None
    down: bool = False

    def __post_init__(self) -> None:
        self.codes = Codes()
        self._tokens: dict[str, Account] = {}

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/v23.0/dialog/oauth", self._dialog),
                web.get("/v23.0/oauth/access_token", self._token),
                web.post("/v23.0/oauth/access_token", self._token),
                web.get("/v23.0/me", self._me),
            ]
        )
        return app

    async def _dialog(self, request: web.Request) -> web.Response:
        q = request.query
        if q.get("client_id") != APP_ID:
            return web.Response(status=400, text="Invalid App ID")
        if q.get("redirect_uri") != self.redirect_uri:
            return web.Response(status=400, text="URL Blocked: This redirect failed because it is not white-listed")
        if self.account is None:
            answer = {
                "error": "access_denied",
                "error_code": "200",
                "error_description": "Permissions error",
                "error_reason": "user_denied",
                "state": q.get("state", ""),
            }
        else:
            scopes = frozenset(q.get("scope", "").split(","))
            code = self.codes.give(self.account, self.redirect_uri, scopes, q, "AQ")
            answer = {"code": code, "state": q.get("state", "")}
        raise web.HTTPFound(f"{self.redirect_uri}?{urlencode(answer)}#_=_")

    async def _token(self, request: web.Request) -> web.Response:
        if self.down:
            return _refused(500, 2, "OAuthException", "An unexpected error has occurred. Please retry later.")
        form = request.query if request.method == "GET" else await request.post()
        if form.get("client_id") != APP_ID:
            return _refused(400, 101, "OAuthException", "Error validating application.")
        if form.get("client_secret") != APP_SECRET:
            return _refused(400, 1, "OAuthException", "Error validating client secret.")
        grant = self.codes.take(str(form.get("code")))
        if grant is None:
            return _refused(400, 100, "OAuthException", "This authorization code has been used.")
        if form.get("redirect_uri") != grant.redirect_uri:
            return _refused(
                400,
                100,
                "OAuthException",
                "Error validating verification code. Please make sure your redirect_uri is identical.",
            )
        verifier = str(form.get("code_verifier", "")).encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        if grant.challenge is not None and digest != grant.challenge:
            return _refused(400, 100, "OAuthException", "Code verifier is not valid.")
        token = f"EAA{secrets.token_hex(24)}"
        account = grant.account
        # Who withholds the permission has no e-mail address in `me`.
        self._tokens[token] = account if "email" in grant.scopes else Account(account.subject, account.name)
        return web.json_response({"access_token": token, "token_type": "bearer", "expires_in": 5183944})

    async def _me(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query.get(
            "access_token", ""
        )
        account = self._tokens.get(token)
        if account is None:
            return _refused(400, 190, "OAuthException", "Invalid OAuth access token.")
        proof = hmac.new(APP_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()
        if request.query.get("appsecret_proof") != proof:
            return _refused(400, 100, "GraphMethodException", "API calls from the server require an appsecret_proof.")
        person = {"id": account.subject, "name": account.name, "email": account.email}
        wanted = {"id", *request.query.get("fields", "id,name").split(",")}
        return web.json_response({k: v for k, v in person.items() if k in wanted and v is not None})


def signed_request(subject: str, secret: str = APP_SECRET, algorithm: str = "HMAC-SHA256") -> str:
    """What Facebook posts when somebody asks that they be forgotten."""
    body = {"algorithm": algorithm, "expires": 0, "issued_at": int(time.time()), "user_id": subject}
    payload = base64.urlsafe_b64encode(json.dumps(body).encode()).rstrip(b"=")
    signature = hmac.new(secret.encode(), payload, hashlib.sha256).digest()
    return f"{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}.{payload.decode()}"


def _refused(status: int, code: int, type: str, message: str) -> web.Response:
    error = {"message": message, "type": type, "code": code, "fbtrace_id": secrets.token_urlsafe(8)}
    return web.json_response({"error": error}, status=status)

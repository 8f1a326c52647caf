"""Google as OpenID Connect clients meet it: discovery, keys that rotate, strict about client, callback and PKCE.

https://developers.google.com/identity/openid-connect/openid-connect
"""

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.accounts.providers.serving import Account, Codes

CLIENT_ID = "1234567890-abc.apps.googleusercontent.com"
CLIENT_SECRET = "GOCSPX-test-secret"


@dataclass
class Google:
    """`account` is who is signed in there; None where they say no. `claims` go over those of the id token.

    `signed_with` makes the id token anew with another key or algorithm, as attackers would.
    """

    url: str
    redirect_uri: str
    account: Account | None = None
    claims: dict[str, Any] = field(default_factory=dict)
    forged: Any = None
    down: bool = False

    def __post_init__(self) -> None:
        self.codes = Codes()
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key, and forget the old one."""
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = f"key-{time.monotonic_ns()}"

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._discovery),
                web.get("/o/oauth2/v2/auth", self._authorize),
                web.post("/token", self._token),
                web.get("/oauth2/v3/certs", self._certs),
            ]
        )
        return app

    async def _discovery(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/o/oauth2/v2/auth",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/oauth2/v3/certs",
                "userinfo_endpoint": f"{self.url}/v1/userinfo",
                "response_types_supported": ["code", "token", "id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["plain", "S256"],
            }
        )

    async def _certs(self, _request: web.Request) -> web.Response:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return web.json_response({"keys": [key | {"kid": self.kid, "alg": "RS256", "use": "sig"}]})

    async def _authorize(self, request: web.Request) -> web.Response:
        q = request.query
        # What is wrong with the client is shown to the person, and goes nowhere else.
        if q.get("client_id") != CLIENT_ID:
            return web.Response(status=401, text="Error 401: invalid_client")
        if q.get("redirect_uri") != self.redirect_uri:
            return web.Response(status=400, text="Error 400: redirect_uri_mismatch")
        scopes = frozenset(q.get("scope", "").split())
        if q.get("response_type") != "code" or "openid" not in scopes:
            return web.Response(status=400, text="Error 400: invalid_request")
        if "code_challenge" in q and q.get("code_challenge_method") != "S256":
            return web.Response(status=400, text="Error 400: invalid_request")
        if self.account is None:
            answer = {"error": "access_denied", "state": q.get("state", "")}
        else:
            code = self.codes.give(self.account, self.redirect_uri, scopes, q, "4/0A")
            answer = {
                "state": q.get("state", ""),
                "iss": self.url,
                "code": code,
                "scope": " ".join(sorted(scopes)),
                "authuser": "0",
                "prompt": "consent",
            }
        raise web.HTTPFound(f"{self.redirect_uri}?{urlencode(answer)}")

    async def _token(self, request: web.Request) -> web.Response:
        if self.down:
            return web.json_response({"error": "backend_error"}, status=503)
        form = await request.post()
        if form.get("client_id") != CLIENT_ID or form.get("client_secret") != CLIENT_SECRET:
            return _refused(401, "invalid_client", "The OAuth client was not found.")
        if form.get("grant_type") != "authorization_code":
            return _refused(400, "unsupported_grant_type", "Invalid grant_type")
        grant = self.codes.take(str(form.get("code")))
        if grant is None:
            return _refused(400, "invalid_grant", "Malformed auth code.")
        if form.get("redirect_uri") != grant.redirect_uri:
            return _refused(400, "redirect_uri_mismatch", "Bad Request")
        verifier = str(form.get("code_verifier", "")).encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest()).rstrip(b"=").decode()
        if grant.challenge is not None and digest != grant.challenge:
            return _refused(400, "invalid_grant", "Missing code verifier.")
        now, account = int(time.time()), grant.account
        claims = {
            "iss": self.url,
            "azp": CLIENT_ID,
            "aud": CLIENT_ID,
            "sub": account.subject,
            "iat": now,
            "exp": now + 3600,
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        if "email" in grant.scopes and account.email is not None:
            claims |= {"email": account.email, "email_verified": account.email_verified}
        if "profile" in grant.scopes:
            claims |= {"name": account.name, "picture": "https://lh3.googleusercontent.com/a/x"}
        claims |= self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        sign = self.forged or (lambda c: jwt.encode(c, self.key, algorithm="RS256", headers={"kid": self.kid}))
        return web.json_response(
            {
                "access_token": "ya29.secret-access-token",
                "expires_in": 3599,
                "scope": " ".join(sorted(grant.scopes)),
                "token_type": "Bearer",
                "id_token": sign(claims),
            }
        )


def _refused(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)

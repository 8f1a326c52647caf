"""What the providers of tests have in common: an address, people who sign in, and codes that work once."""

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

CODE_LIFETIME_S = 60.0


@dataclass
class Account:
    """Somebody who has an account at a provider, and is signed in there."""

    subject: str
    name: str = "Ada Lovelace"
    email: str | None = None
    email_verified: bool = True


@dataclass(frozen=True)
class Grant:
    """What a code stands for: who agreed, for which client, callback and challenge."""

    account: Account
    redirect_uri: str
    challenge: str | None
    nonce: str | None
    scopes: frozenset[str]
    expires_at: float


@dataclass
class Codes:
    """Authorization codes: each is taken once, whatever comes of it."""

    _grants: dict[str, Grant] = field(default_factory=dict)

    def give(self, account: Account, redirect_uri: str, scopes: frozenset[str], query: Any, prefix: str = "") -> str:
        code = prefix + secrets.token_urlsafe(24)
        self._grants[code] = Grant(
            account,
            redirect_uri,
            query.get("code_challenge"),
            query.get("nonce"),
            scopes,
            time.monotonic() + CODE_LIFETIME_S,
        )
        return code

    def take(self, code: str) -> Grant | None:
        grant = self._grants.pop(code, None)
        return grant if grant is not None and grant.expires_at > time.monotonic() else None


@asynccontextmanager
async def serving(app: web.Application, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()

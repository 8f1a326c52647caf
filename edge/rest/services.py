"""What the routes work with, made once in the process' main and reached through the request."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias, cast

import asyncpg
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from redis.asyncio import Redis

from edge.access import Access
from edge.commands import Commands
from edge.errors import Refused
from edge.oauth.flow import Provider
from edge.passwords import Passwords
from edge.rest.attempts import Attempts
from edge.rest.cookies import Cookies
from edge.rest.settings import RestSettings
from edge.revocations import Revocations
from edge.tokens import Principal, Tokens
from infra import history, live, redis
from infra.keyring import Keyring
from infra.mail import Mail
from infra.postgres import AWAY
from infra.secrets import Secrets
from schemas.frames import ErrorCode

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

HISTORY_WITHIN_S: Final = 2.0
"""Seconds that a reader waits for history; it is commonly a few milliseconds behind what screens were told."""
_POLL_S: Final = 0.03
DATABASE_LIMIT_S: Final = 3.0
"""Seconds to get a connection, and again for all that one request does with it; then PostgreSQL is away."""


@dataclass
class Log:
    """What needs Kafka; there once it has been reached for the first time.

    Attributes:
        epoch: first half of every cursor.
    """

    commands: Commands
    epoch: str


@dataclass
class Services:
    """The clients and rules that routes share."""

    settings: RestSettings
    pool: "asyncpg.Pool[asyncpg.Record]"
    redis: Redis
    keyring: Keyring
    secrets: Secrets
    access: Access
    tokens: Tokens
    revocations: Revocations
    refresh_secret: bytes
    passwords: Passwords
    mail: Mail
    providers: Mapping[str, Provider]
    cookies: Cookies
    mail_requests: Attempts
    sign_ups: Attempts
    failed_sign_ins: Attempts
    shared_reads: Attempts
    stopping: asyncio.Event
    log: Log | None = None

    @asynccontextmanager
    async def database(self) -> AsyncIterator["Connection"]:
        """A connection for the length of a block.

        Raises:
            Refused: `unavailable`, where PostgreSQL is away or does not finish in time.
        """
        try:
            async with self.pool.acquire(timeout=DATABASE_LIMIT_S) as connection:
                # Cut, not cancelled: a cancelled statement waits for the server to take notice, and that may hang.
                cut = asyncio.get_running_loop().call_later(DATABASE_LIMIT_S, connection.terminate)
                try:
                    yield connection
                finally:
                    cut.cancel()
        except AWAY as error:
            raise Refused(ErrorCode.UNAVAILABLE) from error

    async def caught_up(self, conversation_id: str) -> None:
        """Wait a little until history has what screens were told: who saw an answer end finds it in what they read."""
        try:
            told = await self.redis.hget(live.state_key(conversation_id), "top")
            async with asyncio.timeout(HISTORY_WITHIN_S):
                while True:
                    if await history.position(self.pool, conversation_id) >= int(told or 0):
                        return
                    await asyncio.sleep(_POLL_S)
        except (*redis.AWAY, *AWAY):  # the time-out is one of them: what is there is read
            return

    def reached(self) -> Log:
        """What needs Kafka.

        Raises:
            Refused: `unavailable`, where Kafka has not been reached yet.
        """
        if self.log is None:
            raise Refused(ErrorCode.UNAVAILABLE)
        return self.log


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesOf = Annotated[Services, Depends(_services)]

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="An access token.")


async def _caller_if_any(
    services: ServicesOf, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal | None:
    if credentials is None:
        return None
    principal = services.tokens.verify(credentials.credentials)
    await services.revocations.check(principal.sign_in_id)
    return principal


CallerIfAny = Annotated[Principal | None, Depends(_caller_if_any)]
"""Who calls, where they say so; a token that is no good is refused all the same."""


def _caller(caller: CallerIfAny) -> Principal:
    if caller is None:
        raise Refused(ErrorCode.UNAUTHENTICATED)
    return caller


Caller = Annotated[Principal, Depends(_caller)]
"""Who calls, from a verified access token and nothing else."""


def _address(request: Request) -> str:
    return "" if request.client is None else request.client.host


Address = Annotated[str, Depends(_address)]
"""Where the call comes from; through a trusted proxy, from where it came to that."""

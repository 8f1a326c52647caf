"""What the routes work with, made once in the process' main and reached through the request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
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
from edge.replica import Replica
from edge.rest.admission import Called
from edge.rest.cookies import Cookies
from edge.rest.limits import Limits
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
    limits: Limits
    stopping: asyncio.Event
    replica: Replica | None = None
    log: Log | None = None

    @asynccontextmanager
    async def database(self) -> AsyncIterator["Connection"]:
        """A connection for the length of a block; within `together`, the one of all its blocks.

        Raises:
            Refused: `unavailable`, where PostgreSQL is away or does not finish in time.
        """
        together = _TOGETHER.get()
        if together is None:
            async with self._connection() as connection:
                yield connection
            return
        if together.connection is None:
            together.connection = await together.open.enter_async_context(self._connection())
            await together.open.enter_async_context(together.connection.transaction())
        try:
            yield together.connection
        except AWAY as error:
            raise Refused(ErrorCode.UNAVAILABLE) from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator["Connection"]:
        """A connection that only reads: the replica's, where there is one that has all that the primary has by now.

        Raises:
            Refused: as `database`.
        """
        async with AsyncExitStack() as open:
            replica = None if _TOGETHER.get() is not None else self.replica
            connection = None if replica is None else await replica.connection(open)
            if connection is None:
                yield await open.enter_async_context(self.database())
                return
            cut = asyncio.get_running_loop().call_later(DATABASE_LIMIT_S, connection.terminate)
            open.callback(cut.cancel)
            try:
                yield connection
            except AWAY as error:
                raise Refused(ErrorCode.UNAVAILABLE) from error

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Make all that this task does in `database` one transaction, begun by the first use and ended with the block.

        Raises:
            Refused: `unavailable`, where PostgreSQL is away or does not finish in time.
        """
        async with AsyncExitStack() as stack:
            together = _Together(stack)
            token = _TOGETHER.set(together)
            stack.callback(_TOGETHER.reset, token)
            yield
        for do in together.afterwards:
            await do()

    async def afterwards(self, do: Callable[[], Awaitable[None]]) -> None:
        """Do what may be done only once that is so which this request has written: now, or after `together`."""
        together = _TOGETHER.get()
        if together is None:
            await do()
        else:
            together.afterwards.append(do)

    async def changed(self, ids: Iterable[str]) -> None:
        """Forget what this process knows of these people, projects or agents, once they have changed."""
        found = list(ids)

        async def forget() -> None:
            self.access.changed(found)

        await self.afterwards(forget)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["Connection"]:
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


@dataclass
class _Together:
    """One transaction for all that a task does.

    Attributes:
        open: ends it.
        connection: None until it is first used.
    """

    open: AsyncExitStack
    connection: "Connection | None" = None
    afterwards: list[Callable[[], Awaitable[None]]] = field(default_factory=list)


_TOGETHER: Final[ContextVar[_Together | None]] = ContextVar("together", default=None)


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesOf = Annotated[Services, Depends(_services)]

_bearer = HTTPBearer(auto_error=False, bearerFormat="JWT", description="An access token.")


# The document learns from `_bearer` that a token is taken; the door has looked at it already.
def _caller_if_any(
    request: Request, _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal | None:
    called = cast(Called, request.state.called)
    if isinstance(called, Refused):
        raise called
    return called


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

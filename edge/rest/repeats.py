"""A request that is sent twice with one `Idempotency-Key` is done once, and answered alike. See ADR 0025.

A row is claimed before anything is done. All that the request does with PostgreSQL is one transaction with the answer
that it gets: a process that dies leaves both or neither, and a claim without an answer, which the next one takes over.
What is no transaction, a command to a conversation, is named after the request instead (`name_of`): doing it again is
doing the same.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, cast
from uuid import uuid4

import asyncpg
import msgspec
import structlog
from fastapi import Depends, Header, Request, params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from edge.errors import Refused
from edge.rest.services import Services
from edge.tokens import Principal
from infra.postgres import AWAY
from schemas import ids
from schemas.frames import ErrorCode

if TYPE_CHECKING:
    from edge.rest.services import Connection

    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]

log = structlog.get_logger(__name__)

HEADER: Final = "Idempotency-Key"
KEPT: Final = timedelta(hours=24)
"""How long a key means its first request; then it is as new."""
ABANDONED: Final = timedelta(seconds=30)
"""After which a request without an answer is believed dead, and may be done by another; no request takes as long."""
CLEARED_EVERY_S: Final = 600.0

_LONGEST: Final = 255
_KEY: Final = rf"^[!-~]{{1,{_LONGEST}}}$"

# An abandoned claim is taken over by the same request alone.
_CLAIM: Final = """
INSERT INTO repeats AS r (user_id, key_hash, request_hash, claim) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, key_hash) DO UPDATE
    SET request_hash = excluded.request_hash, claim = excluded.claim, claimed_at = clock_timestamp(), answer = NULL
    WHERE r.claimed_at < clock_timestamp() - $6::interval OR (r.answer IS NULL
        AND r.request_hash = excluded.request_hash AND r.claimed_at < clock_timestamp() - $5::interval)
RETURNING true
"""
_FOUND: Final = "SELECT request_hash, answer FROM repeats WHERE user_id = $1 AND key_hash = $2"
_ANSWERED: Final = """
UPDATE repeats SET answer = $4 WHERE user_id = $1 AND key_hash = $2 AND claim = $3 RETURNING true
"""
_RELEASED: Final = "DELETE FROM repeats WHERE user_id = $1 AND key_hash = $2 AND claim = $3 AND answer IS NULL"
_CLEARED: Final = "DELETE FROM repeats WHERE claimed_at < clock_timestamp() - $1::interval"


def _described(
    _key: Annotated[
        str | None,
        Header(
            alias=HEADER,
            pattern=_KEY,
            max_length=_LONGEST,
            description="Names this request, for its sender. Sent again within 24 hours it is not done again, and gets "
            "the same answer; another request with the same key is refused.",
        ),
    ] = None,
) -> None:
    """Refuses keys that are none, and tells the document of them."""


class Once(APIRoute):
    """The `route_class` of a router whose POSTs are done once for each key of a person."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Any],
        *,
        methods: set[str] | list[str] | None = None,
        dependencies: Sequence[params.Depends] | None = None,
        **more: Any,
    ) -> None:
        if "POST" in (methods or ()):
            dependencies = [*(dependencies or ()), Depends(_described)]
        super().__init__(path, endpoint, methods=methods, dependencies=dependencies, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def once(request: Request) -> Response:
            key, called = request.headers.get(HEADER), request.state.called
            if key is None or re.fullmatch(_KEY, key) is None or not isinstance(called, Principal):
                return await handle(request)  # which refuses what is to be refused
            services = cast(Services, request.app.state.services)
            repeat = _Repeat(services, called.user_id, key, await _named(request))
            request.state.repeat = repeat
            return await repeat.answer(lambda: _answer(request, handle))

        return once if "POST" in (self.methods or ()) else handle


def name_of(request: Request) -> str | None:
    """An id for the one thing that this request makes, the same whenever it is sent again; None without a key."""
    repeat: _Repeat | None = getattr(request.state, "repeat", None)
    return None if repeat is None else repeat.name


async def run(pool: "Pool") -> None:
    """Clear away what is older than keys are kept, until cancelled."""
    while True:
        try:
            await pool.execute(_CLEARED, KEPT)
        except AWAY as error:
            log.warning("repeats are not cleared away", error=repr(error))
        await asyncio.sleep(CLEARED_EVERY_S)


async def _named(request: Request) -> bytes:
    """What makes two requests the same."""
    target = f"{request.method} {request.url.path}?{request.url.query}\0"
    return target.encode() + await request.body()


async def _answer(request: Request, handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    """Refusals as the answers that they become: they are kept, too."""
    try:
        return await handle(request)
    except (Refused, RequestValidationError, HTTPException) as error:
        handlers = request.app.exception_handlers
        kind = next(kind for kind in type(error).__mro__ if kind in handlers)
        return cast(Response, await handlers[kind](request, error))


class _NotKept(Exception):
    """What this answer stands for is not done."""

    def __init__(self, response: Response) -> None:
        self.response = response


class _Kept(msgspec.Struct):
    status: int
    headers: list[tuple[str, str]]
    body: str


class _Repeat:
    """One request with a key.

    Args:
        request: what makes it the same.
    """

    def __init__(self, services: Services, user_id: str, key: str, request: bytes) -> None:
        self._services = services
        # Under the key, which stands nowhere: else short bodies, such as an address, could be guessed from it.
        self._request_hash = hashlib.sha256(f"{user_id}\0{key}\0".encode() + request).digest()
        self._row = (user_id, hashlib.sha256(key.encode()).digest())
        self._claim = uuid4()
        self._box = services.secrets.under(f"repeats/{user_id}/{key}")
        self.name = ids.repeated_id(user_id, self._request_hash.hex())

    async def answer(self, work: Callable[[], Coroutine[Any, Any, Response]]) -> Response:
        """Do it, or answer what it was answered.

        Raises:
            Refused: `in_progress` while another does it, `idempotency_mismatch` where the key is another request's.
        """
        async with self._services.database() as connection:
            before = await self._before(connection)
        if before is not None:
            return before
        kept = False
        try:
            async with self._services.together():
                response = await work()
                if response.status_code >= 500 or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                    raise _NotKept(response)
                async with self._services.database() as connection:
                    if await connection.fetchval(_ANSWERED, *self._row, self._claim, self._sealed(response)) is None:
                        raise Refused(ErrorCode.IN_PROGRESS)  # it took so long that another has taken it over
            kept = True
            return response
        except _NotKept as not_kept:
            return not_kept.response
        finally:
            if not kept:
                await self._release()

    async def _before(self, connection: "Connection") -> Response | None:
        """What it was answered before; None where it is ours to do now."""
        try:
            claimed = await connection.fetchval(_CLAIM, *self._row, self._request_hash, self._claim, ABANDONED, KEPT)
        except asyncpg.ForeignKeyViolationError:  # the token outlived the person
            raise Refused(ErrorCode.UNAUTHENTICATED) from None
        if claimed:
            return None
        found = await connection.fetchrow(_FOUND, *self._row)
        if found is not None and found["request_hash"] != self._request_hash:
            raise Refused(ErrorCode.IDEMPOTENCY_MISMATCH)
        if found is None or found["answer"] is None:
            raise Refused(ErrorCode.IN_PROGRESS)
        return self._opened(found["answer"])

    async def _release(self) -> None:
        try:
            async with self._services.database() as connection:
                await connection.execute(_RELEASED, *self._row, self._claim)
        except Refused:
            log.warning("a claim is left behind, because PostgreSQL is away")

    def _sealed(self, response: Response) -> bytes:
        headers = [(name, value) for name, value in response.headers.items() if name != "content-length"]
        kept = _Kept(response.status_code, headers, bytes(response.body).decode())
        return self._box.seal("answer", msgspec.json.encode(kept).decode())

    def _opened(self, answer: bytes) -> Response:
        kept = msgspec.json.decode(self._box.open("answer", answer), type=_Kept)
        return Response(kept.body, kept.status, dict(kept.headers))

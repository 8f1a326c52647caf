"""What every request passes on its way in and out: its id, its size, who may read the answer, and a line in the log."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog
from prometheus_client import Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge import audit
from edge.errors import Refused
from edge.problems import problem, refusal
from edge.rest import deprecation
from edge.rest.admission import Called
from schemas.frames import ErrorCode
from schemas.ids import new_id

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 256 * 1024
"""16,000 characters take at most 192,000 bytes, where each is an escaped surrogate pair."""
BODY_LIMIT_S: Final = 15.0
"""Seconds for the whole body to arrive: nobody holds a request open byte by byte."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECRET_IN_PATH: Final = re.compile(r"(/shared/)[^/]+")
"""Whoever has the link to a shared conversation may read it, so it stands in no log."""
_ASKED_HEADERS: Final = (
    "Authorization, Content-Type, X-Request-Id, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID"
)
_TOLD_HEADERS: Final = "X-Request-Id, Retry-After, Location, ETag, Deprecation, Sunset, Link"

_SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent where an answer does not say otherwise itself, as the page does."""

_SECONDS = Histogram(
    "chorus_http_request_seconds",
    "Time from a request's first byte to its answer's last.",
    ("method", "route", "status"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class Door:
    """Wraps an application.

    Args:
        origins: those of other sites whose pages may call it.
        admit: counts a request to `/v1/`; the page and its parts are files. Is given the header `Authorization` and the
            address, and raises `Refused`; what it says of who calls becomes the request's `state.called`.
    """

    def __init__(
        self, app: ASGIApp, origins: frozenset[str], admit: Callable[[str | None, str], Awaitable[Called]]
    ) -> None:
        self._app = app
        self._origins = origins
        self._admit_caller = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id()
        visit = _Visit(scope, send, request_id, self._cors(headers))
        client = (scope.get("client") or (None,))[0]
        with structlog.contextvars.bound_contextvars(request_id=request_id), audit.coming_from(client, request_id):
            try:
                refusal, receive = await self._admit(scope, headers, receive)
                await (refusal or self._app)(scope, receive, visit.send)
            except Exception:
                log.exception("request failed", method=scope["method"], path=_to_log(scope["path"]))
                if visit.status == 0:
                    await problem(ErrorCode.INTERNAL)(scope, receive, visit.send)
            visit.account_for(scope)

    async def _admit(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[Response | None, Receive]:
        """An answer to those who do not come in, and the body for those who do."""
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            if headers.get("origin") in self._origins:
                return Response(status_code=204), receive
            return problem(ErrorCode.FORBIDDEN_ORIGIN), receive
        if scope["path"].startswith("/v1/"):
            address = (scope.get("client") or ("",))[0]
            try:
                called = await self._admit_caller(headers.get("authorization"), address)
            except Refused as refused:
                return refusal(refused), receive
            scope.setdefault("state", {})["called"] = called
        if scope["method"] in ("GET", "HEAD"):
            return None, receive
        try:
            async with asyncio.timeout(BODY_LIMIT_S):
                body = await _read(headers, receive)
        except TimeoutError:
            late = problem(ErrorCode.INVALID, "The body did not arrive in time.", status=408)
            late.headers["Connection"] = "close"
            return late, receive
        if body is None:
            large = problem(ErrorCode.TOO_LARGE, f"A body has at most {MAX_BODY_BYTES:,} bytes.")
            large.headers["Connection"] = "close"
            return large, receive
        return None, _replay(body, receive)

    def _cors(self, headers: Headers) -> dict[str, str]:
        origin = headers.get("origin")
        if origin is None or origin not in self._origins:
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": _ASKED_HEADERS,
            "Access-Control-Expose-Headers": _TOLD_HEADERS,
            "Access-Control-Max-Age": "600",
        }


def _to_log(path: str) -> str:
    return _SECRET_IN_PATH.sub(r"\1…", path)


class _Visit:
    """One request: the headers that its answer gets, and what is told of it afterwards."""

    def __init__(self, scope: Scope, send: Send, request_id: str, cors: dict[str, str]) -> None:
        self._scope = scope
        self._send = send
        self._headers = {"X-Request-Id": request_id, "Vary": "Origin", **cors}
        self._began = time.perf_counter()
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.update(self._headers)
            headers.update(deprecation.headers(self._scope.get("route")))
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
        await self._send(message)

    def account_for(self, scope: MutableMapping[str, Any]) -> None:
        seconds = time.perf_counter() - self._began
        # Only routes of ours are names: what strangers ask for has no bound.
        route = getattr(scope.get("route"), "path", None)
        if route is not None:
            _SECONDS.labels(scope["method"], route, self.status).observe(seconds)
        log.info(
            "request",
            method=scope["method"],
            path=_to_log(scope["path"]),
            status=self.status,
            ms=round(seconds * 1000, 1),
            client=(scope.get("client") or ("",))[0],
        )


async def _read(headers: Headers, receive: Receive) -> bytes | None:
    """The whole body; None where it is too large."""
    announced = headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
        return None
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise TimeoutError  # the rest will never arrive
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        more = message.get("more_body", False)
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body that was read, then whatever comes."""
    rest: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return rest.pop() if rest else await receive()

    return replayed

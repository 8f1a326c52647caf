"""How the client calls: one request, its answer read into a type, a problem raised."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import msgspec


class Problem(Exception):
    """The server refused (RFC 9457).

    Attributes:
        code: one of the protocol's codes, such as `not_found`; decide by this.
        errors: what is wrong with each field, by its name.
        retry_after_s: seconds to wait before the same may succeed; None where it will not.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Mapping[str, str],
        request_id: str | None,
        retry_after_s: int | None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class NotModified(Exception):
    """It is as `if_none_match` says."""


_etag: ContextVar[str | None] = ContextVar("etag", default=None)


class Caller:
    """A connection to one Chorus. Use it in `async with`.

    Args:
        url: where Chorus is, such as `http://127.0.0.1:8080`.
        access_token: of whoever calls; it may be set and changed at any time.
        timeout_s: seconds for one call.
    """

    def __init__(self, url: str, access_token: str | None = None, *, timeout_s: float = 30.0) -> None:
        self.access_token = access_token
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    @property
    def etag(self) -> str | None:
        """The tag of the last answer in this task, for `if_match` and `if_none_match`; None where it had none."""
        return _etag.get()

    @staticmethod
    def quoted(part: str) -> str:
        """One step of a path, whatever is in it."""
        return quote(part, safe="")

    async def call(
        self,
        method: str,
        path: str,
        answers: Mapping[int, Any],
        *,
        body: object = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Any:
        """One request. Where it may carry an `Idempotency-Key` it always does: whatever is between may send it twice.

        Args:
            headers: those that are None are left out.
            answers: the type of each good answer by its status: a struct, `bytes` as they come, or None for nothing.

        Raises:
            Problem: the server refused.
            NotModified: 304.
            aiohttp.ClientError: nobody knows what became of it.
        """
        assert self._http is not None, "use `async with`"
        sent = {"Accept": "application/json, application/problem+json, */*;q=0.5"}
        if self.access_token is not None:
            sent["Authorization"] = f"Bearer {self.access_token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        given = {"Idempotency-Key": str(uuid4())} if "Idempotency-Key" in (headers or {}) else {}
        given |= {name: value for name, value in (headers or {}).items() if value is not None}
        asked = {name: _word(value) for name, value in (query or {}).items() if value is not None}
        async with self._http.request(
            method,
            self._url + path,
            params=asked,
            headers=sent | given,
            data=None if body is None else msgspec.json.encode(body),
            allow_redirects=False,
        ) as response:
            content = await response.read()
            _etag.set(response.headers.get("ETag"))
            if response.status >= 400:
                raise _problem(response, content)
            if response.status == 304:
                raise NotModified
        kind = answers.get(response.status)
        return content if kind is bytes else None if kind is None else msgspec.json.decode(content, type=kind)


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problem(response: aiohttp.ClientResponse, content: bytes) -> Problem:
    try:
        found: dict[str, Any] = msgspec.json.decode(content)
    except msgspec.DecodeError:  # not ours: something between us answered
        found = {}
    wait = response.headers.get("Retry-After", "")
    return Problem(
        response.status,
        found.get("code", "unavailable" if response.status >= 500 else "invalid"),
        found.get("detail", response.reason or ""),
        errors={error["field"]: error["message"] for error in found.get("errors", ())},
        request_id=response.headers.get("X-Request-Id"),
        retry_after_s=int(wait) if wait.isdecimal() else None,
    )

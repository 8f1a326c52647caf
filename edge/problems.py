"""Every error of REST as problem details (RFC 9457), with a code of the protocol's table.

What the client sent is never sent back: it may be a password, or a text that no encoder can write.
"""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from edge.errors import Refused
from schemas.frames import ERRORS, ErrorCode

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
"""Seconds after which a client may try again where nothing better is known."""

_CODE_OF_STATUS: Final = {404: ErrorCode.NOT_FOUND, 413: ErrorCode.TOO_LARGE}
_PARTS_OF_A_REQUEST: Final = {"body", "query", "path", "header"}


def problem(
    code: ErrorCode,
    detail: str | None = None,
    *,
    status: int | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    retry_after_ms: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as the client gets it.

    Args:
        detail: a sentence for a person; the table's where none is given.
        status: where it is not the code's own (405, 408, 409).
        errors: what is wrong with each field: `field` and `message`.
        retry_after_ms: milliseconds until the same request may succeed; `Retry-After` says it in seconds, rounded up.
    """
    meaning = ERRORS[code]
    status = status or meaning.status
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail or meaning.message,
        "code": code,
    }
    if errors:
        body["errors"] = errors
    if retry_after_ms is not None:
        body["retry_after_ms"] = retry_after_ms
    sent = dict(headers or {})
    if meaning.retryable:
        sent["Retry-After"] = str(RETRY_AFTER_S if retry_after_ms is None else math.ceil(retry_after_ms / 1000))
    if status == HTTPStatus.UNAUTHORIZED:
        sent["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body), status, sent, MEDIA_TYPE)


def refusal(refused: Refused, status: int | None = None) -> Response:
    return problem(
        refused.code,
        refused.message,
        status=status,
        errors=[{"field": name, "message": what} for name, what in refused.fields.items()],
        retry_after_ms=refused.retry_after_ms,
    )


class Conflict(Refused):
    """Valid in itself, but something that is there already stands against it: `invalid` with status 409."""

    def __init__(self, **fields: str) -> None:
        super().__init__(ErrorCode.INVALID, "; ".join(fields.values()), fields=fields)


def install(app: FastAPI) -> None:
    """Make every error of this application a problem."""

    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return refusal(error, HTTPStatus.CONFLICT if isinstance(error, Conflict) else None)

    async def ill_formed(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem(ErrorCode.INVALID, errors=[_field_error(one) for one in error.errors()])

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.BAD_REQUEST:  # what FastAPI says of a body that it cannot parse
            return problem(ErrorCode.INVALID, "The body is not JSON that can be read.")
        code = _CODE_OF_STATUS.get(error.status_code, ErrorCode.INVALID)
        detail = None if code != ErrorCode.INVALID else HTTPStatus(error.status_code).description
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and "route" in request.scope:
            # Starlette names the methods of one route; a path of ours has a route for each.
            path = app.openapi()["paths"][request.scope["route"].path]
            headers["Allow"] = ", ".join(method.upper() for method in path)
        return problem(code, detail, status=error.status_code, headers=headers)

    async def bug(_request: Request, _error: Exception) -> Response:
        return problem(ErrorCode.INTERNAL)  # the door logs it; the client is told nothing of it

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, ill_formed)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, bug)


def _field_error(error: Mapping[str, Any]) -> dict[str, str]:
    """Which field, as a dotted path without the part of the request it stands in, and what is wrong with it."""
    path = [str(step) for step in error["loc"] if step not in _PARTS_OF_A_REQUEST]
    if error["type"] == "json_invalid":
        return {"field": "", "message": "The body is not JSON."}
    return {"field": ".".join(path), "message": error["msg"].removeprefix("Value error, ")}

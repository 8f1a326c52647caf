"""The OpenAPI document, with the errors that every operation can answer."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from edge.problems import MEDIA_TYPE
from edge.rest.answers import Problem
from schemas.frames import ERRORS, ErrorCode

_SCHEMAS: Final = "#/components/schemas/"
_METHODS: Final = {"get", "post", "patch", "put", "delete"}
_BY_HEADER: Final = {
    "idempotency-key": (ErrorCode.IN_PROGRESS, ErrorCode.IDEMPOTENCY_MISMATCH),
    "if-match": (ErrorCode.PRECONDITION_FAILED,),
}
"""Refusals of every operation that takes this header."""
_WITH_BODY: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


def refusals(*reasons: ErrorCode | HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, for FastAPI's `responses`."""
    codes: dict[int, list[str]] = {}
    for reason in reasons:
        status = ERRORS[reason].status if isinstance(reason, ErrorCode) else reason.value
        codes.setdefault(status, []).append(reason if isinstance(reason, ErrorCode) else ErrorCode.INVALID)
    return {status: _response(status, found) for status, found in codes.items()}


def _response(status: int, codes: Iterable[str]) -> dict[str, Any]:
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}},
    }


def document(app: FastAPI, version: str) -> dict[str, Any]:
    """The document of what this process serves."""
    made = get_openapi(
        title="Chorus",
        version=version,
        summary="People and AI agents in shared conversations.",
        routes=app.routes,
        openapi_version="3.1.0",
    )
    components = made.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}")
    components |= problem.pop("$defs") | {"Problem": problem}
    for operation in (o for path in made["paths"].values() for m, o in path.items() if m in _METHODS):
        answers = operation["responses"]
        # What FastAPI says of ill-formed requests is true of its own handler, not of ours.
        if "422" in answers and MEDIA_TYPE not in answers["422"]["content"]:
            answers |= _as_text(refusals(ErrorCode.INVALID))
        if "security" in operation:
            answers |= _as_text(refusals(ErrorCode.UNAUTHENTICATED, ErrorCode.TOKEN_EXPIRED))
        if "requestBody" in operation:
            answers |= _as_text(refusals(*_WITH_BODY))
        answers |= _as_text(refusals(ErrorCode.INTERNAL))
        answers |= _as_text(refusals(ErrorCode.RATE_LIMITED))
        for parameter in operation.get("parameters", ()):
            for reason in _BY_HEADER.get(parameter["name"].lower(), ()):
                _also(answers, reason)
            if parameter["name"].lower() == "if-none-match":
                answers["304"] = {"description": "It is as the reader has it."}
        operation["responses"] = dict(sorted(answers.items()))
    for leftover in ("HTTPValidationError", "ValidationError"):
        components.pop(leftover, None)
    return made


def _also(answers: dict[str, Any], code: ErrorCode) -> None:
    """Another reason for a status, beside those that the operation names itself."""
    (status, response), *_ = _as_text(refusals(code)).items()
    if status in answers:
        response["description"] = f"{answers[status]['description']}, `{code}`"
    answers[status] = response


def _as_text(responses: dict[int | str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(status): response for status, response in responses.items()}

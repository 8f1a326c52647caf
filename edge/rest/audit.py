"""A project's audit log, for those who run it."""

from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from edge import audit, problems
from edge.errors import Forbidden, Refused
from edge.rest.answers import Answer, Page
from edge.rest.fields import Cursor, IdInPath, Limit
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.services import Caller, Services, ServicesOf
from edge.tokens import Principal
from schemas.frames import ErrorCode
from schemas.roles import Action, may

log = structlog.get_logger(__name__)

router = APIRouter(tags=["audit"], responses=refusals(ErrorCode.UNAVAILABLE))

_ENTRIES: Final = """
SELECT id::text, at, event, result, actor_id::text, user_id::text, address, request_id, what::text
FROM audit_log
WHERE project_id = $1 AND ($2::timestamptz IS NULL OR (at, id) < ($2, $3::uuid))
ORDER BY at DESC, id DESC LIMIT $4
"""


class Entry(Answer):
    """`event` is a name of OWASP's logging vocabulary, `result` is `success` or `failure`.

    `actor_id` did it, to `user_id` where that is somebody else; `address` is where the request came from, null where
    that person has been erased.
    """

    id: str
    at: datetime
    event: str
    result: str
    actor_id: str | None
    user_id: str | None
    address: str | None
    request_id: str | None
    what: dict[str, Any]


@router.get("/v1/projects/{project_id}/audit", responses=refusals(ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN))
async def entries(
    services: ServicesOf, caller: Caller, project_id: IdInPath, limit: Limit = 50, cursor: Cursor = None
) -> Page[Entry]:
    """What was done in the project and by whom, newest first. Owners and admins may read it; 400 days are kept."""
    if not may(await services.access.project_role(caller.user_id, project_id), Action.READ_AUDIT):
        raise Forbidden(project_id, Action.READ_AUDIT)
    before = key_of(cursor) or (None, None)
    async with services.reading() as connection:
        rows = await connection.fetch(_ENTRIES, project_id, *before, limit + 1)
    found = [Entry(**dict(row) | {"what": msgspec.json.decode(row["what"])}) for row in rows]
    return page(found, limit, lambda entry: (entry.at, entry.id))


def install(app: FastAPI) -> None:
    """Have this application record what a role did not allow, once all that was begun is undone."""

    async def forbidden(request: Request, error: Exception) -> Response:
        assert isinstance(error, Forbidden)
        services: Services = request.app.state.services
        called: Principal = request.state.called
        try:
            async with services.database() as connection:
                await audit.record(
                    connection,
                    audit.Event.AUTHZ_FAIL,
                    actor_id=called.user_id,
                    project_id=error.project_id,
                    result=audit.Result.FAILURE,
                    action=error.action,
                )
        except Refused:
            log.warning("authz_fail", actor_id=called.user_id, project_id=error.project_id, action=error.action)
        return problems.refusal(error)

    app.add_exception_handler(Forbidden, forbidden)

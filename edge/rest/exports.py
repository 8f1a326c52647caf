"""One conversation to take home, as Markdown or JSON."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from edge import exports
from edge.branches import Line, Place, places
from edge.errors import Refused
from edge.exports import Said
from edge.rest.fields import IdInPath
from edge.rest.openapi import refusals
from edge.rest.people import name_of, names
from edge.rest.services import Caller, Services, ServicesOf
from infra import history
from schemas import shown
from schemas.frames import ErrorCode

router = APIRouter(tags=["conversations"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND))

MARKDOWN: Final = "text/markdown"
_AT_ONCE: Final = 100
"""Messages read for one piece of the answer: some 3 MB at the very most."""
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {
            MARKDOWN: {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object", "required": ["format", "version", "messages"]}},
        },
    }
}


@router.get("/v1/conversations/{conversation_id}/export", response_class=StreamingResponse, responses=_FILE)
async def export(
    services: ServicesOf,
    caller: Caller,
    conversation_id: IdInPath,
    format: Annotated[Literal["markdown", "json"], Query()] = "markdown",
) -> StreamingResponse:
    """All of a conversation as it is now, every version of every message, as a file."""
    await services.access.present_conversation(caller.user_id, conversation_id)
    await services.caught_up(conversation_id)
    async with services.reading() as connection:
        view = await history.load_view(connection, conversation_id)
        lines = [] if view is None else await history.outline(connection, conversation_id, view.position)
    if view is None or view.deleted:
        raise Refused(ErrorCode.NOT_FOUND)
    conversation, at = shown.conversation(view), datetime.now(UTC)
    said = _said(services, lines)
    extension, pieces = (
        ("md", _markdown(exports.markdown_head(conversation, at), said))
        if format == "markdown"
        else ("json", _json(exports.json_head(conversation, at), said))
    )
    name = exports.filename(conversation.title, extension)
    return StreamingResponse(
        pieces,
        media_type=MARKDOWN if format == "markdown" else "application/json",
        headers={"Content-Disposition": exports.disposition(name)},
    )


async def _said(services: Services, lines: list[Line]) -> AsyncIterator[list[Said]]:
    # No connection is kept while a client reads slowly. Messages never change but to be gone.
    place = places(lines)
    for first in range(0, len(lines), _AT_ONCE):
        ids = [id for id, _, _ in lines[first : first + _AT_ONCE]]
        async with services.reading() as connection:
            found = await history.some_messages(connection, ids)
            known = await names(connection, found.values())
        yield [_one(found[id], known, place[id]) for id in ids if id in found]


def _one(message: Any, known: Any, place: Place) -> Said:
    return Said(message, name_of(message, known), place)


async def _markdown(head: str, said: AsyncIterator[list[Said]]) -> AsyncIterator[str]:
    yield head
    async for some in said:
        yield "".join(map(exports.markdown_message, some))


async def _json(head: bytes, said: AsyncIterator[list[Said]]) -> AsyncIterator[bytes]:
    yield head
    between = b""
    async for some in said:
        yield between + b",\n".join(map(exports.json_message, some))
        between = b",\n" if some else between
    yield exports.JSON_END

"""Conversations: started, listed, renamed, archived, deleted and restored. Changes go the one way, through the log."""

from collections.abc import Container
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from msgspec import UNSET, UnsetType
from pydantic import ConfigDict

from edge import pins
from edge.commands import Changed
from edge.errors import Refused
from edge.rest import answers, exports, shares
from edge.rest.conditional import ChangingOf, ReadingOf
from edge.rest.fields import Body, Cursor, Id, IdInPath, Limit, Text, Title
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.repeats import Once, name_of
from edge.rest.services import Caller, Services, ServicesOf
from infra import history
from schemas import frames, shown
from schemas.frames import ErrorCode

router = APIRouter(
    route_class=Once, tags=["conversations"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND)
)
router.include_router(exports.router)
router.include_router(shares.router)

_REFUSED_CHANGE: Final = refusals(ErrorCode.FORBIDDEN)
_SAFE: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": answers.ConversationNamed, "description": "It is safe, and readable in a moment."}
}


class NewConversation(Body):
    """The same `id` again starts nothing new. Without `agent_id` the project's default agent answers; with null nobody
    does."""

    id: Id | None = None
    title: Title | None = None
    agent_id: Id | None = None


class ConversationChange(Body):
    """What is absent stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["title"]},
                {"required": ["archived"], "properties": {"archived": {"type": "boolean"}}},
                {"required": ["agent_id"]},
            ]
        }
    )

    title: Title | None = None
    archived: bool | None = None
    agent_id: Id | None = None


async def _read(services: Services, user_id: str, conversation_id: str) -> tuple[answers.Conversation, int]:
    """A conversation as somebody sees it, and the position at which it is so."""
    async with services.database() as connection:
        view = await history.load_view(connection, conversation_id)
        pinned = await pins.pinned(connection, user_id, [conversation_id])
    if view is None or view.deleted:
        raise Refused(ErrorCode.NOT_FOUND)
    return _shown(shown.conversation(view), pinned), view.position


def _shown(conversation: frames.Conversation, pinned: Container[str]) -> answers.Conversation:
    found = answers.Conversation.model_validate(conversation)
    found.pinned = conversation.id in pinned
    return found


def _safe(changed: Changed) -> Response:
    named = answers.ConversationNamed(id=changed.conversation_id)
    return Response(named.model_dump_json(), 202, media_type="application/json")


@router.get("/v1/projects/{project_id}/conversations")
async def conversations(
    services: ServicesOf,
    caller: Caller,
    project_id: IdInPath,
    archived: bool = False,
    deleted: Annotated[bool, Query(description="The bin: what can be restored, archived or not.")] = False,
    pinned: Annotated[bool, Query(description="Only those that the caller has pinned.")] = False,
    q: Annotated[Text | None, Query(max_length=200, description="Only those whose title contains it.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> answers.Page[answers.Conversation]:
    """A project's conversations, newest activity first: those that are archived, those that are not, or the bin."""
    await services.access.project_role(caller.user_id, project_id)
    async with services.reading() as connection:
        found = await history.conversation_summaries(
            connection,
            project_id,
            deleted=deleted,
            archived=None if deleted else archived,
            title=q,
            pinned_by=caller.user_id if pinned else None,
            before=key_of(cursor),
            limit=limit + 1,
        )
        mine = await pins.pinned(connection, caller.user_id, [one.id for one in found])
    return page([_shown(one, mine) for one in found], limit, lambda c: (c.updated_at, c.id))


@router.post(
    "/v1/projects/{project_id}/conversations",
    status_code=201,
    response_model=answers.Conversation,
    responses=_REFUSED_CHANGE | _SAFE,
)
async def create_conversation(
    services: ServicesOf,
    caller: Caller,
    project_id: IdInPath,
    new: NewConversation,
    request: Request,
    response: Response,
) -> answers.Conversation | Response:
    agent_id = new.agent_id if "agent_id" in new.model_fields_set else UNSET
    changed = await services.reached().commands.create(
        caller.user_id,
        project_id=project_id,
        conversation_id=new.id or name_of(request),
        title=new.title,
        agent_id=agent_id,
    )
    if not changed.readable:
        return _safe(changed)
    response.headers["Location"] = f"/v1/conversations/{changed.conversation_id}"
    return (await _read(services, caller.user_id, changed.conversation_id))[0]


@router.get("/v1/conversations/{conversation_id}")
async def conversation(
    services: ServicesOf, caller: Caller, conversation_id: IdInPath, reading: ReadingOf
) -> answers.Conversation:
    await services.access.conversation(caller.user_id, conversation_id)
    return reading.tagged((await _read(services, caller.user_id, conversation_id))[0])


@router.patch(
    "/v1/conversations/{conversation_id}",
    response_model=answers.Conversation,
    responses=_REFUSED_CHANGE | refusals(ErrorCode.CONVERSATION_ARCHIVED) | _SAFE,
)
async def change_conversation(
    services: ServicesOf,
    caller: Caller,
    conversation_id: IdInPath,
    change: ConversationChange,
    if_match: ChangingOf,
) -> answers.Conversation | Response:
    """Rename, archive, restore, or let another agent answer."""
    given = change.model_fields_set
    archived: bool | UnsetType = UNSET if change.archived is None else change.archived
    seen: int | None = None
    if if_match.asked:
        await services.access.present_conversation(caller.user_id, conversation_id)
        found, seen = await _read(services, caller.user_id, conversation_id)
        if_match.check(found)
    changed = await services.reached().commands.update(
        caller.user_id,
        conversation_id=conversation_id,
        title=change.title if "title" in given else UNSET,
        archived=archived,
        agent_id=change.agent_id if "agent_id" in given else UNSET,
        seen=seen,
    )
    if not changed.readable:
        return _safe(changed)
    return if_match.tagged((await _read(services, caller.user_id, conversation_id))[0])


@router.delete("/v1/conversations/{conversation_id}", status_code=204, responses=_REFUSED_CHANGE | _SAFE)
async def delete_conversation(services: ServicesOf, caller: Caller, conversation_id: IdInPath) -> Response:
    """Into the bin, for everybody. For 30 days it can be restored; then nothing of it is kept."""
    changed = await services.reached().commands.delete(caller.user_id, conversation_id=conversation_id)
    return Response(status_code=204) if changed.readable else _safe(changed)


@router.post(
    "/v1/conversations/{conversation_id}/restore",
    response_model=answers.Conversation,
    responses=_REFUSED_CHANGE | _SAFE,
)
async def restore_conversation(
    services: ServicesOf, caller: Caller, conversation_id: IdInPath
) -> answers.Conversation | Response:
    """Back from the bin. Doing it again answers the same."""
    changed = await services.reached().commands.restore(caller.user_id, conversation_id=conversation_id)
    return (await _read(services, caller.user_id, conversation_id))[0] if changed.readable else _safe(changed)


@router.put("/v1/conversations/{conversation_id}/pin", status_code=204)
async def pin(services: ServicesOf, caller: Caller, conversation_id: IdInPath) -> Response:
    """For the caller alone."""
    await services.access.present_conversation(caller.user_id, conversation_id)
    async with services.database() as connection:
        await pins.pin(connection, caller.user_id, conversation_id)
    return Response(status_code=204)


@router.delete("/v1/conversations/{conversation_id}/pin", status_code=204)
async def unpin(services: ServicesOf, caller: Caller, conversation_id: IdInPath) -> Response:
    await services.access.present_conversation(caller.user_id, conversation_id)
    async with services.database() as connection:
        await pins.unpin(connection, caller.user_id, conversation_id)
    return Response(status_code=204)

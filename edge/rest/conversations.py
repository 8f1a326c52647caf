"""Conversations: started, listed, renamed, archived and deleted. Changes go the one way, through the log."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from msgspec import UNSET, UnsetType

from edge.commands import Changed
from edge.errors import Refused
from edge.rest import answers
from edge.rest.fields import Body, Cursor, Id, IdInPath, Limit, Text, Title
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.services import Caller, Services, ServicesOf
from infra import history
from schemas.frames import ErrorCode

router = APIRouter(tags=["conversations"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND))

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

    title: Title | None = None
    archived: bool | None = None
    agent_id: Id | None = None


async def _read(services: Services, conversation_id: str) -> answers.Conversation:
    async with services.database() as connection:
        view = await history.load_view(connection, conversation_id)
    if view is None or view.deleted:
        raise Refused(ErrorCode.NOT_FOUND)
    return answers.Conversation(
        id=view.conversation_id,
        project_id=view.project_id,
        title=view.title,
        archived=view.archived,
        deleted=view.deleted,
        agent_id=view.agent_id,
        created_by=view.created_by,
        created_at=view.created_at,
        updated_at=view.updated_at,
    )


def _safe(changed: Changed) -> Response:
    named = answers.ConversationNamed(id=changed.conversation_id)
    return Response(named.model_dump_json(), 202, media_type="application/json")


@router.get("/v1/projects/{project_id}/conversations")
async def conversations(
    services: ServicesOf,
    caller: Caller,
    project_id: IdInPath,
    archived: bool = False,
    q: Annotated[Text | None, Query(max_length=200, description="Only those whose title contains it.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> answers.Page[answers.Conversation]:
    """A project's conversations, newest activity first: those that are archived, or those that are not."""
    await services.access.project_role(caller.user_id, project_id)
    async with services.database() as connection:
        found = await history.conversation_summaries(
            connection, project_id, archived=archived, title=q, before=key_of(cursor), limit=limit + 1
        )
    shown = [answers.Conversation.model_validate(one) for one in found]
    return page(shown, limit, lambda c: (c.updated_at, c.id))


@router.post(
    "/v1/projects/{project_id}/conversations",
    status_code=201,
    response_model=answers.Conversation,
    responses=_REFUSED_CHANGE | _SAFE,
)
async def create_conversation(
    services: ServicesOf, caller: Caller, project_id: IdInPath, new: NewConversation, response: Response
) -> answers.Conversation | Response:
    agent_id = new.agent_id if "agent_id" in new.model_fields_set else UNSET
    changed = await services.reached().commands.create(
        caller.user_id, project_id=project_id, conversation_id=new.id, title=new.title, agent_id=agent_id
    )
    if not changed.readable:
        return _safe(changed)
    response.headers["Location"] = f"/v1/conversations/{changed.conversation_id}"
    return await _read(services, changed.conversation_id)


@router.get("/v1/conversations/{conversation_id}")
async def conversation(services: ServicesOf, caller: Caller, conversation_id: IdInPath) -> answers.Conversation:
    await services.access.conversation(caller.user_id, conversation_id)
    return await _read(services, conversation_id)


@router.patch(
    "/v1/conversations/{conversation_id}",
    response_model=answers.Conversation,
    responses=_REFUSED_CHANGE | refusals(ErrorCode.CONVERSATION_ARCHIVED) | _SAFE,
)
async def change_conversation(
    services: ServicesOf, caller: Caller, conversation_id: IdInPath, change: ConversationChange
) -> answers.Conversation | Response:
    """Rename, archive, restore, or let another agent answer."""
    given = change.model_fields_set
    archived: bool | UnsetType = UNSET if change.archived is None else change.archived
    changed = await services.reached().commands.update(
        caller.user_id,
        conversation_id=conversation_id,
        title=change.title if "title" in given else UNSET,
        archived=archived,
        agent_id=change.agent_id if "agent_id" in given else UNSET,
    )
    return await _read(services, changed.conversation_id) if changed.readable else _safe(changed)


@router.delete("/v1/conversations/{conversation_id}", status_code=204, responses=_REFUSED_CHANGE | _SAFE)
async def delete_conversation(services: ServicesOf, caller: Caller, conversation_id: IdInPath) -> Response:
    changed = await services.reached().commands.delete(caller.user_id, conversation_id=conversation_id)
    return Response(status_code=204) if changed.readable else _safe(changed)

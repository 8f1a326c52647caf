"""Messages: read in the conversation's own order, sent, and answered again."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from msgspec import UNSET, structs
from pydantic import Field

from edge.errors import invalid
from edge.rest import answers
from edge.rest.fields import Body, Id, IdInPath, Limit, Said, Text
from edge.rest.openapi import refusals
from edge.rest.services import Caller, ServicesOf
from infra import history
from schemas.frames import MAX_CONTENT_CHARACTERS, ErrorCode

router = APIRouter(
    prefix="/v1/conversations/{conversation_id}/messages",
    tags=["messages"],
    responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND),
)

_LARGEST_POSITION = 2**62

PositionCursor = Annotated[
    str | None, Query(max_length=40, description="A message's `cursor`: only messages on that side of it.")
]


class NewMessage(Body):
    """The same `client_message_id` again gives the same answer and has no other effect.

    Without `agent_id` the conversation's agent answers; with null nobody does.
    """

    client_message_id: Id
    content: Annotated[Text, Said(minLength=1, maxLength=MAX_CONTENT_CHARACTERS)]
    agent_id: Id | None = None
    when_busy: Literal["enqueue", "reject", "interrupt", "rollback"] = "enqueue"
    edits: Annotated[Id | None, Field(description="The caller's own message that this one is to stand beside.")] = None


class AnswerAgain(Body):
    client_request_id: Id


def _position(name: str, cursor: str | None, epoch: str) -> int | None:
    if cursor is None:
        return None
    of, _, position = cursor.partition(":")
    if not position.isdecimal() or int(position) > _LARGEST_POSITION:
        raise invalid(**{name: "is no cursor"})
    if of != epoch:
        raise invalid(**{name: "is a cursor of a log that was made anew since; read again without it"})
    return int(position)


@router.get("")
async def messages(
    services: ServicesOf,
    caller: Caller,
    conversation_id: IdInPath,
    after: PositionCursor = None,
    before: PositionCursor = None,
    limit: Limit = 50,
) -> answers.Messages:
    """Messages, oldest first: the first ones (`after` one), or with `before` alone the last ones before it."""
    await services.access.present_conversation(caller.user_id, conversation_id)
    epoch = services.reached().epoch
    first, last = _position("after", after, epoch), _position("before", before, epoch)
    await services.caught_up(conversation_id)
    async with services.reading() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await history.messages(
            connection,
            conversation_id,
            after=first,
            before=last,
            limit=limit,
            newest=first is None and last is not None,
        )
        top = await history.position(connection, conversation_id)
    return answers.Messages(
        data=[
            answers.Message.model_validate({"cursor": f"{epoch}:{position}", **structs.asdict(message)})
            for position, message in rows
        ],
        epoch=epoch,
        top=top,
    )


@router.post(
    "",
    status_code=202,
    response_model_exclude_unset=True,
    responses=refusals(
        ErrorCode.FORBIDDEN,
        ErrorCode.INVALID,
        ErrorCode.IDEMPOTENCY_MISMATCH,
        ErrorCode.CONVERSATION_BUSY,
        ErrorCode.CONVERSATION_ARCHIVED,
        ErrorCode.TOO_LARGE,
        ErrorCode.INSUFFICIENT_CREDITS,
    ),
)
async def send(services: ServicesOf, caller: Caller, conversation_id: IdInPath, new: NewMessage) -> answers.MessageSent:
    """Say something; the same as `message.send` on the WebSocket."""
    sent = await services.reached().commands.send_message(
        caller.user_id,
        conversation_id=conversation_id,
        client_message_id=new.client_message_id,
        content=new.content,
        agent_id=new.agent_id if "agent_id" in new.model_fields_set else UNSET,
        when_busy=new.when_busy,
        edits=new.edits,
    )
    readable = {} if sent.cursor is None else {"cursor": sent.cursor}
    return answers.MessageSent(message_id=sent.message_id, run_id=sent.run_id, **readable)


@router.post(
    "/{message_id}/regenerate",
    status_code=202,
    responses=refusals(ErrorCode.FORBIDDEN, ErrorCode.CONVERSATION_ARCHIVED, ErrorCode.INSUFFICIENT_CREDITS),
)
async def regenerate(
    services: ServicesOf, caller: Caller, conversation_id: IdInPath, message_id: IdInPath, request: AnswerAgain
) -> answers.RunNamed:
    """Another answer to a question, beside those that it has; `message_id` is the question or one of its answers."""
    run_id = await services.reached().commands.regenerate(
        caller.user_id,
        conversation_id=conversation_id,
        message_id=message_id,
        client_request_id=request.client_request_id,
    )
    return answers.RunNamed(run_id=run_id)

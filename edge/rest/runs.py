"""Runs: how an answer is coming along, stopping it, and its text as it is written."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse

from edge.errors import Refused, invalid
from edge.rest import answers
from edge.rest.fields import IdInPath
from edge.rest.following import Following, Told, content
from edge.rest.openapi import refusals
from edge.rest.services import Caller, Services, ServicesOf
from infra import history
from infra.deltas import Deltas
from infra.history import StoredRun
from infra.redis import AWAY
from schemas.frames import ErrorCode, RunDelta

router = APIRouter(
    prefix="/v1/conversations/{conversation_id}/runs/{run_id}",
    tags=["runs"],
    responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND),
)

EVENT_STREAM: Final = "text/event-stream"
_READABLE_WITHIN_S: Final = 2.0
"""Seconds that a reader waits for history: who has just been told a run's id asks for it at once."""
_LARGEST_SEQ: Final = 2**31


async def _run(services: Services, user_id: str, conversation_id: str, run_id: str) -> StoredRun:
    await services.access.present_conversation(user_id, conversation_id)
    await services.caught_up(conversation_id)
    async with services.database() as connection:
        found = await history.run(connection, conversation_id, run_id)
    if found is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return found


@router.get("")
async def run(services: ServicesOf, caller: Caller, conversation_id: IdInPath, run_id: IdInPath) -> answers.Run:
    found = await _readable_run(services, caller.user_id, conversation_id, run_id)
    return answers.Run.model_validate(msgspec.structs.asdict(found) | {"agent_id": found.agent.agent_id})


@router.post("/cancel", status_code=202, responses=refusals(ErrorCode.RUN_ENDED, ErrorCode.FORBIDDEN))
async def cancel(
    services: ServicesOf, caller: Caller, conversation_id: IdInPath, run_id: IdInPath
) -> answers.RunStatus:
    """Stop the answer; what was written of it stays. Doing it again answers the same."""
    status = await services.reached().commands.cancel(caller.user_id, conversation_id=conversation_id, run_id=run_id)
    return answers.RunStatus(status=status)


@router.get(
    "/events",
    response_model=answers.RunEvents,
    responses={
        200: {
            "description": "The deltas; with `Accept: text/event-stream` as they come, up to the run's end. An event's "
            "id is `attempt:seq`, its name and data those of the WebSocket's `run.delta`, `run.restarted` and "
            "`run.finished`.",
            "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
        }
    },
)
async def run_events(
    services: ServicesOf,
    caller: Caller,
    conversation_id: IdInPath,
    run_id: IdInPath,
    after_seq: Annotated[int, Query(ge=0, le=_LARGEST_SEQ, description="The last delta that the reader has.")] = 0,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[str | None, Header(max_length=40, description="The last event that came.")] = None,
) -> Response | answers.RunEvents:
    """An answer's text, as far as it is written, after what the reader has."""
    found = await _readable_run(services, caller.user_id, conversation_id, run_id)
    if EVENT_STREAM in accept:
        attempt, seq = _from(last_event_id) or (0, after_seq)
        following = Following(services, caller, found, attempt, seq)
        unbuffered = {"X-Accel-Buffering": "no"}  # as reverse proxies understand it
        return StreamingResponse(_as_events(following.told()), media_type=EVENT_STREAM, headers=unbuffered)
    try:
        texts = await Deltas(services.redis).read(run_id, found.attempt, after_seq) if found.attempt else []
    except AWAY as error:
        raise Refused(ErrorCode.UNAVAILABLE) from error
    deltas = [answers.Delta(from_seq=n, seq=n, text=text) for n, text in enumerate(texts, after_seq + 1)]
    if found.ended_at is not None and after_seq + len(texts) < found.last_seq:
        whole = await content(services, found)
        deltas = [] if whole is None else [answers.Delta(from_seq=1, seq=found.last_seq, text=whole)]
    return answers.RunEvents(run_id=run_id, status=found.status, attempt=found.attempt, data=deltas)


async def _readable_run(services: Services, user_id: str, conversation_id: str, run_id: str) -> StoredRun:
    deadline = asyncio.get_running_loop().time() + _READABLE_WITHIN_S
    while True:
        try:
            return await _run(services, user_id, conversation_id, run_id)
        except Refused as refused:
            if refused.code != ErrorCode.NOT_FOUND or asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(0.1)


def _from(last_event_id: str | None) -> tuple[int, int] | None:
    if last_event_id is None:
        return None
    attempt, _, seq = last_event_id.partition(":")
    if not (attempt.isdecimal() and seq.isdecimal()) or max(int(attempt), int(seq)) > _LARGEST_SEQ:
        raise invalid(**{"last-event-id": "is no id of an event"})
    return int(attempt), int(seq)


async def _as_events(told: AsyncIterator[Told]) -> AsyncIterator[bytes]:
    """Server-Sent Events (WHATWG HTML, 9.2). JSON has no line breaks of its own, so one `data` line holds it."""
    async for frame in told:
        if frame is None:
            yield b": still here\n\n"
            continue
        body = msgspec.json.encode(frame)
        name = frame.__struct_config__.tag
        position = f"id: {frame.attempt}:{frame.seq}\n" if isinstance(frame, RunDelta) else ""
        yield f"{position}event: {name}\n".encode() + b"data: " + body + b"\n\n"

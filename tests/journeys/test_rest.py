"""The same journey over REST alone, as a script or a server would make it."""

import asyncio
import json
from uuid import uuid4

import aiohttp
import pytest

from tests.client import Person, Refusal

PATIENCE_S = 20


async def ended(person: Person, conversation: str, run_id: str) -> dict[str, object]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            run = await person.call("GET", f"/v1/conversations/{conversation}/runs/{run_id}")
            if run["status"] in ("completed", "cancelled", "failed"):
                return dict(run)
            await asyncio.sleep(0.1)


async def test_ask_and_read(person: Person) -> None:
    """A message that was posted is answered; run and messages say the same."""
    conversation = await person.conversation()
    body = {"client_message_id": str(uuid4()), "content": "/tokens 6"}
    posted = await person.call("POST", f"/v1/conversations/{conversation}/messages", body)
    run = await ended(person, conversation, posted["run_id"])

    assert run["status"] == "completed"
    kept = await person.messages(conversation)
    assert [m["run_id"] for m in kept if m["role"] == "assistant"] == [posted["run_id"]]
    assert await person.call("POST", f"/v1/conversations/{conversation}/messages", body) | {
        "cursor": None
    } == posted | {"cursor": None}


async def test_a_runs_events_as_a_stream(person: Person, http: aiohttp.ClientSession) -> None:
    """Server-Sent Events carry the same deltas as the socket, to the end of the run."""
    conversation = await person.conversation()
    body = {"client_message_id": str(uuid4()), "content": "/tokens 20 /delay 20"}
    posted = await person.call("POST", f"/v1/conversations/{conversation}/messages", body)
    headers = {"Authorization": f"Bearer {person.access_token}", "Accept": "text/event-stream"}
    text = ""
    async with (
        asyncio.timeout(PATIENCE_S),
        http.get(
            f"{person.base}/v1/conversations/{conversation}/runs/{posted['run_id']}/events", headers=headers
        ) as stream,
    ):
        async for line in stream.content:
            if line.startswith(b"data:"):
                frame = json.loads(line[5:])
                if frame["type"] == "run.delta":
                    text += frame["text"]
                if frame["type"] == "run.finished":
                    break

    assert text == (await person.messages(conversation))[-1]["content"] != ""


async def test_cancel(person: Person) -> None:
    """A run can be stopped over REST; stopping one that ended by itself answers 409."""
    conversation = await person.conversation()
    body = {"client_message_id": str(uuid4()), "content": "/tokens 1000 /delay 20"}
    posted = await person.call("POST", f"/v1/conversations/{conversation}/messages", body)
    await person.call("POST", f"/v1/conversations/{conversation}/runs/{posted['run_id']}/cancel")
    assert (await ended(person, conversation, posted["run_id"]))["status"] == "cancelled"

    done = await person.call(
        "POST",
        f"/v1/conversations/{conversation}/messages",
        {"client_message_id": str(uuid4()), "content": "/tokens 2"},
    )
    await ended(person, conversation, done["run_id"])
    with pytest.raises(Refusal) as refused:
        await person.call("POST", f"/v1/conversations/{conversation}/runs/{done['run_id']}/cancel")
    assert (refused.value.status, refused.value.code) == (409, "run_ended")

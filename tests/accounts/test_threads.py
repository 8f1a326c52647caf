"""Threads as people use them, through the log and back: named by themselves, edited, had back, and gone."""

import asyncio
import json
import signal
from typing import Any
from uuid import uuid4

import pytest

from schemas import ids
from tests.conftest import StartProcess
from tests.stack.rest_api import Api, Someone

PATIENCE_S = 40.0


@pytest.fixture
async def ada(api: Api) -> Someone:
    return await api.sign_up()


@pytest.fixture
async def heart(start_process: StartProcess) -> None:
    """The processors that a message and its answer go through."""
    await asyncio.gather(*(start_process("streams", role) for role in ("conversations", "history", "replies")))


async def echo(ada: Someone, project_id: str) -> str:
    """The agent that says what it is told to."""
    agents = (await ada.call("GET", f"/v1/projects/{project_id}/agents")).json["data"]
    return next(str(agent["id"]) for agent in agents if agent["config"]["kind"] == "scripted")


async def until(ada: Someone, path: str, is_so: Any) -> Any:
    """What is read there, once it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await ada.call("GET", path)
            if is_so(answer.json):
                return answer.json
            await asyncio.sleep(0.05)


async def test_a_thread_of_ones_own(ada: Someone, heart: None) -> None:
    """Named after its first exchange, and never against its people; a question said differently and an answer made anew
    stand beside the first; all of it in the file that is taken home."""
    project_id = await ada.project_id()
    made = await ada.call("POST", f"/v1/projects/{project_id}/conversations", {"agent_id": await echo(ada, project_id)})
    path = made.headers["Location"]
    messages = f"{path}/messages"

    async def say(content: str, **more: Any) -> Any:
        answer = await ada.call("POST", messages, {"client_message_id": str(uuid4()), "content": content, **more})
        assert answer.status == 202, answer
        return answer.json

    async def said(count: int) -> list[dict[str, Any]]:
        return list((await until(ada, messages, lambda found: len(found["data"]) >= count))["data"])

    first = await say("Tell me about rivers, please. /say They all go to the sea.")
    question, answer = await said(2)
    titled = await until(ada, path, lambda found: found["title"] is not None)
    assert titled["title"] == "Tell me about rivers, please"
    listed = await ada.call("GET", f"/v1/projects/{project_id}/conversations", q="RIVERS")
    assert [c["title"] for c in listed.json["data"]] == [titled["title"]]

    assert (await ada.call("PATCH", path, {"title": "Mine"})).json["title"] == "Mine"
    edited = await say("Tell me about lakes. /say They stay.", edits=question["id"])
    await said(4)
    again = await ada.call("POST", f"{messages}/{answer['id']}/regenerate", {"client_request_id": str(uuid4())})
    assert again.status == 202
    everything = await said(5)
    assert (await ada.call("GET", path)).json["title"] == "Mine"

    by_id = {m["id"]: m for m in everything}
    assert by_id[edited["message_id"]]["parent_message_id"] is question["parent_message_id"] is None
    other = by_id[ids.answer_id(again.json["run_id"])]
    assert other["parent_message_id"] == answer["parent_message_id"] == first["message_id"]

    # The same request again changes nothing; the same id for another one is refused, and so is what is no question.
    body = {"client_message_id": str(uuid4()), "content": "Once", "agent_id": None, "edits": question["id"]}
    once = await ada.call("POST", messages, body)
    assert (await ada.call("POST", messages, body)).json["message_id"] == once.json["message_id"]
    assert (await ada.call("POST", messages, body | {"edits": None})).code == "idempotency_mismatch"
    wrong = {"client_message_id": str(uuid4()), "content": "Not yours", "edits": answer["id"]}
    assert (await ada.call("POST", messages, wrong)).code == "invalid"
    assert (
        await ada.call("POST", messages, wrong | {"edits": str(uuid4()), "client_message_id": str(uuid4())})
    ).code == ("not_found")
    assert len((await ada.call("GET", messages)).json["data"]) == 6

    file = await ada.call("GET", f"{path}/export", format="json")
    assert file.headers["Content-Disposition"].startswith('attachment; filename="mine.json"')
    whole = json.loads(file.text)
    assert [m["id"] for m in whole["messages"]] == [m["id"] for m in everything] + [once.json["message_id"]]
    assert [m["sibling"]["of"] for m in whole["messages"]] == [3, 2, 3, 1, 2, 3]
    assert [m["on_newest_path"] for m in whole["messages"]] == [False] * 5 + [True]
    assert {m["speaker"] for m in whole["messages"]} == {"Ada", "Echo"}
    assert ada.email not in file.text
    markdown = await ada.call("GET", f"{path}/export")
    assert markdown.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert markdown.text.startswith("# Mine\n")
    assert markdown.text.count("\n## Ada\n") == 3
    assert "version 2 of 3" in markdown.text


@pytest.mark.slow
async def test_the_bin_and_the_end(ada: Someone, start_process: StartProcess, database: Any) -> None:
    """What is deleted waits in the bin, comes back as it was, and is gone for good when its time is up: whoever asks
    for that may be killed, and nobody brings it back."""
    conversations = await start_process("streams", "conversations")
    await start_process("streams", "history")
    project_id = await ada.project_id()
    listed = f"/v1/projects/{project_id}/conversations"
    made = await ada.call("POST", listed, {"title": "Kept for a while", "agent_id": None})
    path, here = made.headers["Location"], made.json["id"]
    message = {"client_message_id": str(uuid4()), "content": "a secret", "when_busy": "reject"}
    assert "cursor" in (await ada.call("POST", f"{path}/messages", message)).json
    for _ in range(2):
        assert (await ada.call("PUT", f"{path}/pin")).status == 204

    async def bin() -> list[str]:
        return [c["id"] for c in (await ada.call("GET", listed, deleted="true")).json["data"]]

    assert await bin() == []
    assert (await ada.call("DELETE", path)).status == 204
    assert (await ada.call("GET", listed)).json["data"] == []
    (waiting,) = (await ada.call("GET", listed, deleted="true")).json["data"]
    assert (waiting["id"], waiting["deleted"]) == (here, True)
    assert waiting["deleted_at"] is not None
    assert (await ada.call("GET", f"{path}/export")).code == "not_found"
    for _ in range(2):
        restored = await ada.call("POST", f"{path}/restore")
        assert (restored.status, restored.json["deleted_at"], restored.json["pinned"]) == (200, None, True)
    assert [m["content"] for m in (await ada.call("GET", f"{path}/messages")).json["data"]] == ["a secret"]
    assert await bin() == []

    assert (await ada.call("DELETE", path)).status == 204
    conversations.kill(signal.SIGKILL)
    await conversations.ended()
    assert await bin() == [here]
    # The next worker keeps it for a second only, and looks before all else.
    await start_process("streams", "conversations", CHORUS_DELETED_KEPT_S="1")
    async with asyncio.timeout(PATIENCE_S):
        while await bin():  # noqa: ASYNC110  # nobody could set an event
            await asyncio.sleep(0.1)

    for method, under in (("POST", "/restore"), ("GET", ""), ("DELETE", ""), ("GET", "/messages")):
        assert (await ada.call(method, f"{path}{under}")).code == "not_found"
    assert (await ada.call("POST", listed, {"id": here, "title": "Again"})).status >= 400
    assert await database.fetchval("SELECT count(*) FROM messages WHERE conversation_id = $1", here) == 0
    row = await database.fetchrow("SELECT title, purged FROM conversations WHERE id = $1", here)
    assert tuple(row) == (None, True)

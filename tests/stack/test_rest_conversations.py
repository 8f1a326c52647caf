"""Conversations over REST, through the log and back: what was answered can be read, on any process."""

import asyncio
import signal
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import StartProcess
from tests.running import Running, Stack
from tests.stack.rest_api import Api, Someone, opened, start_api

PATIENCE_S = 30.0


@pytest.fixture
async def history(start_process: StartProcess) -> Running:
    """The processors that a change goes through."""
    await start_process("streams", "conversations")
    return await start_process("streams", "history")


@pytest.fixture
async def ada(api: Api) -> Someone:
    return await api.sign_up()


async def test_a_conversations_life(ada: Someone, history: Running) -> None:
    """Started, renamed, archived, restored and deleted, each told as it is from then on."""
    project_id = await ada.project_id()
    listed = f"/v1/projects/{project_id}/conversations"
    project = (await ada.call("GET", f"/v1/projects/{project_id}")).json
    started = await ada.call("POST", listed, {"title": " Xin chào "})
    assert started.status == 201
    assert started.json["title"] == "Xin chào"
    assert started.json["agent_id"] == project["default_agent_id"]
    path = started.headers["Location"]
    assert (await ada.call("GET", path)).json == started.json

    async def change(**changes: Any) -> dict[str, Any]:
        answer = await ada.call("PATCH", path, changes)
        assert answer.status == 200, answer
        assert (await ada.call("GET", path)).json == answer.json
        return dict(answer.json)

    assert await change(title="Mới") == started.json | {"title": "Mới"}
    assert await change(agent_id=None, title=None) == started.json | {"agent_id": None, "title": None}
    assert (await change(archived=True))["archived"]
    assert (await ada.call("GET", listed)).json["data"] == []
    message = {"client_message_id": str(uuid4()), "content": "Hello"}
    assert (await ada.call("POST", f"{path}/messages", message)).code == "conversation_archived"
    assert not (await change(archived=False))["archived"]
    assert (await ada.call("POST", f"{path}/messages", message)).status == 202
    assert (await ada.call("PATCH", path, {})).code == "invalid"

    for _ in range(2):
        assert (await ada.call("DELETE", path)).status == 204
    for method, body in (("GET", None), ("PATCH", {"title": "Back"})):
        assert (await ada.call(method, path, body)).code == "not_found"
    assert (await ada.call("POST", f"{path}/messages", message)).code == "not_found"
    assert (await ada.call("GET", listed)).json["data"] == []


async def test_starting_the_same_twice(ada: Someone, history: Running) -> None:
    """The same id starts nothing new; nobody's id becomes another's."""
    listed = f"/v1/projects/{await ada.project_id()}/conversations"
    body = {"id": str(uuid4()).upper(), "title": "Once"}
    answers = await asyncio.gather(*(ada.call("POST", listed, body) for _ in range(5)))
    assert {a.status for a in answers} == {201}
    assert len({a.text for a in answers}) == 1
    assert len((await ada.call("GET", listed)).json["data"]) == 1

    bob = await ada.api.sign_up()
    taken = await bob.call("POST", f"/v1/projects/{await bob.project_id()}/conversations", body)
    assert taken.status >= 400
    assert "Once" not in taken.text


async def test_readable_at_once_on_any_process(ada: Someone, history: Running, stack: Stack) -> None:
    """What one process has answered 200, 201 or 204, or 202 with a cursor, another one shows."""
    listed = f"/v1/projects/{await ada.project_id()}/conversations"
    running, url = start_api(stack)
    try:
        async with opened(running, url) as other:
            there = Someone(other, ada.email, ada.signed_in)
            for n in range(10):
                # Asked before, so that the other process remembers that there was none.
                path = f"/v1/conversations/{uuid4()}"
                started = await ada.call("POST", listed, {"id": path.rpartition("/")[2], "agent_id": None})
                assert started.status == 201
                assert (await there.call("GET", path)).json == started.json
                assert (await ada.call("PATCH", path, {"title": f"{n}"})).status == 200
                assert (await there.call("GET", path)).json["title"] == f"{n}"
                message = {"client_message_id": str(uuid4()), "content": "Hello", "when_busy": "reject"}
                sent = (await ada.call("POST", f"{path}/messages", message)).json
                (shown,) = (await there.call("GET", f"{path}/messages")).json["data"]
                assert (shown["id"], shown["cursor"]) == (sent["message_id"], sent["cursor"])
                assert (await ada.call("DELETE", path)).status == 204
                assert (await there.call("GET", path)).status == 404
            assert (await there.call("GET", listed)).json["data"] == []
    finally:
        await running.stop()


@pytest.mark.slow
async def test_safe_but_not_readable_yet(ada: Someone, history: Running) -> None:
    """While history stands still a change is answered 202 after at most a few seconds, and shows once it goes on."""
    listed = f"/v1/projects/{await ada.project_id()}/conversations"
    before = (await ada.call("POST", listed, {})).headers["Location"]
    history.kill(signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE_S):
            started = await ada.call("POST", listed, {"title": "Soon"})
            changed = await ada.call("PATCH", before, {"title": "Soon, too"})
            deleted = await ada.call("DELETE", before)
        assert (started.status, changed.status, deleted.status) == (202, 202, 202)
        assert started.json.keys() == {"id"}
        assert (await ada.call("GET", f"/v1/conversations/{started.json['id']}")).status == 404
    finally:
        history.kill(signal.SIGCONT)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            shown = (await ada.call("GET", listed)).json["data"]
            if [c["title"] for c in shown] == ["Soon"]:
                return
            await asyncio.sleep(0.1)

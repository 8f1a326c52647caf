"""Lists and pages: everything once, in order, however times coincide."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.stack.rest_api import Api, Someone, Written

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


async def pages(someone: Someone, path: str, limit: int, **params: str) -> list[list[dict[str, Any]]]:
    """Every page of a list, by its cursors."""
    found: list[list[dict[str, Any]]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await someone.call("GET", path, limit=limit, **params, **cursor)
        assert answer.status == 200, answer
        found.append(answer.json["data"])
        if answer.json["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json["next_cursor"]}


@pytest.fixture
async def ada(api: Api) -> Someone:
    return await api.sign_up()


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
async def test_conversations_by_their_activity(ada: Someone, written: Written, limit: int) -> None:
    """Newest activity first; those of one moment are neither skipped nor shown twice at a page's edge."""
    project_id = await ada.project_id()
    ids = [
        await written.conversation(project_id, ada.id, updated_at=NOW - timedelta(microseconds=n // 5))
        for n in range(14)
    ]
    found = await pages(ada, f"/v1/projects/{project_id}/conversations", limit)

    shown = [c for page in found for c in page]
    assert sorted(c["id"] for c in shown) == sorted(ids)
    assert [c["updated_at"] for c in shown] == sorted((c["updated_at"] for c in shown), reverse=True)
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)


async def test_pages_hold_while_things_change(ada: Someone, written: Written) -> None:
    """What becomes active between two pages moves to the front; nothing else is shown twice or lost for it."""
    project_id = await ada.project_id()
    ids = [await written.conversation(project_id, ada.id, updated_at=NOW - timedelta(seconds=n)) for n in range(6)]
    path = f"/v1/projects/{project_id}/conversations"
    first = (await ada.call("GET", path, limit=3)).json
    await written.conversation(project_id, ada.id, updated_at=NOW + timedelta(seconds=1))
    second = (await ada.call("GET", path, limit=3, cursor=first["next_cursor"])).json

    assert [c["id"] for c in first["data"] + second["data"]] == ids


async def test_which_conversations(ada: Someone, written: Written) -> None:
    """Archived ones are apart, deleted ones are gone, and a title is found by any part of it, in any case."""
    project_id = await ada.project_id()
    plans = await written.conversation(project_id, ada.id, title="Kế hoạch 100%")
    archived = await written.conversation(project_id, ada.id, title="Old PLANS", archived=True)
    untitled = await written.conversation(project_id, ada.id, title=None)
    await written.conversation(project_id, ada.id, title="Gone", deleted=True)
    path = f"/v1/projects/{project_id}/conversations"

    async def listed(**params: str) -> set[str]:
        return {c["id"] for page in await pages(ada, path, 200, **params) for c in page}

    assert await listed() == {plans, untitled}
    assert await listed(archived="true") == {archived}
    assert await listed(archived="true", q="plans") == {archived}
    assert await listed(q="plans") == set()
    assert await listed(q="kế HOẠCH") == {plans}
    assert await listed(q="100%") == {plans}
    assert await listed(q="%") == {plans}
    assert await listed(q="_") == set()


async def test_a_deleted_conversation_is_gone(ada: Someone, written: Written) -> None:
    """Of what is deleted nothing can be read: it answers as if it had never been."""
    conversation_id = await written.conversation(await ada.project_id(), ada.id, deleted=True)
    run_id = await written.run(conversation_id, ada.id)
    path = f"/v1/conversations/{conversation_id}"
    for one in (path, f"{path}/messages", f"{path}/runs/{run_id}"):
        assert (await ada.call("GET", one)).code == "not_found"


async def test_messages_in_their_order(ada: Someone, written: Written) -> None:
    """Oldest first, each with its cursor; `after` goes on from there, `before` goes back from there."""
    conversation_id = await written.conversation(await ada.project_id(), ada.id, position=30)
    positions = [1, 2, 5, 9, 10, 11, 20]
    for position in positions:
        await written.message(conversation_id, ada.id, position)
    path = f"/v1/conversations/{conversation_id}/messages"

    async def listed(**params: str | int) -> list[int]:
        answer = (await ada.call("GET", path, **params)).json
        assert answer["top"] == 30
        cursors = [m["cursor"].split(":") for m in answer["data"]]
        assert {epoch for epoch, _ in cursors} <= {answer["epoch"]}
        assert [m["content"] for m in answer["data"]] == [f"message {at}" for _, at in cursors]
        return [int(at) for _, at in cursors]

    epoch = (await ada.call("GET", path)).json["epoch"]
    assert await listed() == positions
    assert await listed(limit=3) == [1, 2, 5]
    assert await listed(after=f"{epoch}:5", limit=3) == [9, 10, 11]
    assert await listed(after=f"{epoch}:6", limit=1) == [9]
    assert await listed(after=f"{epoch}:20") == []
    assert await listed(before=f"{epoch}:10", limit=2) == [5, 9]
    assert await listed(before=f"{epoch}:1000", limit=2) == [11, 20]
    assert await listed(before=f"{epoch}:1") == []
    assert await listed(after=f"{epoch}:1", before=f"{epoch}:10") == [2, 5, 9]
    assert await listed(after=f"{epoch}:0") == positions
    assert await listed(before=f"{epoch}:0") == []


@pytest.mark.parametrize(
    "cursor",
    ["", ":", "5", "{epoch}:", "{epoch}:x", "{epoch}:-1", "{epoch}:1.0", "00000000:1", "{epoch}:99999999999999999999"],
)
async def test_cursors_of_another_log(ada: Someone, written: Written, cursor: str) -> None:
    """A position means nothing without its epoch: a cursor of another log, or none at all, is refused by name."""
    conversation_id = await written.conversation(await ada.project_id(), ada.id)
    path = f"/v1/conversations/{conversation_id}/messages"
    epoch = (await ada.call("GET", path)).json["epoch"]
    for name in ("after", "before"):
        answer = await ada.call("GET", path, **{name: cursor.format(epoch=epoch)})
        assert (answer.status, answer.fields) == (422, {name})


async def test_projects_and_members(api: Api, ada: Someone, database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Projects are made, renamed and listed in pages, members and agents too; a new project has its agents."""
    first = await ada.project_id()
    made = [(await ada.call("POST", "/v1/projects", {"name": f" P{n} "})).json for n in range(4)]
    assert [p["name"] for p in made] == ["P0", "P1", "P2", "P3"]
    await database.execute("UPDATE projects SET created_at = $2 WHERE id = ANY($1)", [p["id"] for p in made], NOW)
    listed = [p["id"] for page in await pages(ada, "/v1/projects", 2) for p in page]
    assert sorted(listed) == sorted([p["id"] for p in made] + [first])

    renamed = await ada.call("PATCH", f"/v1/projects/{made[0]['id']}", {"name": "Tên mới"})
    assert renamed.json["name"] == "Tên mới"
    created = await ada.call("POST", "/v1/projects", {"name": "x"})
    assert (created.status, created.headers["Location"]) == (201, f"/v1/projects/{created.json['id']}")
    assert (await ada.call("GET", created.headers["Location"])).json == created.json

    project_id = made[0]["id"]
    for _ in range(4):
        other = await api.sign_up()
        await database.execute("INSERT INTO project_members VALUES ($1, $2, 'member', $3)", project_id, other.id, NOW)
    members = [m for page in await pages(ada, f"/v1/projects/{project_id}/members", 2) for m in page]
    assert sorted(m["role"] for m in members) == ["member"] * 4 + ["owner"]
    assert len({m["user_id"] for m in members}) == 5
    agents = [a for page in await pages(ada, f"/v1/projects/{project_id}/agents", 1) for a in page]
    assert sorted(a["name"] for a in agents) == ["Echo", "SmolLM2"]


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": None}, {"name": 1}, {"name": "x" * 81}, {"name": "a\nb"}])
async def test_projects_without_a_name(ada: Someone, body: dict[str, object]) -> None:
    """A project has a name that can be shown."""
    answer = await ada.call("POST", "/v1/projects", body)

    assert (answer.status, answer.fields) == (422, {"name"})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"client_message_id": "1"}, "client_message_id"),
        ({"client_message_id": None}, "client_message_id"),
        ({"content": None}, "content"),
        ({"content": 1}, "content"),
        ({"content": ""}, "content"),
        ({"content": "a\0b"}, "content"),
        ({"content": "\ud800"}, "content"),
        ({"agent_id": "x"}, "agent_id"),
        ({"when_busy": "never"}, "when_busy"),
    ],
)
async def test_ill_formed_messages(ada: Someone, written: Written, changes: dict[str, object], field: str) -> None:
    """What is wrong with a message is said of the field that is wrong, before anything is stored."""
    conversation_id = await written.conversation(await ada.project_id(), ada.id)
    body = {"client_message_id": str(uuid4()), "content": "Hello"} | changes
    answer = await ada.call("POST", f"/v1/conversations/{conversation_id}/messages", body)

    assert (answer.status, answer.code, answer.fields) == (422, "invalid", {field})


async def test_a_message_that_is_too_long(ada: Someone, written: Written) -> None:
    """16,000 characters are a message, one more is too large."""
    conversation_id = await written.conversation(await ada.project_id(), ada.id)
    path = f"/v1/conversations/{conversation_id}/messages"
    body = {"client_message_id": str(uuid4()), "content": "😀" * 16_001, "agent_id": None}
    assert (await ada.call("POST", path, body)).code == "too_large"

    accepted = await ada.call("POST", path, body | {"content": "😀" * 16_000})
    assert (accepted.status, accepted.json["run_id"]) == (202, None)

"""Nobody sees or does what is not theirs: every operation, with another's ids, answers as for ids that nobody has."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.stack.rest_api import Api, Someone, Written

BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/v1/projects/{project_id}"): {"name": "Mine now"},
    ("POST", "/v1/projects/{project_id}/members"): {"email": "mine@example.org", "role": "viewer"},
    ("PATCH", "/v1/projects/{project_id}/members/{user_id}"): {"role": "viewer"},
    ("POST", "/v1/projects/{project_id}/transfer"): {"user_id": str(uuid4())},
    ("POST", "/v1/projects/{project_id}/agents"): {"name": "Mine now", "config": {"kind": "scripted"}},
    ("PATCH", "/v1/agents/{agent_id}"): {"name": "Mine now"},
    ("POST", "/v1/projects/{project_id}/conversations"): {"title": "Mine now"},
    ("PATCH", "/v1/conversations/{conversation_id}"): {"title": "Mine now", "archived": True},
    ("POST", "/v1/conversations/{conversation_id}/messages"): {
        "client_message_id": str(uuid4()),
        "content": "Mine now",
    },
    ("POST", "/v1/conversations/{conversation_id}/messages/{message_id}/regenerate"): {
        "client_request_id": str(uuid4())
    },
    ("POST", "/v1/projects/{project_id}/credits"): {"amount_micros": 1},
    ("POST", "/v1/projects/{project_id}/ledger/{transaction_id}/reverse"): {"note": "Mine now"},
    ("PUT", "/v1/projects/{project_id}/budgets"): {"data": [{"period": "day", "limit_micros": 1}]},
    ("PUT", "/v1/agents/{agent_id}/price"): {"price": None},
    ("POST", "/v1/projects/{project_id}/webhooks"): {"url": "https://example.org/mine"},
    ("PATCH", "/v1/projects/{project_id}/webhooks/{webhook_id}"): {"url": "https://example.org/mine"},
}
"""A good body for each operation that takes one."""


async def everything(database: "asyncpg.Connection[asyncpg.Record]", project_id: str) -> str:
    """All that there is of a project, as text to compare."""
    return str(
        await database.fetch(
            """
            SELECT p::text FROM projects p WHERE id = $1
            UNION ALL SELECT a::text FROM agents a WHERE project_id = $1
            UNION ALL SELECT m::text FROM project_members m WHERE project_id = $1
            UNION ALL SELECT c::text FROM conversations c WHERE project_id = $1
            UNION ALL SELECT m::text FROM messages m
                WHERE conversation_id IN (SELECT id FROM conversations WHERE project_id = $1)
            UNION ALL SELECT p::text FROM pins p
                WHERE conversation_id IN (SELECT id FROM conversations WHERE project_id = $1)
            UNION ALL SELECT s::text FROM shares s
                WHERE conversation_id IN (SELECT id FROM conversations WHERE project_id = $1)
            UNION ALL SELECT w::text FROM webhooks w WHERE project_id = $1
            UNION ALL SELECT d::text FROM webhook_deliveries d
                WHERE webhook_id IN (SELECT id FROM webhooks WHERE project_id = $1)
            UNION ALL SELECT p::text FROM prices p WHERE project_id = $1
            UNION ALL SELECT b::text FROM budgets b WHERE project_id = $1
            UNION ALL SELECT l::text FROM ledger_entries l WHERE project_id = $1
            UNION ALL SELECT r::text FROM runs r
                WHERE conversation_id IN (SELECT id FROM conversations WHERE project_id = $1)
            """,
            project_id,
        )
    )


BY_LINK = {"/v1/shared/{token}", "/v1/erasures/{receipt_id}"}
"""Whoever has the link, or the receipt, is meant to read there."""


PUBLIC = {"/v1/config"} | {
    f"/v1/auth/{way}" for way in ("register", "login", "refresh", "logout", "password/forgot", "password/reset")
}
"""For people who are not signed in."""
WAYS_IN = re.compile(r"^/v1/auth/oauth/|\{provider\}")
"""Those are tests/accounts/test_oauth's."""


class Theirs:
    """Somebody's things, and how an operation's path reads with their ids."""

    def __init__(self, owner: Someone, ids: dict[str, str]) -> None:
        self.owner = owner
        self.ids = ids

    def path(self, template: str) -> str:
        return template.format(**self.ids)

    def unknown(self, template: str) -> str:
        return template.format(**{name: uuid4() for name in self.ids})


@pytest.fixture
async def adas(api: Api, written: Written) -> Theirs:
    ada = await api.sign_up()
    project_id = await ada.project_id()
    agents = (await ada.call("GET", f"/v1/projects/{project_id}/agents")).json["data"]
    credit = await ada.call("POST", f"/v1/projects/{project_id}/credits", {"amount_micros": 1})
    hook = {"url": "https://example.org/hook"}
    invitation = {"email": f"{uuid4().hex}@example.org", "role": "viewer"}
    invited = (await ada.call("POST", f"/v1/projects/{project_id}/members", invitation)).json
    conversation_id = await written.conversation(project_id, ada.id)
    message_id = await written.message(conversation_id, ada.id, 1)
    return Theirs(
        ada,
        {
            "project_id": project_id,
            "conversation_id": conversation_id,
            "message_id": message_id,
            "run_id": await written.run(conversation_id, ada.id, question_id=message_id),
            "agent_id": agents[0]["id"],
            "user_id": ada.id,
            "invitation_id": invited["invitation_id"],
            "share_id": (await ada.call("POST", f"/v1/conversations/{conversation_id}/shares")).json["id"],
            "webhook_id": (await ada.call("POST", f"/v1/projects/{project_id}/webhooks", hook)).json["id"],
            "transaction_id": credit.json["transaction_id"],
            "month": datetime.now(UTC).strftime("%Y-%m"),
            "session_id": (await ada.call("GET", "/v1/users/me/sessions")).json["data"][0]["id"],
        },
    )


def operations(api: Api) -> list[tuple[str, str]]:
    """Every operation that names a thing."""
    return [
        (method.upper(), template)
        for template, methods in api.document["paths"].items()
        for method in methods
        if "{" in template and not WAYS_IN.search(template) and template not in BY_LINK
    ]


@pytest.mark.slow
async def test_anothers_thing_is_as_good_as_none(
    api: Api, adas: Theirs, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A stranger gets 404 with the very body of a missing thing, and changes nothing."""
    bob = await api.sign_up()
    before = await everything(database, adas.ids["project_id"])
    found = operations(api)
    assert len(found) >= 16
    assert set(BODIES) <= set(found)
    for method, template in found:
        body = BODIES.get((method, template))
        theirs = await bob.call(method, adas.path(template), body)
        missing = await bob.call(method, adas.unknown(template), body)

        assert (theirs.status, theirs.code) == (404, "not_found"), f"{method} {template}: {theirs}"
        assert (theirs.status, theirs.text) == (missing.status, missing.text), f"{method} {template}"
        assert theirs.headers.keys() == missing.headers.keys(), f"{method} {template}"

    assert await everything(database, adas.ids["project_id"]) == before


async def test_a_strangers_thing_under_ones_own(api: Api, adas: Theirs, written: Written) -> None:
    """Another's message, run or agent does not become one's own by way of one's own conversation or project."""
    bob = await api.sign_up()
    project_id = await bob.project_id()
    conversation_id = await written.conversation(project_id, bob.id)
    run_id = adas.ids["run_id"]

    for path in (f"runs/{run_id}", f"runs/{run_id}/events"):
        assert (await bob.call("GET", f"/v1/conversations/{conversation_id}/{path}")).status == 404
    for method, path in (
        ("POST", f"/v1/projects/{project_id}/conversations"),
        ("PATCH", f"/v1/conversations/{conversation_id}"),
    ):
        answer = await bob.call(method, path, {"agent_id": adas.ids["agent_id"]})
        assert (answer.status, answer.code) == (404, "not_found")


async def test_nobody_in_particular(api: Api, adas: Theirs) -> None:
    """Without a token every operation that is somebody's answers 401, whether the thing exists or not."""
    asked = 0
    for template, methods in api.document["paths"].items():
        if template in PUBLIC | BY_LINK or WAYS_IN.search(template):
            continue
        for method in methods:
            body = BODIES.get((method.upper(), template))
            for path in (adas.path(template), adas.unknown(template)):
                answer = await api.call(method.upper(), path, body)
                assert (answer.status, answer.code) == (401, "unauthenticated"), f"{method} {template}"
                asked += 1
    assert asked >= 40


async def test_the_owner_gets_in(adas: Theirs, api: Api) -> None:
    """The ids of these tests are good: what strangers are refused, the owner reads."""
    for method, template in operations(api):
        if method == "GET":
            answer = await adas.owner.call(method, adas.path(template))
            assert answer.status == 200, f"{method} {template}: {answer}"


@pytest.mark.parametrize(("role", "allowed"), [("owner", True), ("admin", True), ("member", False), ("viewer", False)])
async def test_who_may_rename_a_project(
    api: Api, adas: Theirs, database: "asyncpg.Connection[asyncpg.Record]", role: str, allowed: bool
) -> None:
    """Members read; owners and admins rename. Who may not is told so, for they know that it is there."""
    bob = await api.sign_up()
    project_id = adas.ids["project_id"]
    await database.execute("INSERT INTO project_members VALUES ($1, $2, $3)", project_id, bob.id, role)
    path = f"/v1/projects/{project_id}"
    assert (await bob.call("GET", path)).json["role"] == role
    assert {m["role"] for m in (await bob.call("GET", f"{path}/members")).json["data"]} == {"owner", role}
    answer = await bob.call("PATCH", path, {"name": "Ours"})

    assert (answer.status == 200) == allowed
    assert allowed or answer.code == "forbidden"
    assert (await adas.owner.call("GET", path)).json["name"] == ("Ours" if allowed else "Personal")


async def test_viewers_only_read(api: Api, adas: Theirs, database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """A viewer may read everything of a project and write nothing; what they pin is their own."""
    otherwise = {
        "/v1/conversations/{conversation_id}/pin": 204,
        "/v1/conversations/{conversation_id}/shares": 403,
        "/v1/projects/{project_id}/audit": 403,
        "/v1/projects/{project_id}/webhooks": 403,
        "/v1/projects/{project_id}/webhooks/{webhook_id}": 403,
        "/v1/projects/{project_id}/webhooks/{webhook_id}/deliveries": 403,
        "/v1/projects/{project_id}/invitations": 403,
        "/v1/projects/{project_id}/restore": 404,  # it is not deleted
        "/v1/users/me/sessions/{session_id}": 404,  # it is somebody else's
    }
    bob = await api.sign_up()
    await database.execute("INSERT INTO project_members VALUES ($1, $2, 'viewer')", adas.ids["project_id"], bob.id)
    for method, template in operations(api):
        answer = await bob.call(method, adas.path(template), BODIES.get((method, template)))
        expected = otherwise.get(template, 200 if method == "GET" else 403)
        assert answer.status == expected, f"{method} {template}: {answer}"


async def test_agents_keep_their_secrets(
    api: Api, adas: Theirs, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Of an agent's configuration only what is meant to be seen is seen, whatever else is in it."""
    agent_id = adas.ids["agent_id"]
    await database.execute(
        """
        UPDATE agent_versions SET config = config || '{"model": "m", "api_key": "hunter2", "headers": {"x": "hunter2"},
            "base_url": "https://user:hunter2@agent.example/v1"}' WHERE agent_id = $1
        """,
        agent_id,
    )
    answer = await adas.owner.call("GET", f"/v1/agents/{agent_id}")
    listed = await adas.owner.call("GET", f"/v1/projects/{adas.ids['project_id']}/agents")

    assert answer.json["config"]["model"] == "m"
    assert "hunter2" not in answer.text + listed.text

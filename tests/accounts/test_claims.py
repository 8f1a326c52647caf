"""Who somebody is comes from their token alone: what else a request says of it, fields or headers, counts nothing."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from tests.client import PASSWORD, Person, sign_up, socket
from tests.running import DEADLINE_S, Chorus

ELSEWHERE = "198.51.100.66"
HEADERS = {
    "X-Forwarded-For": ELSEWHERE,
    "X-Real-IP": ELSEWHERE,
    "Forwarded": f"for={ELSEWHERE}",
    "X-Role": "owner",
    "X-HTTP-Method-Override": "DELETE",
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


async def test_nobody_is_whom_they_claim_to_be(chorus: Chorus, http: aiohttp.ClientSession) -> None:
    """Mallory signs up, changes, makes and says things as Ada, as an owner, as an agent and from elsewhere: all of it
    is Mallory's, and Ada's account, projects and part of the audit log are as they were."""
    ada = await sign_up(http, chorus.url)
    hers = str(ada.user["id"])
    claims = {
        "actor_id": hers, "author_id": hers, "created_by": hers, "owner_id": hers, "user_id": hers, "sub": hers,
        "agent_id": None, "project_id": ada.project_id, "role": "owner", "is_admin": True, "is_agent": True,
        "email_verified": True, "email_verified_at": "2026-01-01T00:00:00Z", "finish_reason": "stop",
    }  # fmt: skip
    headers = HEADERS | dict.fromkeys(("X-User-Id", "X-Forwarded-User", "X-Remote-User", "Remote-User"), hers)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), headers=headers) as lying:
        address = f"{uuid4().hex}@example.org"
        body = {"email": address, "password": PASSWORD, "display_name": "Mallory"}
        async with lying.post(f"{chorus.url}/v1/auth/register", json=claims | {"id": hers} | body) as answer:
            made = await answer.json()
        mallory = Person(lying, chorus.url, made["user"], made["access_token"], made["refresh_token"])
        me = mallory.user["id"]
        assert (me == hers, made["user"]["email"]) == (False, address)

        change = {"id": hers, "email": ada.user["email"], "password_hash": "x", "display_name": "Mal"}
        profile = await mallory.call("PATCH", "/v1/users/me", claims | change)
        assert (profile["id"], profile["email"], profile["email_verified"]) == (me, address, False)

        project = (await mallory.call("POST", "/v1/projects", claims | {"id": str(uuid4()), "name": "Mine"}))["id"]
        members = (await mallory.call("GET", f"/v1/projects/{project}/members"))["data"]
        assert [member["user_id"] for member in members] == [me]

        conversation = await mallory.call("POST", f"/v1/projects/{project}/conversations", claims)
        assert conversation["project_id"] == project
        path = f"/v1/conversations/{conversation['id']}"
        said = {"client_message_id": str(uuid4()), "content": "I am Ada", "id": str(uuid4())}
        await mallory.call("POST", f"{path}/messages", claims | said)
        async with socket(chorus.ws_url, mallory.access_token) as connection:
            again = {"client_message_id": str(uuid4()), "content": "I am you", "conversation_id": conversation["id"]}
            await connection.command("message.send", **claims | again)
        async with asyncio.timeout(DEADLINE_S):
            while len(messages := await mallory.messages(conversation["id"])) < 2:  # noqa: ASYNC110  # it is polled
                await asyncio.sleep(0.05)
        assert [(m["role"], m["author_id"]) for m in messages] == [("user", me)] * 2

    assert (await ada.call("GET", "/v1/users/me"))["email"] == ada.user["email"]
    assert [one["id"] for one in (await ada.call("GET", "/v1/projects"))["data"]] == [ada.project_id]
    database = await asyncpg.connect(chorus.env["CHORUS_DATABASE_URL"])
    try:
        assert not await database.fetch("SELECT * FROM audit_log WHERE address = $1", ELSEWHERE)
        assert not await database.fetch(
            "SELECT * FROM audit_log WHERE actor_id::text = $1 AND project_id::text = $2", hers, project
        )
    finally:
        await database.close()

"""Services apart: each part of the API in a process of its own, behind one address; one dies, the others go on."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.accounts.ingress import ingress
from tests.client import PASSWORD, Refusal, sign_up
from tests.running import Running, Stack
from tests.stack.rest_api import start_api

AUTH = "auth,config"
USERS = "users,projects"
CHAT = "conversations,messages,runs,agents"


async def document(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/v1/openapi.json") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def status(call: Callable[[], Any]) -> tuple[int, str]:
    """How a call ends: 200 and nothing, or the status and code of a problem."""
    try:
        await call()
    except Refusal as refusal:
        return refusal.status or 0, refusal.code
    return 200, ""


@pytest.mark.slow
async def test_one_part_dies_and_the_others_go_on(stack: Stack) -> None:
    """Auth, users and chat are three processes. With any of them killed, people go on with the other two, the
    dead one served answers 503 with a problem; when it is back, so is everything."""
    parts: dict[str, tuple[Running, str]] = {}
    starting = [asyncio.to_thread(start_api, stack, "--routes", routes) for routes in (AUTH, USERS, CHAT)]
    parts = dict(zip((AUTH, USERS, CHAT), await asyncio.gather(*starting), strict=True))
    documents = {url: await document(url) for _, url in parts.values()}
    shared = [set(found["paths"]) for found in documents.values()]
    assert not shared[0] & shared[1] | shared[1] & shared[2] | shared[0] & shared[2]

    async with ingress(documents) as url, aiohttp.ClientSession() as http:
        ada = await sign_up(http, url)
        conversation_id = str(uuid4())
        chat = f"/v1/projects/{ada.project_id}/conversations"
        journeys: dict[str, Callable[[], Any]] = {
            AUTH: lambda: ada.call("POST", "/v1/auth/login", {"email": ada.user["email"], "password": PASSWORD}),
            USERS: lambda: ada.call("GET", "/v1/users/me"),
            CHAT: lambda: ada.call("GET", chat),
        }
        assert (await status(lambda: ada.call("GET", f"/v1/conversations/{conversation_id}")))[0] == 404
        for dead, (running, address) in parts.items():
            running.kill()
            await running.ended()
            for part, journey in journeys.items():
                expected = (503, "unavailable") if part == dead else (200, "")
                assert await status(journey) == expected, f"{part} while {dead} is dead"
            port = address.rpartition(":")[2]
            again = stack.start("edge", "api", "--routes", dead, CHORUS_HTTP_HOST="127.0.0.1", CHORUS_HTTP_PORT=port)
            parts[dead] = (await again.ready(), address)
            assert await status(journeys[dead]) == (200, "")
    for running, _ in parts.values():
        await running.stop()

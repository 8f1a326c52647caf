"""A removal bites where people are connected, a deletion where agents answer, and a change where nobody asked."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from tests.client import Frame, Person, Refusal, sign_up, socket
from tests.running import Chorus, until

WITHIN_S = 2.5
"""Seconds. On a machine that is not busy it is a tenth of one; without the events it would be three, or never."""
SLOW = "/tokens 400 /delay 100"


@pytest.fixture
async def http() -> Any:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def ada(chorus: Chorus, http: aiohttp.ClientSession) -> Person:
    return await sign_up(http, chorus.url)


async def member(ada: Person, role: str) -> Person:
    """Somebody in Ada's project."""
    ben = await sign_up(ada.http, ada.base, "Ben")
    body = {"email": ben.user["email"], "role": role}
    await ada.call("POST", f"/v1/projects/{ada.project_id}/members", body)
    return ben


def is_lost(conversation_id: str) -> Any:
    def look(frame: Frame) -> bool:
        return frame["type"] == "subscribed" and frame["conversation_id"] == conversation_id and "error" in frame

    return look


async def test_a_removed_member_hears_nothing_more(chorus: Chorus, ada: Person) -> None:
    """On every gateway what they follow is taken away within a second, and they are told; they cannot come back, nor
    say anything; and what Ada says afterwards reaches none of their windows."""
    ben, here = await member(ada, "member"), await ada.conversation()
    gateways = chorus.gateway_urls
    assert len(gateways) == 2
    async with socket(gateways[0], ben.access_token) as one, socket(gateways[1], ben.access_token) as two:
        windows = [one, two]
        for window in windows:
            await window.command("subscribe", conversation_id=here)
        began = time.monotonic()
        await ada.call("DELETE", f"/v1/projects/{ada.project_id}/members/{ben.user['id']}")
        lost = await asyncio.gather(*(window.until(is_lost(here)) for window in windows))
        took_s = time.monotonic() - began
        told = [len(window.pushes) for window in windows]
        for window in windows:
            with pytest.raises(Refusal, match="not_found"):
                await window.command("subscribe", conversation_id=here)
            with pytest.raises(Refusal, match="not_found"):
                await window.send(here, "still here?")
        async with socket(chorus.ws_url, ada.access_token) as adas:
            await adas.command("subscribe", conversation_id=here)
            sent = await adas.send(here, "Is he gone?", agent_id=None)
            await adas.until(lambda f: f["type"] == "message.created" and f["message"]["id"] == sent["message_id"])
            await adas.command("conversation.update", conversation_id=here, title="Gone")
        for window in windows:
            await window.command("ping")

        assert [frame["error"]["code"] for frame in lost] == ["not_found"] * 2
        assert took_s < WITHIN_S
        assert [len(window.pushes) for window in windows] == told


async def test_what_a_role_does_not_allow_is_recorded(chorus: Chorus, ada: Person) -> None:
    """A viewer who sends over the socket is refused and recorded: who, from where, how often; whoever runs the project
    reads it. A stranger is told that there is nothing, and no project of theirs hears of it."""
    ben, here = await member(ada, "viewer"), await ada.conversation()
    eve = await sign_up(ada.http, ada.base, "Eve")
    async with socket(chorus.ws_url, ben.access_token) as bens, socket(chorus.ws_url, eve.access_token) as eves:
        for _ in range(3):
            with pytest.raises(Refusal, match="forbidden"):
                await bens.send(here, "let me")
            with pytest.raises(Refusal, match="not_found"):
                await eves.send(here, "let me")

    async def refusals() -> list[Frame]:
        found = (await ada.call("GET", f"/v1/projects/{ada.project_id}/audit"))["data"]
        return [entry for entry in found if entry["event"] == "authz_fail"]

    async def are_three() -> bool:
        return sum(entry["what"]["times"] for entry in await refusals()) == 3

    await until("three refusals are recorded", are_three)
    for entry in await refusals():
        assert (entry["actor_id"], entry["result"], entry["address"]) == (ben.user["id"], "failure", "127.0.0.1")
        assert entry["what"]["action"] == "write"


async def test_a_new_member_is_told_at_once(chorus: Chorus, ada: Person) -> None:
    """Whoever is let in hears of the project's conversations on a socket that was open before."""
    ben = await sign_up(ada.http, ada.base, "Ben")
    async with socket(chorus.ws_url, ben.access_token) as window:
        body = {"email": ben.user["email"], "role": "viewer"}
        await ada.call("POST", f"/v1/projects/{ada.project_id}/members", body)

        async def is_told() -> bool:
            here = await ada.conversation()
            await asyncio.sleep(0.2)
            return any(f["type"] == "conversation.created" and f["conversation"]["id"] == here for f in window.pushes)

        await until("Ben hears of a new conversation", is_told)


async def test_a_demoted_member_says_nothing_more(chorus: Chorus, ada: Person) -> None:
    """A member who is a viewer now still reads, and is refused within a second on a socket that was open before."""
    ben, here = await member(ada, "member"), await ada.conversation()
    async with socket(chorus.ws_url, ben.access_token) as window:
        await window.command("subscribe", conversation_id=here)
        await window.send(here, "I may", agent_id=None)
        began = time.monotonic()
        await ada.call("PATCH", f"/v1/projects/{ada.project_id}/members/{ben.user['id']}", {"role": "viewer"})

        async def is_refused() -> bool:
            try:
                await window.send(here, "I may not", agent_id=None)
            except Refusal as refusal:
                return refusal.code == "forbidden"
            return False

        await until("Ben is refused", is_refused)
        took_s = time.monotonic() - began
        sent = await asyncio.create_task(_said_by(chorus, ada, here))
        await window.until(lambda f: f["type"] == "message.created" and f["message"]["id"] == sent)

        assert took_s < WITHIN_S


async def _said_by(chorus: Chorus, ada: Person, here: str) -> str:
    async with socket(chorus.ws_url, ada.access_token) as adas:
        return str((await adas.send(here, "And I may", agent_id=None))["message_id"])


async def test_a_deleted_projects_answers_stop(chorus: Chorus, ada: Person) -> None:
    """The running answer and the one that waits end, everybody is put out, and the conversation is nowhere; restored,
    it is there with what was said until then."""
    here = await ada.conversation()
    async with socket(chorus.ws_url, ada.access_token) as window:
        await window.command("subscribe", conversation_id=here)
        running, waiting = [(await window.send(here, SLOW))["run_id"] for _ in range(2)]
        await window.until(lambda f: f["type"] == "run.delta" and f["run_id"] == running)
        project = await ada.call("GET", f"/v1/projects/{ada.project_id}")
        await ada.call("DELETE", f"/v1/projects/{ada.project_id}", confirm=project["name"])
        await window.until(is_lost(here))
        for path in (f"/v1/conversations/{here}", f"/v1/conversations/{here}/messages"):
            with pytest.raises(Refusal, match="not_found"):
                await ada.call("GET", path)
        with pytest.raises(Refusal, match="not_found"):
            await window.send(here, "anybody?")

        database = await asyncpg.connect(chorus.env["CHORUS_DATABASE_URL"])
        try:

            async def stopped() -> bool:
                ended = "SELECT count(*) FROM runs WHERE id = ANY($1::uuid[]) AND status = 'cancelled'"
                return bool(await database.fetchval(ended, [running, waiting]) == 2)

            await until("both answers have ended", stopped)
        finally:
            await database.close()
        await ada.call("POST", f"/v1/projects/{ada.project_id}/restore")
        said = await ada.messages(here)
        assert [m["content"] for m in said if m["role"] == "user"] == [SLOW, SLOW]


async def test_whom_to_ask_is_chosen_anew_each_time(chorus: Chorus, ada: Person) -> None:
    """By the conversation, or by a message for itself alone; a run says which version answered, with its own words."""
    path = f"/v1/projects/{ada.project_id}/agents"

    async def agent(name: str, prompt: str) -> str:
        config = {"kind": "openai", "url": chorus.agent_url, "model": "scripted", "system_prompt": prompt}
        return str((await ada.call("POST", path, {"name": name, "config": config | {"secret": f"sk-{name}"}}))["id"])

    one, two = await agent("One", "I am one"), await agent("Two", "I am two")
    here = await ada.conversation(agent_id=one)
    async with socket(chorus.ws_url, ada.access_token) as window:
        await window.command("subscribe", conversation_id=here)

        async def asked(**fields: object) -> tuple[str, str]:
            run_id = (await window.send(here, "/context", **fields))["run_id"]
            finished = await window.finished(run_id)
            assert finished["status"] == "completed", finished
            run = await ada.call("GET", f"/v1/conversations/{here}/runs/{run_id}")
            messages = {m["id"]: m for m in await ada.messages(here)}
            return run["agent_id"], messages[run["message_id"]]["content"].splitlines()[0]

        assert await asked() == (one, "system: I am one")
        assert await asked(agent_id=two) == (two, "system: I am two")
        assert await asked() == (one, "system: I am one")
        config = {"kind": "openai", "url": chorus.agent_url, "model": "scripted", "system_prompt": "I am newer"}
        await ada.call("PATCH", f"/v1/agents/{one}", {"config": config})

        async def is_newer() -> bool:
            return (await asked())[1] == "system: I am newer"

        await until("the new version answers", is_newer)
        await ada.call("DELETE", f"/v1/agents/{one}")

        async def is_gone() -> bool:
            try:
                await window.send(here, "/say gone?", client_message_id=str(uuid4()))
            except Refusal as refusal:
                return refusal.code == "invalid"
            return False

        await until("the deleted agent answers no more", is_gone)
        assert (await asked(agent_id=two))[0] == two

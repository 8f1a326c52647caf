"""The same on Docker: `docker compose up` ends at the same page, and a person is answered by the local model."""

import subprocess
from collections.abc import Iterator

import aiohttp
import pytest

from tests.client import sign_up, socket, watch
from tests.running import ROOT, answers_200, eventually

PAGE = "http://127.0.0.1:8080"
PROJECT = "chorus-test"
READY_S = 300


def compose(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["docker", "compose", "-p", PROJECT, *arguments], cwd=ROOT, check=check, timeout=1_800)


@pytest.fixture(scope="module")
def composed() -> Iterator[str]:
    """Everything in containers; taken down afterwards, its volumes too."""
    compose("build")
    try:
        compose("up", "--detach", "--wait", "--wait-timeout", str(READY_S))
        eventually("the page answers", lambda: answers_200(PAGE), 60)
        yield PAGE
    finally:
        compose("logs", "--tail", "40", check=False)
        compose("down", "--volumes", "--timeout", "20", check=False)


@pytest.mark.timeout(2_400)
async def test_a_journey_through_containers(composed: str) -> None:
    """Sign up, ask, watch the answer stream in, and find it kept."""
    async with aiohttp.ClientSession() as http:
        async with http.get(composed) as page:
            assert '<div id="root">' in await page.text()
        async with http.get(f"{composed}/v1/config") as answer:
            ws_url = (await answer.json())["ws_url"]
        person = await sign_up(http, composed)
        conversation = await person.conversation()
        async with socket(ws_url, person.access_token) as online:
            screen = await watch(online, conversation)
            sent = await online.send(conversation, "Say hello in one short sentence.")
            finished = await online.finished(sent["run_id"], 120)

        assert finished["status"] == "completed"
        assert (await person.messages(conversation))[-1]["content"] == screen.runs[sent["run_id"]].text != ""

"""The two scripted providers: one suite judges both."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from agents.openai_http import OpenAIHTTP, http_session
from agents.provider import Provider
from agents.script import Manner
from agents.scripted import Scripted
from agents.scripted_server import ScriptedServer

MANNER = Manner(tokens=6, delay_ms=1)


@dataclass
class ScriptedHTTP:
    """A scripted agent's server, and what it saw."""

    http: aiohttp.ClientSession
    url: str

    def provider(self) -> OpenAIHTTP:
        return OpenAIHTTP(self.http, f"{self.url}/v1", "scripted", api_key="sk-ours", connect_s=2)

    async def stats(self) -> dict[str, Any]:
        async with self.http.get(f"{self.url}/stats") as answer:
            found: dict[str, Any] = await answer.json()
            return found


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with http_session() as session:
        yield session


async def serve(app: web.Application) -> tuple[web.AppRunner, str]:
    """Serve on a free port; the runner, to be cleaned up, and the URL."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def scripted_http(http: aiohttp.ClientSession) -> AsyncIterator[ScriptedHTTP]:
    runner, url = await serve(ScriptedServer(MANNER).application())
    yield ScriptedHTTP(http, url)
    await runner.cleanup()


@pytest.fixture(params=["in the process", "over HTTP"])
def provider(request: pytest.FixtureRequest) -> Provider:
    if request.param == "in the process":
        return Scripted(MANNER)
    scripted: ScriptedHTTP = request.getfixturevalue("scripted_http")
    return scripted.provider()

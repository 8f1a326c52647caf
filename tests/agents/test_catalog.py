"""From a configuration to an agent that can be asked. No database: a table that is a mapping."""

from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

from agents.catalog import Catalog
from agents.openai_http import OpenAIHTTP
from agents.provider import ProviderError, Trouble
from agents.scripted import Scripted
from infra.secrets import Secrets
from infra.settings import AgentSettings, SealingSettings
from schemas.events import AgentRef
from schemas.ids import new_id

SECRETS = Secrets(SealingSettings(bytes(range(32))))
OURS = AgentSettings(url="http://ours:1/v1", model="our-model", key="sk-ours")


class Table:
    """Stands in for `agent_versions`."""

    def __init__(self, config: object, secret: bytes | None = None) -> None:
        self.config = None if config is None else msgspec.json.encode(config).decode()
        self.secret = secret
        self.asked = 0

    async def fetchrow(self, query: str, agent_id: str, version: int) -> dict[str, Any] | None:
        self.asked += 1
        return None if self.config is None else {"config": self.config, "secret": self.secret}


def catalog(http: aiohttp.ClientSession, table: Table) -> Catalog:
    pool: Any = table
    return Catalog(pool, http, OURS, outside=http, secrets=SECRETS)


REF = AgentRef(agent_id=new_id(), version=3)


async def test_the_platforms_agent_has_the_platforms_key(http: aiohttp.ClientSession) -> None:
    """A configuration without an address means our own server; one with an address never gets our key."""
    ours = (await catalog(http, Table({"kind": "openai"})).agent(REF)).provider
    theirs = (await catalog(http, Table({"kind": "openai", "base_url": "http://x/v1/"})).agent(REF)).provider

    assert isinstance(ours, OpenAIHTTP)
    assert (ours._url, ours._headers["Authorization"]) == (URL("http://ours:1/v1/chat/completions"), "Bearer sk-ours")
    assert isinstance(theirs, OpenAIHTTP)
    assert theirs._url == URL("http://x/v1/chat/completions")
    assert "Authorization" not in theirs._headers


async def test_a_version_is_looked_up_once(http: aiohttp.ClientSession) -> None:
    """It never changes; what a later version of this program adds to it is no trouble."""
    table = Table({"kind": "scripted", "context_messages": 10, "timeouts": {"whole_s": 9}, "later": [1]})
    agents = catalog(http, table)
    agent = await agents.agent(REF)

    assert await agents.agent(REF) is agent
    assert table.asked == 1
    assert isinstance(agent.provider, Scripted)
    assert (agent.config.timeouts.whole_s, agent.config.timeouts.connect_s) == (9, 5)


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        {"kind": "container"},
        {"kind": "openai", "base_url": 7},
        {"kind": "openai", "base_url": "http://[::"},
        {"kind": "openai", "timeouts": {"hwole_s": 1}},
    ],
)
async def test_what_cannot_be_used_is_no_agent(http: aiohttp.ClientSession, config: object) -> None:
    """A missing or broken configuration ends runs with a sentence, and not the process."""
    with pytest.raises(ProviderError) as caught:
        await catalog(http, Table(config)).agent(REF)

    assert caught.value.trouble == Trouble.NO_AGENT


async def test_a_secret_is_sent_to_its_own_server_alone(http: aiohttp.ClientSession) -> None:
    """The agent's own key goes with calls to its own address, and is never what the platform's agent gets."""
    config, sealed = {"kind": "openai", "base_url": "https://x/v1"}, SECRETS.seal(REF.agent_id, "sk-theirs")
    theirs = (await catalog(http, Table(config, sealed)).agent(REF)).provider
    ours = (await catalog(http, Table({"kind": "openai"}, sealed)).agent(REF)).provider

    assert isinstance(theirs, OpenAIHTTP)
    assert isinstance(ours, OpenAIHTTP)
    assert theirs._headers["Authorization"] == "Bearer sk-theirs"
    assert ours._headers["Authorization"] == "Bearer sk-ours"


async def test_a_secret_opens_for_its_agent_alone(http: aiohttp.ClientSession) -> None:
    """A row that was copied to another agent, or altered, ends runs with a sentence."""
    config = {"kind": "openai", "base_url": "https://x/v1"}
    copied = SECRETS.seal(new_id(), "sk-theirs")
    altered = SECRETS.seal(REF.agent_id, "sk-theirs")[:-1] + b"x"
    for sealed in (copied, altered, b""):
        with pytest.raises(ProviderError) as caught:
            await catalog(http, Table(config, sealed)).agent(REF)
        assert caught.value.trouble == Trouble.NO_AGENT

"""From an agent's version to whatever answers for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import msgspec
from msgspec import Struct

from agents.openai_http import OpenAIHTTP
from agents.provider import Provider, ProviderError, TimeLimits, Trouble
from agents.script import Manner
from agents.scripted import Scripted
from infra.secrets import Secrets, UnusableSecret
from infra.settings import AgentSettings
from schemas.events import AgentRef


class AgentConfig(Struct, frozen=True, kw_only=True):
    """What `agent_versions.config` says, as far as answering needs it.

    Attributes:
        kind: `openai`, an OpenAI-compatible server, or `scripted`, inside this process.
        base_url, model: null for the platform's own.
        params: passed to the model with each request.
        context_tokens: how much of a conversation the model is shown, in tokens by our estimate. 6,000 leaves room for
            the answer in a window of 8,192, which the smallest models have.
        timeouts: where they differ from the defaults.
        tokens, delay_ms: of a scripted one: how much it says where nothing else is asked, and how fast.
    """

    kind: str
    base_url: str | None = None
    model: str | None = None
    system_prompt: str = ""
    params: Mapping[str, Any] = {}
    context_tokens: int = 6_000
    timeouts: TimeLimits = TimeLimits()
    tokens: int = Manner().tokens
    delay_ms: int = Manner().delay_ms


@dataclass(frozen=True)
class Agent:
    """An agent that can be asked."""

    config: AgentConfig
    provider: Provider


class Catalog:
    """Finds agents. A version never changes, so what was found once is kept for ever.

    Args:
        http: for the platform's own agent, whose address an operator has set.
        outside: for the addresses that people have given their agents.
        secrets: opens what those agents are called with.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        http: aiohttp.ClientSession,
        platform: AgentSettings,
        *,
        outside: aiohttp.ClientSession,
        secrets: Secrets,
    ) -> None:
        self._pool = pool
        self._http = http
        self._platform = platform
        self._outside = outside
        self._secrets = secrets
        self._known: dict[tuple[str, int], Agent] = {}

    async def agent(self, ref: AgentRef) -> Agent:
        """The agent of this version.

        Raises:
            ProviderError: there is none, or its configuration cannot be used.
            one of `infra.postgres.AWAY`: it is not known here, and PostgreSQL is away.
        """
        name = (ref.agent_id, ref.version)
        if (known := self._known.get(name)) is None:
            row = await self._pool.fetchrow(
                "SELECT config, secret FROM agent_versions WHERE agent_id = $1::uuid AND version = $2", *name
            )
            if row is None:
                raise ProviderError(Trouble.NO_AGENT, f"agent {ref.agent_id} has no version {ref.version}")
            known = self._known[name] = self._made(row["config"], self._opened(ref.agent_id, row["secret"]))
        return known

    def _opened(self, agent_id: str, box: bytes | None) -> str | None:
        try:
            return None if box is None else self._secrets.open(agent_id, box)
        except UnusableSecret as error:
            raise ProviderError(Trouble.NO_AGENT, "its secret does not open with this master key") from error

    def _made(self, text: str, secret: str | None) -> Agent:
        try:
            config = msgspec.json.decode(text, type=AgentConfig)
        except msgspec.DecodeError as error:
            raise ProviderError(Trouble.NO_AGENT, f"unusable configuration: {error}") from error
        match config.kind:
            case "openai":
                return Agent(config, self._openai(config, secret))
            case "scripted":
                return Agent(config, Scripted(Manner(tokens=config.tokens, delay_ms=config.delay_ms)))
            case kind:
                raise ProviderError(Trouble.NO_AGENT, f"no agent of kind {kind} can be asked here")

    def _openai(self, config: AgentConfig, secret: str | None) -> OpenAIHTTP:
        ours = config.base_url is None
        try:
            return OpenAIHTTP(
                self._http if ours else self._outside,
                config.base_url or self._platform.url,
                config.model or self._platform.model,
                # Our key is for our own server: a configuration must not be able to have it sent elsewhere.
                api_key=self._platform.key if ours else secret,
                connect_s=config.timeouts.connect_s,
            )
        except ValueError as error:
            raise ProviderError(Trouble.NO_AGENT, "its address is none") from error

"""Stands in for the conversations processor: asks replies for answers, and keeps what it reports."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from redis.asyncio import Redis

from infra import postgres
from infra import redis as our_redis
from infra.deltas import Deltas
from infra.kafka import Publisher
from infra.keyring import Keyring
from infra.settings import KafkaSettings, PostgresSettings, RedisSettings, SealingSettings
from schemas import ids
from schemas.events import (
    AgentRef,
    AnswerRequested,
    CancelRequested,
    ContextMessage,
    RunEndedReport,
    RunStartedReport,
)
from schemas.sealing import DataKey
from schemas.topics import AGENT_REQUESTS, CONVERSATION_COMMANDS, CONVERSATION_PARTITIONS
from tests.running import DEADLINE_S, Stack

Report = RunStartedReport | RunEndedReport


@dataclass
class Asker:
    """Someone who asks, their agent, and everything that is reported about it."""

    publisher: Publisher
    redis: Redis
    pool: "asyncpg.Pool[asyncpg.Record]"
    http: aiohttp.ClientSession
    agent_url: str
    user_id: str
    project_id: str
    agent_id: str
    key: DataKey
    reports: list[Report] = field(default_factory=list)
    envelopes: list[tuple[str, bytes]] = field(default_factory=list)
    """Event id and value of each report, in step with `reports`."""

    def request(self, text: str, **changes: Any) -> AnswerRequested:
        """A request for an answer to `text`, in a conversation of its own unless `changes` say otherwise."""
        conversation_id, question_id = changes.pop("conversation_id", ids.new_id()), ids.new_id()
        run_id = ids.run_id(question_id)
        request = AnswerRequested(
            conversation_id=conversation_id,
            project_id=self.project_id,
            run_id=run_id,
            message_id=ids.answer_id(run_id),
            user_id=self.user_id,
            agent=AgentRef(agent_id=self.agent_id, version=1),
            context=[ContextMessage(message_id=question_id, role="user", content=self.key.seal(question_id, text))],
            requested_at=datetime.now(UTC),
        )
        return msgspec.structs.replace(request, **changes)

    async def ask(self, request: AnswerRequested) -> AnswerRequested:
        """Request it, perhaps again; returned when it is on the topic."""
        await self.publisher.publish(
            AGENT_REQUESTS, request, key=request.conversation_id, id=ids.request_id(request.run_id)
        )
        return request

    async def asked(self, text: str, **changes: Any) -> AnswerRequested:
        return await self.ask(self.request(text, **changes))

    async def cancel(self, request: AnswerRequested) -> None:
        cancel = CancelRequested(conversation_id=request.conversation_id, run_id=request.run_id)
        await self.publisher.publish(
            AGENT_REQUESTS, cancel, key=request.conversation_id, id=ids.cancel_request_id(request.run_id)
        )

    def started(self, request: AnswerRequested) -> list[int]:
        """The attempts that were reported as begun, in order."""
        return [r.attempt for r in self.reports if r.run_id == request.run_id and isinstance(r, RunStartedReport)]

    def ends(self, request: AnswerRequested) -> list[RunEndedReport]:
        return [r for r in self.reports if r.run_id == request.run_id and isinstance(r, RunEndedReport)]

    async def end(self, request: AnswerRequested) -> RunEndedReport:
        """The first end that is reported; waits for it."""
        await self.until(f"{request.run_id} ends", lambda: self.ends(request))
        return self.ends(request)[0]

    def text(self, request: AnswerRequested, end: RunEndedReport) -> str:
        return self.key.unseal(request.message_id, end.content) if end.content else ""

    async def told(self, request: AnswerRequested, attempt: int = 1) -> list[str]:
        """The deltas in Redis."""
        return await Deltas(self.redis).read(request.run_id, attempt)

    async def until(self, what: str, is_so: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        deadline = time.monotonic() + deadline_s
        while not is_so():
            assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
            await asyncio.sleep(0.02)

    async def until_told(self, request: AnswerRequested, count: int = 1, attempt: int = 1) -> list[str]:
        """Wait until Redis has so many deltas."""
        deadline = time.monotonic() + DEADLINE_S
        while len(told := await self.told(request, attempt)) < count:
            assert time.monotonic() < deadline, f"{len(told)} deltas of {request.run_id}, waiting for {count}"
            await asyncio.sleep(0.02)
        return told

    async def calls(self, word: str) -> list[dict[str, Any]]:
        """The calls that the scripted agent saw whose question holds this word."""
        async with self.http.get(f"{self.agent_url.removesuffix('/v1')}/stats") as answer:
            return [call for call in (await answer.json())["calls"] if word in call["asked"]]


@asynccontextmanager
async def asking(stack: Stack, agent_url: str, **config: Any) -> AsyncIterator[Asker]:
    """Someone new with an agent at `agent_url`; `config` is put on top of the agent's configuration."""
    kafka = KafkaSettings.from_env(stack.env)
    user_id, project_id, agent_id = ids.new_id(), ids.new_id(), ids.new_id()
    configuration = {"kind": "openai", "base_url": agent_url, "model": "scripted", **config}
    publisher = Publisher(kafka, "/tests/asking")
    wheres = [TopicPartition(CONVERSATION_COMMANDS.topic, p) for p in range(CONVERSATION_PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    async with (
        await postgres.connect(PostgresSettings.from_env(stack.env)) as pool,
        our_redis.connect(RedisSettings.from_env(stack.env)) as redis,
        aiohttp.ClientSession() as http,
    ):
        await pool.execute("INSERT INTO users (id, email, display_name) VALUES ($1, $2, 'Someone')", user_id, user_id)
        async with pool.acquire() as connection:
            key = await Keyring(pool, SealingSettings.from_env(stack.env)).create(connection, user_id)
        await pool.execute("INSERT INTO projects (id, name) VALUES ($1, 'A project')", project_id)
        await pool.execute(
            "INSERT INTO agents (id, project_id, name) VALUES ($1, $2, 'An agent')", agent_id, project_id
        )
        await pool.execute(
            "INSERT INTO agent_versions (agent_id, version, config) VALUES ($1, 1, $2)",
            agent_id,
            msgspec.json.encode(configuration).decode(),
        )
        await publisher.start()
        await consumer.start()
        consumer.assign(wheres)
        await consumer.seek_to_end(*wheres)
        asker = Asker(publisher, redis, pool, http, agent_url, user_id, project_id, agent_id, key)
        reading = asyncio.ensure_future(_keep_reports(consumer, asker))
        try:
            yield asker
        finally:
            reading.cancel()
            await consumer.stop()
            await publisher.stop()


async def _keep_reports(consumer: AIOKafkaConsumer, asker: Asker) -> None:
    async for record in consumer:
        event, envelope = CONVERSATION_COMMANDS.decode(record.value, record.headers)
        if isinstance(event, Report):
            asker.reports.append(event)
            asker.envelopes.append((envelope.id, record.value))

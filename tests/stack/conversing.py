"""Stands in for the edge and for replies: sends commands and reports, and keeps what conversations writes."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from redis.asyncio import Redis

from infra import postgres
from infra import redis as our_redis
from infra.kafka import Publisher
from infra.keyring import Keyring
from infra.live import decisions_channel
from infra.settings import KafkaSettings, PostgresSettings, RedisSettings, SealingSettings
from schemas import events, ids
from schemas.conversation import running
from schemas.sealing import DataKey
from schemas.topics import AGENT_REQUESTS, CONVERSATION_COMMANDS, CONVERSATION_EVENTS, CONVERSATION_PARTITIONS
from streams.rules.state import State, fold
from tests.running import DEADLINE_S, Stack

Records = list[events.ConversationAdvanced]


@dataclass
class Someone:
    """A person with a data key, who talks in conversations of their own, and hears what is decided."""

    publisher: Publisher
    redis: Redis
    pool: "asyncpg.Pool[asyncpg.Record]"
    key: DataKey
    project_id: str = field(default_factory=ids.new_id)
    agent: events.AgentRef = field(default_factory=lambda: events.AgentRef(agent_id=ids.new_id(), version=1))
    ask: str = field(default_factory=ids.new_id)
    written: dict[str, Records] = field(default_factory=dict)
    """Every record of each conversation, as they stand on the topic."""
    requests: dict[str, list[events.AgentRequest]] = field(default_factory=dict)
    decisions: dict[str, list[events.Decision]] = field(default_factory=dict)

    # -- commands; each returns its own id --

    async def put(self, command: events.ConversationCommand, cause: str | None = None) -> str:
        cause = cause or ids.new_id()
        await self.publisher.publish(CONVERSATION_COMMANDS, command, key=command.conversation_id, id=cause)
        return cause

    def _person(self, conversation_id: str) -> dict[str, Any]:
        return {
            "conversation_id": conversation_id,
            "project_id": self.project_id,
            "user_id": self.key.owner_id,
            "role": "member",
            "ask": self.ask,
        }

    async def create(self) -> str:
        """Start a conversation; its id."""
        conversation_id = ids.new_id()
        title = self.key.seal(conversation_id, "a title")
        await self.put(events.CreateConversation(**self._person(conversation_id), title=title))
        return conversation_id

    def message(self, conversation_id: str, text: str, **changes: Any) -> events.SendMessage:
        """A message whose client id follows from its text."""
        client_id = ids.answer_id(ids.message_id(conversation_id, self.key.owner_id, text))
        message_id = ids.message_id(conversation_id, self.key.owner_id, client_id)
        command = events.SendMessage(
            **self._person(conversation_id),
            message_id=message_id,
            client_message_id=client_id,
            content=self.key.seal(message_id, text),
            digest=self.key.digest(text),
            agent=self.agent,
        )
        return msgspec.structs.replace(command, **changes)

    async def send(self, conversation_id: str, text: str, **changes: Any) -> str:
        """Send a message; the id of its run."""
        command = self.message(conversation_id, text, **changes)
        await self.put(command)
        return ids.run_id(command.message_id)

    async def cancel(self, conversation_id: str, run_id: str) -> str:
        return await self.put(events.CancelRun(**self._person(conversation_id), run_id=run_id))

    async def update(self, conversation_id: str, **changes: Any) -> str:
        return await self.put(events.UpdateConversation(**self._person(conversation_id), **changes))

    # -- reports of replies --

    async def started(self, conversation_id: str, run_id: str, attempt: int = 1) -> None:
        report = events.RunStartedReport(conversation_id=conversation_id, run_id=run_id, attempt=attempt)
        await self.put(report, ids.started_id(run_id, attempt))

    def end(self, conversation_id: str, run_id: str, attempt: int = 1, **changes: Any) -> events.RunEndedReport:
        report = events.RunEndedReport(
            conversation_id=conversation_id,
            run_id=run_id,
            attempt=attempt,
            last_seq=2,
            status="completed",
            finish_reason="stop",
            content=self.key.seal(ids.answer_id(run_id), f"answer {run_id}"),
        )
        return msgspec.structs.replace(report, **changes)

    async def ended(self, conversation_id: str, run_id: str, attempt: int = 1, **changes: Any) -> str:
        report = self.end(conversation_id, run_id, attempt, **changes)
        return await self.put(report, ids.ended_id(run_id, attempt))

    # -- what came of it --

    def story(self, conversation_id: str) -> Records:
        """What every reader is told: the first record of each position, in order; nothing behind a hole."""
        told: Records = []
        for record in self.written.get(conversation_id, []):
            if record.position == len(told) + 1:
                told.append(record)
        return told

    def state(self, conversation_id: str) -> State | None:
        state: State | None = None
        for record in self.story(conversation_id):
            state = fold(state, record)
        return state

    def tags(self, conversation_id: str) -> list[list[str]]:
        """The story, as the names of the facts at each position."""
        return [[str(fact.__struct_config__.tag) for fact in r.facts] for r in self.story(conversation_id)]

    def runs_requested(self, conversation_id: str) -> list[str]:
        """The runs whose answers were requested, in order, each as often as it was."""
        return [r.run_id for r in self.requests.get(conversation_id, []) if isinstance(r, events.AnswerRequested)]

    def stops_requested(self, conversation_id: str) -> list[str]:
        return [r.run_id for r in self.requests.get(conversation_id, []) if isinstance(r, events.CancelRequested)]

    async def until(self, what: str, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not is_so():
            assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
            await asyncio.sleep(0.02)

    async def told(self, conversation_id: str, positions: int) -> Records:
        """Wait until the story has so many positions."""
        await self.until(
            f"{positions} positions of {conversation_id}", lambda: len(self.story(conversation_id)) >= positions
        )
        return self.story(conversation_id)

    async def requested(self, conversation_id: str, run_id: str, times: int = 1) -> None:
        await self.until(
            f"run {run_id} is requested {times} times",
            lambda: self.runs_requested(conversation_id).count(run_id) >= times,
        )

    async def decided(self, cause: str) -> events.Decision:
        """Wait for a command's decision, and for the story up to there."""
        await self.until(f"command {cause} is decided", lambda: self.decisions.get(cause))
        decision = self.decisions[cause][-1]
        await self.told(decision.conversation_id, decision.position)
        return decision

    def holds(self, conversation_id: str) -> None:
        """What must be true of every story, whatever happened to whoever wrote it."""
        story = self.story(conversation_id)
        positions = {record.position for record in self.written[conversation_id]}
        assert positions == set(range(1, len(story) + 1)), "no position is missing"
        assert max(Counter(r.cause for r in story).values()) == 1, "one command, at most one record"
        for kind, key in (
            (events.MessagePosted, "message_id"),
            (events.RunQueued, "run_id"),
            (events.RunEnded, "run_id"),
        ):
            counted = Counter(getattr(f, key) for r in story for f in r.facts if isinstance(f, kind))
            assert set(counted.values()) <= {1}, f"no {kind.__name__} twice"
        state = self.state(conversation_id)
        assert state is not None
        assert not state.view.runs or running(state.view) is not None, "nobody waits while nothing runs"


@asynccontextmanager
async def conversing(stack: Stack) -> AsyncIterator[Someone]:
    """Someone who listens to the topics and to their decisions from now on."""
    kafka = KafkaSettings.from_env(stack.env)
    publisher = Publisher(kafka, "/test/edge")
    await publisher.start()
    async with (
        await postgres.connect(PostgresSettings.from_env(stack.env)) as pool,
        our_redis.connect(RedisSettings.from_env(stack.env)) as redis,
    ):
        async with pool.acquire() as connection:
            key = await Keyring(pool, SealingSettings.from_env(stack.env)).create(connection, ids.new_id())
        someone = Someone(publisher, redis, pool, key)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap, enable_auto_commit=False, auto_offset_reset="latest"
        )
        await consumer.start()
        consumer.assign(
            [
                TopicPartition(contract.topic, partition)
                for contract in (CONVERSATION_EVENTS, AGENT_REQUESTS)
                for partition in range(CONVERSATION_PARTITIONS)
            ]
        )
        await consumer.seek_to_end()
        tasks = [asyncio.create_task(_read(consumer, someone)), asyncio.create_task(_hear(redis, someone))]
        try:
            yield someone
        finally:
            for task in tasks:
                task.cancel()
            await consumer.stop()
            await publisher.stop()


async def _read(consumer: AIOKafkaConsumer, someone: Someone) -> None:
    async for record in consumer:
        conversation_id = record.key.decode()
        if record.topic == CONVERSATION_EVENTS.topic:
            event, _ = CONVERSATION_EVENTS.decode(record.value, record.headers)
            someone.written.setdefault(conversation_id, []).append(event)
        else:
            request, _ = AGENT_REQUESTS.decode(record.value, record.headers)
            someone.requests.setdefault(conversation_id, []).append(request)


async def _hear(redis: Redis, someone: Someone) -> None:
    async with redis.pubsub() as channel:
        await channel.subscribe(decisions_channel(someone.ask))
        while True:
            message = await channel.get_message(ignore_subscribe_messages=True, timeout=10)
            if message is not None:
                decision = msgspec.json.decode(message["data"], type=events.Decision)
                someone.decisions.setdefault(decision.command_id, []).append(decision)

"""Fixtures that tests of notifications share: real parts, and people in a project whose log a test plays by hand."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis

from infra import presence
from infra.keyring import Keyring
from infra.presence import PresenceMessage
from infra.settings import KafkaSettings
from schemas import events, ids
from schemas.sealing import DataKey
from streams.intake import Delivery
from streams.workers.notifications import NotificationsSink
from tests.projections.conftest import delivered, keyring, pool, redis
from tests.running import Stack
from tests.stack.rest_api import api, api_process, database, written
from tests.stack.stage import Someone, Stage, staged

__all__ = ["api", "api_process", "database", "keyring", "pool", "redis", "written"]


@pytest.fixture
async def stage(stack: Stack) -> AsyncIterator[Stage]:
    async with staged(stack) as stage:
        yield stage


@dataclass
class Told:
    """A project of Ada's with Bob in it, one conversation there, and its log: partition 0 of a topic of its own."""

    pool: Any
    redis: Redis
    kafka: KafkaSettings
    keyring: Keyring
    ada: Someone
    bob: Someone
    key: DataKey
    topic_id: str = field(default_factory=ids.new_id)
    conversation_id: str = field(default_factory=ids.new_id)
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    known: set[str] = field(default_factory=set)
    log: list[Delivery[events.ConversationAdvanced]] = field(default_factory=list)

    async def sink(self) -> NotificationsSink:
        """A sink, as in a process that has just started and owns the partition."""
        made = NotificationsSink(self.pool, self.redis, self.keyring, self.kafka, self.topic_id, self.stored.set)
        if self.topic_id not in self.known:  # Kafka has no such log: what was read of it would seem to be cut back
            self.known.add(self.topic_id)
            await made.assigned({0: 0})
        return made

    def write(self, *facts: events.AnyFact, at: datetime | None = None) -> Delivery[events.ConversationAdvanced]:
        """The next record of the log."""
        record = events.ConversationAdvanced(
            conversation_id=self.conversation_id,
            project_id=self.ada.project_id,
            position=len(self.log) + 1,
            cause=ids.new_id(),
            at=at or datetime.now(UTC),
            facts=list(facts),
        )
        self.log += delivered([record], offset=len(self.log))
        return self.log[-1]

    def said(self, text: str) -> events.MessagePosted:
        """Ada says something."""
        message_id = ids.new_id()
        return events.MessagePosted(
            message_id=message_id,
            role="user",
            owner_id=self.ada.user_id,
            author_id=self.ada.user_id,
            content=self.key.seal(message_id, text),
            created_at=datetime.now(UTC),
        )

    def answered(self) -> list[events.AnyFact]:
        """An answer to Ada is complete."""
        run_id = ids.new_id()
        message_id = ids.answer_id(run_id)
        posted = events.MessagePosted(
            message_id=message_id,
            role="assistant",
            owner_id=self.ada.user_id,
            agent_id=self.ada.agent_id,
            content=self.key.seal(message_id, "@Ada done"),
            created_at=datetime.now(UTC),
            run_id=run_id,
        )
        return [posted, ended(run_id, "completed")]

    async def looks(self, someone: Someone, status: Any = "online", gateway: str | None = None) -> str:
        """Somebody looks at the conversation through a living gateway; its name."""
        gateway = gateway or ids.new_id()
        await presence.beat(self.redis, gateway, 30.0)
        message = PresenceMessage(gateway=gateway, user_id=someone.user_id, status=status)
        await presence.tell(self.redis, [(self.conversation_id, message)])
        return gateway

    async def rows(self) -> list[dict[str, Any]]:
        """What is stored of this project, the oldest first."""
        found = await self.pool.fetch(
            "SELECT id::text, user_id::text, kind, data, in_app, told_at, read_at FROM notifications "
            "WHERE project_id = $1 ORDER BY created_at",
            self.ada.project_id,
        )
        return [dict(row) for row in found]

    async def kinds(self) -> list[tuple[str, str]]:
        """Who is told why, the oldest first."""
        names = {self.ada.user_id: "ada", self.bob.user_id: "bob"}
        return [(names[row["user_id"]], row["kind"]) for row in await self.rows()]


def ended(run_id: str, status: str) -> events.RunEnded:
    return events.RunEnded(run_id=run_id, attempt=1, last_seq=1, status=status, finish_reason="stop")


@pytest.fixture
async def told(stage: Stage, stack: Stack, pool: Any, redis: Redis, keyring: Keyring) -> Told:
    ada = await stage.person()
    bob = await stage.person(of=ada, role="viewer")
    await pool.execute("UPDATE users SET display_name = 'Bob' WHERE id = $1", bob.user_id)
    key = await keyring.key(ada.user_id)
    assert key is not None
    return Told(pool, redis, KafkaSettings.from_env(stack.env), keyring, ada, bob, key)

"""A stage for a gateway: real parts, people who may use it, and conversations whose records a test plays by hand."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import msgspec
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from edge.tokens import Tokens, TokenSettings
from infra import postgres
from infra import redis as our_redis
from infra.deltas import DeltaMessage, Deltas, Written, deltas_key
from infra.kafka import epoch_of, topic_ids
from infra.keyring import Keyring
from infra.live import LiveRecord, records_key, state_key
from infra.settings import KafkaSettings, PostgresSettings, RedisSettings, SealingSettings
from schemas import events, ids
from schemas.opened import Opened
from schemas.topics import CONVERSATION_EVENTS
from streams.projections.live import ADVANCE, advance
from tests.rules.following import World
from tests.running import Stack

Database: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


@dataclass
class Someone:
    """A person with a project of their own, an agent in it, and a valid token."""

    user_id: str
    project_id: str
    agent_id: str
    token: str


@dataclass
class Play(World):
    """A conversation whose records are played into Redis and PostgreSQL by hand."""

    stage: "Stage" = field(kw_only=True)

    async def tell(self, live: LiveRecord, *, aloud: bool = True) -> LiveRecord:
        """Write a record into the window and tell it on the channels; not `aloud`: as if the telling had been lost."""
        step = advance(self.epoch, Opened(live.record, frozenset()), self.views[live.record.position - 1])
        arguments = step.arguments if aloud else step.arguments[:8]
        await self.stage.redis.eval(ADVANCE, 2, *step.keys, *arguments)
        return live

    async def tell_all(self) -> None:
        """Tell every record that was not told before; those that were stay as they are."""
        for live in self.records:
            await self.tell(live)

    async def speak(self, run_id: str, attempt: int, *texts: str, aloud: bool = True) -> DeltaMessage:
        """Write deltas and tell them."""
        told = self.say(run_id, attempt, *texts)
        if aloud:
            said = self.deltas[run_id, attempt]
            await Deltas(self.stage.redis).append_many(
                [
                    Written(
                        conversation_id=self.conversation_id,
                        run_id=run_id,
                        attempt=attempt,
                        from_seq=told.from_seq,
                        deltas=said,
                    )
                ]
            )
        else:
            await self.stage.redis.rpush(deltas_key(run_id, attempt), *texts)
        return told

    async def forget(self) -> None:
        """Redis loses the window."""
        await self.stage.redis.delete(state_key(self.conversation_id), records_key(self.conversation_id))

    async def store(self) -> None:
        """Bring PostgreSQL up to date, as history does: in one transaction."""
        async with self.stage.pool.acquire() as connection, connection.transaction():
            await self._store_all(connection)

    async def _store_all(self, db: Database) -> None:
        view = self.view
        await db.execute(
            """
            INSERT INTO conversations (id, project_id, created_by, title, archived, deleted, agent_id,
                last_question_id, position, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            ON CONFLICT (id) DO UPDATE SET title = $4, archived = $5, deleted = $6, last_question_id = $8, position = $9
            """,
            view.conversation_id, view.project_id, view.created_by, view.title, view.archived, view.deleted,
            view.agent_id, view.last_question_id, view.position, view.created_at, view.updated_at,
        )  # fmt: skip
        for live in self.records:
            for fact in live.record.facts:
                await self._store(db, live.record.position, fact)
        for run in view.runs.values():
            await db.execute(
                "UPDATE runs SET status = $2, attempt = $3 WHERE id = $1", run.run_id, run.status, run.attempt
            )

    async def _store(self, db: Database, position: int, fact: events.AnyFact) -> None:
        here = self.conversation_id
        match fact:
            case events.MessagePosted():
                await db.execute(
                    """
                    INSERT INTO messages (id, conversation_id, position, role, author_id, agent_id, owner_id, content,
                        digest, client_message_id, run_id, created_at, parent_message_id)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING
                    """,
                    fact.message_id, here, position, fact.role, fact.author_id, fact.agent_id, fact.owner_id,
                    fact.content, fact.digest, fact.client_message_id, fact.run_id, fact.created_at,
                    fact.parent_message_id,
                )  # fmt: skip
            case events.RunQueued():
                await db.execute(
                    """
                    INSERT INTO runs (id, conversation_id, message_id, question_id, user_id, agent, status, ordinal,
                        queued_at)
                    VALUES ($1, $2, $3, $4, $5, $6, 'queued', $7, now()) ON CONFLICT DO NOTHING
                    """,
                    fact.run_id, here, fact.message_id, fact.question_id, fact.user_id,
                    msgspec.json.encode(fact.agent).decode(), position,
                )  # fmt: skip
            case events.RunEnded():
                await db.execute(
                    """
                    UPDATE runs SET status = $2, attempt = $3, last_seq = $4, finish_reason = $5, ended_at = now(),
                        ended_position = $6 WHERE id = $1
                    """,
                    fact.run_id, fact.status, fact.attempt, fact.last_seq, fact.finish_reason, position,
                )  # fmt: skip
            case events.MessageRejected():
                await db.execute(
                    """
                    INSERT INTO rejections (message_id, conversation_id, client_message_id, user_id, code, position)
                    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
                    """,
                    fact.message_id, here, fact.client_message_id, fact.user_id, fact.code, position,
                )  # fmt: skip
            case _:
                pass

    def words(self, number: int, text: str | None = None) -> events.MessagePosted:
        """A message of the owner's that no agent answers."""
        return self.posted(str(UUID(int=UUID(self.conversation_id).int ^ number)), "user", text or f"words {number}")


class Stage:
    """The clients of a test."""

    def __init__(self, stack: Stack, pool: "asyncpg.Pool[asyncpg.Record]", redis: Redis, epoch: str) -> None:
        self.stack = stack
        self.pool = pool
        self.redis = redis
        self.epoch = epoch
        self.tokens = Tokens(TokenSettings.from_env(stack.env))

    async def person(self, *, role: str = "owner", of: Someone | None = None) -> Someone:
        """Someone new, with a project and an agent of their own, or in the project `of` somebody."""
        user_id = ids.new_id()
        project_id, agent_id = (of.project_id, of.agent_id) if of else (ids.new_id(), ids.new_id())
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO users (id, email, display_name) VALUES ($1, $2, 'Ada')", user_id, f"{user_id}@example.org"
            )
            await Keyring(self.pool, SealingSettings.from_env(self.stack.env)).create(connection, user_id)
            if of is None:
                await connection.execute(
                    "INSERT INTO projects (id, name, default_agent_id) VALUES ($1, 'First', $2)", project_id, agent_id
                )
                await connection.execute(
                    "INSERT INTO agents (id, project_id, name) VALUES ($1, $2, 'Echo')", agent_id, project_id
                )
                await connection.execute(
                    "INSERT INTO agent_versions (agent_id, version, config) VALUES ($1, 1, $2)",
                    agent_id,
                    json.dumps({"kind": "scripted"}),
                )
            await connection.execute(
                "INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, $3)",
                project_id, user_id, role,
            )  # fmt: skip
        return Someone(user_id, project_id, agent_id, self.tokens.mint(user_id, ids.new_id()))

    async def play(self, someone: Someone, *, told: bool = True) -> Play:
        """A new conversation of theirs, known to PostgreSQL and, if `told`, to Redis."""
        play = Play(
            conversation_id=ids.new_id(),
            project_id=someone.project_id,
            user_id=someone.user_id,
            agent_id=someone.agent_id,
            epoch=self.epoch,
            stage=self,
        )
        await play.store()
        if told:
            await play.tell_all()
        return play

    def pid_of(self, role: str) -> int:
        """The process of a part, such as `kafka`."""
        parts = json.loads((self.stack.data / "stack.json").read_text())["parts"]
        return next(int(part["pid"]) for part in parts if part["role"] == role)


@asynccontextmanager
async def staged(stack: Stack) -> AsyncIterator[Stage]:
    pool = await postgres.connect(PostgresSettings.from_env(stack.env))
    redis = our_redis.connect(RedisSettings.from_env(stack.env))
    topic = CONVERSATION_EVENTS.topic
    found = await topic_ids(KafkaSettings.from_env(stack.env), [topic])
    try:
        yield Stage(stack, pool, redis, epoch_of(found[topic]))
    finally:
        pool.terminate()
        await redis.aclose()


class Raw:
    """A connection that says exactly what a test wants said."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, frame: str | bytes | dict[str, Any]) -> None:
        await self.connection.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    async def hear(self, patience_s: float = 20.0) -> dict[str, Any]:
        """The next frame that is no ping."""
        async with asyncio.timeout(patience_s):
            while True:
                frame: dict[str, Any] = json.loads(await self.connection.recv())
                if frame.get("type") != "ping":
                    return frame

    async def ask(self, type: str, **fields: object) -> dict[str, Any]:
        """Send a command and take the reply to it, past any push."""
        await self.say({"id": 77, "type": type, **fields})
        while (frame := await self.hear()).get("id") != 77:
            pass
        return frame

    async def refused(self, type: str, **fields: object) -> str:
        """The code with which a command is refused."""
        reply = await self.ask(type, **fields)
        assert reply["ok"] is False, reply
        return str(reply["error"]["code"])

    async def closed(self, patience_s: float = 20.0) -> int:
        """Wait for the server to close; the code."""
        async with asyncio.timeout(patience_s):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed as closed:
                return 1006 if closed.rcvd is None else closed.rcvd.code


@asynccontextmanager
async def raw(url: str, token: str | None = None, **options: Any) -> AsyncIterator[Raw]:
    """A connection; with a token it has said hello."""
    options = {"compression": None, "max_size": None, "ping_interval": None} | options
    async with connect(url, **options) as connection:
        made = Raw(connection)
        if token is not None:
            reply = await made.ask("hello", token=token)
            assert reply["ok"], reply
        yield made


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(member for child in children for member in _family(int(child)))]


@asynccontextmanager
async def frozen(pid: int) -> AsyncIterator[None]:
    """Stop a process and its children without ending them, as a machine that hangs does."""
    pids = _family(pid)
    for member in pids:
        os.kill(member, signal.SIGSTOP)
    try:
        yield
    finally:
        for member in pids:
            os.kill(member, signal.SIGCONT)

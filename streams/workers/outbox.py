"""The outbox process: publishes what transactions have left in the outbox, and carries out the end of projects.

An event is removed once the broker has it. Whatever dies in between, nothing is lost, and what comes twice has the same
id and the same revision.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Final

import asyncpg
import structlog
from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge

from infra.kafka import Publisher
from infra.patience import patiently
from infra.postgres import AWAY
from infra.process import Process
from infra.process import run as run_process
from infra.settings import KafkaSettings, PostgresSettings, ProcessSettings, seconds
from schemas import events, ids
from schemas.contract import Envelope, envelope_headers
from schemas.roles import Role
from schemas.topics import CONVERSATION_COMMANDS

log = structlog.get_logger(__name__)

CHANNEL: Final = "outbox"
"""On which those who commit an event wake us."""
LOOK_S: Final = 1.0
"""Seconds after which the outbox is looked at though nobody woke us: a notice is lost with its connection. A setting,
`CHORUS_OUTBOX_LOOK_S`: behind a pooler that carries no notices it is how late everything is told."""
RETRY_S: Final = 1.0
"""Seconds from one attempt to reach PostgreSQL, or to become the relay that works, to the next."""
AT_ONCE: Final = 500
"""Events of one round; a project of a thousand members takes 50 kB."""
CONNECT_S: Final = 3.0
STATEMENT_S: Final = 10.0
"""Seconds for a statement; then PostgreSQL is away."""
STOP_KAFKA_S: Final = 5.0
PROJECT_KEPT: Final = timedelta(days=30)
"""How long a deleted project can be restored."""
STRAGGLERS: Final = timedelta(hours=1)
"""How long after its deletion a project's answers are looked for: what was on its way had ended by then."""
_RELAY_LOCK: Final = 4_812_091_660
"""PostgreSQL's advisory lock of the one relay that works; the others wait until it is gone."""
_SOURCE: Final = "/streams/outbox"

_published = Counter("chorus_outbox_published_total", "Events published from the outbox", ["topic"])
_waiting = Gauge("chorus_outbox_waiting", "Events in the outbox that are not published yet, at the last look")
_oldest = Gauge("chorus_outbox_oldest_seconds", "Age of the oldest event in the outbox, in seconds, at the last look")

_NEXT: Final = "SELECT id, event_id::text, topic, key, type, value, created_at FROM outbox ORDER BY id LIMIT $1"
_LEFT: Final = """
SELECT count(*) AS events, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS age_s FROM outbox
"""
_RUNNING: Final = """
SELECT r.id::text AS run_id, c.id::text AS conversation_id, p.id::text AS project_id, p.deleted_by::text AS user_id
FROM projects p JOIN conversations c ON c.project_id = p.id
JOIN runs r ON r.conversation_id = c.id AND r.ended_at IS NULL
WHERE p.deleted_at > now() - $1::interval AND r.status IN ('queued', 'in_progress') LIMIT $2
"""
_TO_END: Final = """
SELECT c.id::text AS conversation_id, p.id::text AS project_id, p.deleted_by::text AS user_id
FROM projects p JOIN conversations c ON c.project_id = p.id
WHERE p.deleted_at < now() - $1::interval AND NOT c.deleted LIMIT $2
"""
_END: Final = """
DELETE FROM projects p WHERE deleted_at < now() - $1::interval
    AND NOT EXISTS (SELECT FROM conversations c WHERE c.project_id = p.id AND NOT c.deleted)
"""


class Relay:
    """Publishes the outbox, in the order of each key."""

    def __init__(
        self, connection: "asyncpg.Connection[asyncpg.Record]", publisher: Publisher, *, look_s: float
    ) -> None:
        self._connection = connection
        self._publisher = publisher
        self._look_s = look_s
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Publish until cancelled.

        Raises:
            one of `infra.postgres.AWAY`: the connection is gone; begin anew with another.
        """
        await self._connection.add_listener(CHANNEL, lambda *_: self._woken.set())
        while True:
            self._woken.clear()
            if await self._round() < AT_ONCE:
                await self._follow_up()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._look_s):
                        await self._woken.wait()

    async def _round(self) -> int:
        """Publish what is there; how much that was."""
        rows = await self._connection.fetch(_NEXT, AT_ONCE)
        if rows:
            await patiently("Kafka", (KafkaError,), lambda: self._publish(rows))
            await self._connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", [r["id"] for r in rows])
            for row in rows:
                _published.labels(row["topic"]).inc()
        left = await self._connection.fetchrow(_LEFT)
        assert left is not None
        _waiting.set(left["events"])
        _oldest.set(left["age_s"])
        return len(rows)

    async def _publish(self, rows: "list[asyncpg.Record]") -> None:
        reports = []
        for row in rows:
            envelope = Envelope(id=row["event_id"], type=row["type"], source=_SOURCE, time=row["created_at"])
            reports.append(
                await self._publisher.producer.send(
                    row["topic"], row["value"], key=row["key"].encode(), headers=envelope_headers(envelope)
                )
            )
        for report in reports:
            await report

    # -- the end of projects --

    async def _follow_up(self) -> None:
        """Stop what still answers in deleted projects, and end for good those that nobody has restored.

        Each look asks for what is still to do, so it does not matter where the one before was interrupted.
        """
        for run in await self._connection.fetch(_RUNNING, STRAGGLERS, AT_ONCE):
            stop = events.CancelRun(role=Role.OWNER, **run)
            await self._command(ids.cancel_id(run["run_id"], run["user_id"]), stop)
        for conversation in await self._connection.fetch(_TO_END, PROJECT_KEPT, AT_ONCE):
            end = events.DeleteConversation(role=Role.OWNER, **conversation)
            await self._command(ids.end_of_project_id(conversation["conversation_id"]), end)
        await self._connection.execute(_END, PROJECT_KEPT)

    async def _command(self, command_id: str, command: events.ConversationCommand) -> None:
        async def publish() -> None:
            await self._publisher.publish(CONVERSATION_COMMANDS, command, key=command.conversation_id, id=command_id)

        await patiently("Kafka", (KafkaError,), publish)


@contextlib.asynccontextmanager
async def _alone(settings: PostgresSettings) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection that holds the relay's lock: of several relays, one works.

    Its own, because what listens and holds a lock cannot go back to a pool.

    Raises:
        one of `infra.postgres.AWAY`
    """
    connection = await asyncpg.connect(settings.url, timeout=CONNECT_S, command_timeout=STATEMENT_S)
    try:
        while True:
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", _RELAY_LOCK):
                break
            await asyncio.sleep(RETRY_S)
        yield connection
    finally:
        connection.terminate()


async def _relay(process: Process, database: PostgresSettings, publisher: Publisher, look_s: float) -> None:
    while True:
        try:
            async with _alone(database) as connection:
                process.not_ready = lambda: None
                await Relay(connection, publisher, look_s=look_s).run()
        except AWAY as error:
            process.not_ready = lambda: "PostgreSQL is away"
            log.warning("waiting for a dependency", dependency="PostgreSQL", error=repr(error))
            await asyncio.sleep(RETRY_S)


def main(env: Mapping[str, str]) -> None:
    """Run the relay with settings from the environment."""
    settings = ProcessSettings.from_env(env, "outbox")
    kafka, database = KafkaSettings.from_env(env), PostgresSettings.from_env(env)
    look_s = seconds(env, "CHORUS_OUTBOX_LOOK_S", LOOK_S)

    async def work(process: Process) -> None:
        publisher = Publisher(kafka, _SOURCE)

        async def working() -> None:
            process.not_ready = lambda: "Kafka has not been reached yet"
            await patiently("Kafka", (KafkaError,), publisher.start)
            process.not_ready = lambda: "PostgreSQL has not been reached yet, or another relay works"
            await _relay(process, database, publisher, look_s)

        tasks = [asyncio.create_task(working()), asyncio.create_task(process.stopping.wait())]
        try:
            for done in (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[0]:
                done.result()
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_KAFKA_S):
                    await publisher.stop()

    run_process("outbox", settings, work)

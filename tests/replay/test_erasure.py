"""A person who was deleted stays deleted: in the live tables, in a rebuild under way, and in every later one."""

from collections.abc import AsyncIterator

import pytest_asyncio

from edge import erasure
from infra import history
from schemas.sealing import DataKey
from streams.replay import shadow
from tests.conftest import StartProcess
from tests.replay.conftest import Replay, Rows, World


@pytest_asyncio.fixture(autouse=True)
async def cleared(world: World) -> AsyncIterator[None]:
    """No replay is left behind."""
    yield
    for schema in (shadow.SCHEMA, shadow.OLD):
        await world.pool.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


async def account(world: World) -> DataKey:
    """Somebody with a key and an account."""
    key = await world.person()
    await world.pool.execute(
        "INSERT INTO users (id, email, display_name) VALUES ($1, gen_random_uuid()::text, 'Ada')", key.owner_id
    )
    return key


async def erase(world: World, key: DataKey) -> None:
    """Delete somebody, and do both rounds of what is left to do."""
    async with world.pool.acquire() as connection:
        assert await erasure.begin(connection, key.owner_id) is not None
    await erasure.sweep(world.pool, world.redis, key.owner_id)
    await world.pool.execute("UPDATE erasures SET done_at = now() WHERE user_id = $1", key.owner_id)


def texts(rows: Rows) -> set[str]:
    """All texts and titles in these rows."""
    return {str(value) for table in ("messages", "conversations") for row in rows[table] for value in row if value}


async def test_a_replay_resurrects_nothing(world: World, start_process: StartProcess, replay: Replay) -> None:
    """What is rebuilt from the log afterwards is what deletion has left: swapped in it is the
    same, and still says nothing of the one who left, and all of the one who stays."""
    leaving, staying = await account(world), await account(world)
    (gone,) = await world.begin(1, leaving)
    (kept,) = await world.begin(1, staying)
    await start_process("streams", "history")
    await world.go_on(12)
    await world.stored()
    before = await world.rows([gone])
    others = await world.rows([kept])
    said = {text for text in gone.said.values() if text}
    assert said
    assert said <= texts(before)

    await erase(world, leaving)

    after = await world.rows([gone])
    assert not said & texts(after)
    assert (await replay("history", "--swap")).code == 0
    assert await world.rows([gone]) == after
    assert await world.rows([kept]) == others
    view = await history.load_view(world.pool, gone.conversation_id)
    assert view is not None
    assert view.title is None
    # What was put away by the swap is no way back either.
    old = await world.pool.fetch(f"SELECT content FROM {shadow.OLD}.messages WHERE owner_id = $1", leaving.owner_id)
    assert {row["content"] for row in old} == {""}


async def test_a_rebuild_under_way_is_deleted_from_too(
    world: World, start_process: StartProcess, replay: Replay
) -> None:
    """Tables that a replay had filled before, and those that a swap put away, lose the texts like the live ones."""
    leaving = await account(world)
    (gone,) = await world.begin(1, leaving)
    await start_process("streams", "history")
    await world.go_on(12)
    await world.stored()
    assert (await replay("history", "--swap")).code == 0
    assert (await replay("history")).code == 0
    count = "SELECT count(*) FILTER (WHERE content <> ''), count(*) FROM {}.messages WHERE owner_id = $1"
    for schema in ("public", shadow.SCHEMA, shadow.OLD):
        with_text, _ = await world.pool.fetchrow(count.format(schema), leaving.owner_id)
        assert with_text > 0, schema

    await erase(world, leaving)

    for schema in ("public", shadow.SCHEMA, shadow.OLD):
        assert tuple(await world.pool.fetchrow(count.format(schema), leaving.owner_id)) == (0, len(gone.said)), schema

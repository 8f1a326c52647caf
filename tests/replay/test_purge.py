"""A replay, however often and of how much, brings nothing back that was purged."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from infra import history
from schemas import ids
from schemas.topics import CONVERSATION_EVENTS
from streams.replay import shadow
from tests.conftest import StartProcess
from tests.projections.talk import Talk
from tests.replay.conftest import Replay, World


@pytest_asyncio.fixture(autouse=True)
async def cleared(world: World) -> AsyncIterator[None]:
    """No replay is left behind."""
    yield
    for schema in (shadow.SCHEMA, shadow.OLD):
        await world.pool.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


async def end(world: World, talk: Talk) -> None:
    sent = [
        await world.publisher.enqueue(
            CONVERSATION_EVENTS, record, key=talk.conversation_id, id=ids.fact_id(talk.conversation_id, record.cause)
        )
        for record in talk.end()
    ]
    await asyncio.gather(*sent)


async def test_what_was_purged_stays_away(world: World, start_process: StartProcess, replay: Replay) -> None:
    """Live and rebuilt tables agree, row by row, and after the swap there is no more of it than before."""
    await world.begin(8)
    await start_process("streams", "history")
    await world.go_on(25)
    purged, kept = world.talks[:4], world.talks[4:]
    for talk in purged:
        await end(world, talk)
    await world.go_on(2, kept)
    await world.stored()
    before = await world.rows()
    left = await world.rows(purged)
    assert {table: len(rows) for table, rows in left.items() if rows} == {"conversations": 4}

    assert (await replay("history", "--swap")).code == 0

    assert await world.rows() == before
    for talk in purged:
        assert await history.load_view(world.pool, talk.conversation_id) == talk.view

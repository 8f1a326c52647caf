"""What was purged is kept by nobody: not in PostgreSQL, not in Redis, whatever is applied again."""

import pytest
from redis.asyncio import Redis

from infra import history
from infra.keyring import Keyring
from infra.live import read_window, records_key
from schemas import events, ids
from schemas.sealing import DataKey
from streams.workers.live import LiveProjection
from tests.projections.conftest import NewSink, Pool, delivered
from tests.projections.talk import Talk
from tests.projections.test_history import stored


@pytest.fixture
def neighbour(key: DataKey, talk: Talk) -> Talk:
    return Talk(talk.random, key)


def mixed(talk: Talk, neighbour: Talk) -> list[events.ConversationAdvanced]:
    """A conversation that is purged at last, among records of one that goes on."""
    records = [one.next() for _ in range(60) for one in (talk, neighbour)]
    # What stood in its neighbour's hands has to end as well.
    return [*records, *talk.end(), *neighbour.go_on(5)]


@pytest.mark.parametrize("batch", [1, 7, 1_000])
async def test_no_row_but_that_it_was_there(
    pool: Pool, new_sink: NewSink, talk: Talk, neighbour: Talk, batch: int
) -> None:
    """Whether its records come in one batch or in many: its messages, runs, refusals and cancels are gone, its title,
    too; its neighbour lacks nothing."""
    records = mixed(talk, neighbour)
    sink = await new_sink()
    for start in range(0, len(records), batch):
        await sink.handle_batch(delivered(records[start : start + batch], offset=start))

    rows = await stored(pool, talk)
    assert {table: len(found) for table, found in rows.items() if found} == {"conversations": 1}
    view = await history.load_view(pool, talk.conversation_id)
    assert view == talk.view
    assert view is not None
    assert (view.purged, view.deleted, view.title, view.runs) == (True, True, None, {})
    assert await history.load_view(pool, neighbour.conversation_id) == neighbour.plain
    assert len(await history.messages(pool, neighbour.conversation_id, limit=1_000)) == len(neighbour.said)


async def test_applied_again_it_resurrects_nothing(pool: Pool, new_sink: NewSink, talk: Talk, neighbour: Talk) -> None:
    """The same records once more, from the first one on, change no row."""
    records = mixed(talk, neighbour)
    await (await new_sink()).handle_batch(delivered(records))
    once = await stored(pool, talk, neighbour)

    again = await new_sink()
    for start in range(0, len(records), 7):
        await again.handle_batch(delivered(records[start : start + 7], offset=start))

    assert await stored(pool, talk, neighbour) == once


async def test_only_what_was_deleted_long_enough_ago_is_to_be_purged(
    pool: Pool, new_sink: NewSink, talk: Talk, key: DataKey
) -> None:
    """By the database's clock; neither what was restored nor what is purged already."""
    talks = [talk, *(Talk(talk.random, key) for _ in range(3))]
    sink = await new_sink()
    records = [t.created() for t in talks]
    records += [t.record(events.ConversationDeleted(user_id=t.user_id)) for t in talks[1:]]
    records.append(talks[2].record(events.ConversationRestored(user_id=talk.user_id)))
    records.append(talks[3].record(events.ConversationPurged()))
    await sink.handle_batch(delivered(records))
    mine = {t.conversation_id for t in talks}
    deleted = talks[1].view
    assert deleted is not None

    async def due(kept_s: float) -> list[object]:
        return [d for d in await history.to_purge(pool, kept_s, 10_000) if d[0] in mine]

    age = await pool.fetchval("SELECT extract(epoch FROM now() - $1::timestamptz)::float8", deleted.deleted_at)
    assert await due(age - 5) == [(talks[1].conversation_id, deleted.deleted_at)]
    assert await due(age + 60) == []


async def test_the_window_forgets_it(redis: Redis, pool: Pool, keyring: Keyring, talk: Talk) -> None:
    """No text of it stays in Redis; who watches the list is told that it is deleted."""
    live = LiveProjection(redis, pool, keyring, ids.new_id())
    await _tell(live, [talk.created(), talk.record(talk.posted("a secret")), talk.record(talk.posted("another"))])
    before = await read_window(redis, talk.conversation_id)
    assert before is not None
    assert len(before.records) == 3
    await _tell(live, talk.end())

    window = await read_window(redis, talk.conversation_id)
    assert window is not None
    assert (window.top, window.base, window.records) == (5, 5, [])
    assert window.view == talk.view
    assert not await redis.exists(records_key(talk.conversation_id))


async def _tell(live: LiveProjection, records: list[events.ConversationAdvanced]) -> None:
    for delivery in delivered(records):
        await live.handle(delivery)

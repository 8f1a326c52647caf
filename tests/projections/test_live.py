"""The live window in Redis, and what is told on the channels, say what the records say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import copy

import msgspec
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from infra.deltas import conversation_channel
from infra.kafka import epoch_of
from infra.keyring import Keyring
from infra.live import (
    WINDOW_BYTES,
    WINDOW_RECORDS,
    LiveRecord,
    LiveWindow,
    decode_live,
    project_channel,
    read_tops,
    read_window,
    records_key,
    state_key,
    user_channel,
)
from schemas import events, frames, ids, shown
from streams.workers.history import HistorySink
from streams.workers.live import LiveProjection
from tests.projections.conftest import NewSink, Pool, delivered
from tests.projections.talk import Talk

Told = list[tuple[str, bytes]]
NewLive = Callable[[], LiveProjection]


@pytest.fixture
def topic_id() -> str:
    return ids.new_id()


@pytest_asyncio.fixture
async def sink(new_sink: NewSink, topic_id: str) -> HistorySink:
    """History, reading the same topic."""
    return await new_sink(topic_id)


@pytest.fixture
def new_live(redis: Redis, pool: Pool, keyring: Keyring, topic_id: str) -> NewLive:
    """Makes a live projection that remembers nothing, as in a new process."""
    return lambda: LiveProjection(redis, pool, keyring, topic_id)


@asynccontextmanager
async def listening(redis: Redis, *channels: str) -> AsyncIterator[Callable[[], Awaitable[Told]]]:
    """Calls back with what was told since the last call."""
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(*channels)
        for _ in channels:
            assert await pubsub.get_message(timeout=5) is not None

        async def heard() -> Told:
            # Redis answers in order: what was told before this ping stands before its pong.
            await pubsub.ping()
            found = []
            while True:
                message = await pubsub.get_message(timeout=5)
                assert message is not None
                if message["type"] == "pong":
                    return found
                found.append((message["channel"].decode(), message["data"]))

        yield heard


def positions(told: Told) -> list[int]:
    """Of the records among what was told."""
    return [live.record.position for live in map(decode_live, (m for _, m in told)) if isinstance(live, LiveRecord)]


async def window(redis: Redis, talk: Talk, after: int = 0) -> LiveWindow:
    found = await read_window(redis, talk.conversation_id, after)
    assert found is not None
    return found


async def keys(redis: Redis, talk: Talk) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Everything that Redis holds of a conversation."""
    state, records = state_key(talk.conversation_id), records_key(talk.conversation_id)
    return await redis.hgetall(state), await redis.lrange(records, 0, -1)


async def test_after_every_record_the_window_says_what_the_fold_says(
    redis: Redis, new_live: NewLive, topic_id: str, talk: Talk
) -> None:
    """View and records in Redis equal the fold and the records so far, after each of them."""
    live = new_live()
    so_far: list[events.ConversationAdvanced] = []
    for n in range(80):
        record = talk.next()
        so_far.append(talk.opened(record))
        await live.handle(delivered([record], offset=n)[0])

        found = await window(redis, talk)

        assert found.view == talk.plain
        assert [told.record for told in found.records] == so_far
        assert (found.epoch, found.base, found.top) == (epoch_of(topic_id), 0, record.position)


async def test_a_window_read_after_a_position_begins_there(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """A reader that names how far it got is given the rest, without a hole; one that is ahead is given nothing."""
    live = new_live()
    for delivery in delivered(talk.go_on(9)):
        await live.handle(delivery)

    for after in range(12):
        found = await window(redis, talk, after)

        assert [told.record.position for told in found.records] == list(range(after + 1, 10))
        assert found.base == min(after, 9)
    tops = await read_tops(redis, [talk.conversation_id, ids.new_id()])
    assert tops == {talk.conversation_id: (found.epoch, 9)}


async def test_every_record_is_told_once_and_in_order(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """Redelivered records, to the same process or a new one, are neither told nor stored again."""
    deliveries = delivered(talk.go_on(40))
    async with listening(redis, conversation_channel(talk.conversation_id)) as heard:
        live = new_live()
        for delivery in deliveries:
            await live.handle(delivery)
        assert positions(await heard()) == list(range(1, 41))
        once = await keys(redis, talk)

        for delivery in deliveries:
            await live.handle(delivery)
        another = new_live()
        for delivery in deliveries[20:]:
            await another.handle(delivery)

        assert await heard() == []
        assert await keys(redis, talk) == once


async def test_everything_applied_anew_gives_the_same_keys(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """The same records into an empty Redis give the same keys."""
    deliveries = delivered(talk.go_on(40))
    live = new_live()
    for delivery in deliveries:
        await live.handle(delivery)
    once = await keys(redis, talk)

    await redis.delete(state_key(talk.conversation_id), records_key(talk.conversation_id))
    live = new_live()
    for delivery in deliveries:
        await live.handle(delivery)

    assert await keys(redis, talk) == once


async def test_a_zombie_is_not_heard(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """Another record of a position that was told changes no key, and nobody hears of it."""
    live = new_live()
    first = talk.created("Thật")
    zombie = copy(talk).record(events.ConversationDeleted(user_id=talk.user_id))
    second = talk.record(talk.posted("thật"))
    channels = conversation_channel(talk.conversation_id), project_channel(talk.project_id)
    async with listening(redis, *channels) as heard:
        for n, record in enumerate([first, second, zombie]):
            await live.handle(delivered([record], offset=n)[0])
        told = await heard()

    assert positions(told) == [1, 1, 2]
    assert (await window(redis, talk)).view == talk.plain


async def test_lists_and_senders_hear_what_is_theirs(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """The project hears of its conversations with their new state, a sender of a refused message, and nobody else."""
    live = new_live()
    refusal = events.MessageRejected(
        message_id=ids.new_id(), client_message_id=ids.new_id(), user_id=talk.user_id, code="conversation_busy"
    )
    records = [
        talk.created("Tên"),
        talk.record(talk.posted("xin chào")),
        talk.record(refusal),
        talk.record(events.ConversationUpdated(user_id=talk.user_id, archived=True)),
    ]
    project, user = project_channel(talk.project_id), user_channel(talk.user_id)
    async with listening(redis, project, user) as heard:
        for delivery in delivered(records):
            await live.handle(delivery)
        told = await heard()

    created, updated = (decode_live(message) for channel, message in told if channel == project)
    assert isinstance(created, LiveRecord)
    assert isinstance(updated, LiveRecord)
    assert created.conversation is not None
    assert (created.conversation.title, created.conversation.archived) == ("Tên", False)
    assert talk.plain is not None
    assert updated.conversation == shown.conversation(talk.plain)
    [refused] = [message for channel, message in told if channel == user]
    assert msgspec.json.decode(refused, type=frames.MessageRejectedPush) == frames.MessageRejectedPush(
        conversation_id=talk.conversation_id,
        message_id=refusal.message_id,
        client_message_id=refusal.client_message_id,
        code="conversation_busy",
    )


async def test_the_window_keeps_the_newest_that_fit(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """A window is cut at its oldest end, by number and by size; base says where it begins."""
    live = new_live()
    records = [talk.created()]
    records += [talk.record(talk.posted("ngắn")) for _ in range(WINDOW_RECORDS + 20)]
    for delivery in delivered(records):
        await live.handle(delivery)
    found = await window(redis, talk)
    assert (found.top, found.base, len(found.records)) == (len(records), len(records) - WINDOW_RECORDS, WINDOW_RECORDS)

    big = [talk.record(talk.posted("ă" * 100_000)) for _ in range(8)]
    for delivery in delivered(big, offset=len(records)):
        await live.handle(delivery)

    found = await window(redis, talk)
    _, stored = await keys(redis, talk)
    assert sum(map(len, stored)) <= WINDOW_BYTES
    assert [told.record.position for told in found.records] == list(range(found.base + 1, found.top + 1))
    assert found.records[-1].record == talk.opened(big[-1])
    assert found.view == talk.plain


async def test_a_flushed_redis_is_filled_from_memory(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """A process that knows the conversation begins its window anew, without asking anybody."""
    live = new_live()
    for delivery in delivered(talk.go_on(5)):
        await live.handle(delivery)
    await redis.delete(state_key(talk.conversation_id), records_key(talk.conversation_id))
    assert await read_window(redis, talk.conversation_id) is None

    record = talk.next()
    await live.handle(delivered([record], offset=5)[0])

    found = await window(redis, talk)
    assert (found.base, found.top, found.view) == (5, 6, talk.plain)
    assert [told.record for told in found.records] == [talk.opened(record)]


@pytest.mark.parametrize("lost", [state_key, records_key])
async def test_half_a_window_is_none(redis: Redis, new_live: NewLive, talk: Talk, lost: Callable[[str], str]) -> None:
    """Where Redis lost one key of the two, readers see no window, and the next record begins it anew."""
    live = new_live()
    for delivery in delivered(talk.go_on(5)):
        await live.handle(delivery)

    await redis.delete(lost(talk.conversation_id))

    assert await read_window(redis, talk.conversation_id) is None
    await live.handle(delivered([talk.next()], offset=5)[0])
    found = await window(redis, talk)
    assert (found.base, found.top, found.view) == (5, 6, talk.plain)


async def test_a_new_process_finds_its_state_in_redis(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """After a restart the window goes on, without history."""
    for delivery in delivered(talk.go_on(5)):
        await new_live().handle(delivery)

    found = await window(redis, talk)
    assert (found.base, found.top, found.view) == (0, 5, talk.plain)


async def test_a_lost_window_waits_for_history(redis: Redis, new_live: NewLive, sink: HistorySink, talk: Talk) -> None:
    """A new process with an empty Redis waits until history has what came before, and goes on from there."""
    earlier = talk.go_on(5)
    await sink.handle_batch(delivered(earlier[:3]))
    record = talk.next()
    async with listening(redis, conversation_channel(talk.conversation_id)) as heard:
        task = asyncio.create_task(new_live().handle(delivered([record], offset=5)[0]))
        done, _ = await asyncio.wait({task}, timeout=0.3)
        assert not done
        assert await heard() == []

        await sink.handle_batch(delivered(earlier[3:], offset=3))
        await asyncio.wait_for(task, 10)

        assert positions(await heard()) == [6]
    found = await window(redis, talk)
    assert (found.base, found.top, found.view) == (5, 6, talk.plain)


async def test_history_ahead_is_taken_as_it_is_and_all_is_told(
    redis: Redis, new_live: NewLive, sink: HistorySink, talk: Talk
) -> None:
    """Where history is ahead the window begins at its position, and the records up to there are told all the same."""
    records = talk.go_on(9)
    await sink.handle_batch(delivered(records))
    live = new_live()
    async with listening(redis, conversation_channel(talk.conversation_id)) as heard:
        for delivery in delivered(records)[4:7]:
            await live.handle(delivery)
        found = await window(redis, talk)
        assert (found.base, found.top, found.view, found.records) == (9, 9, talk.plain, [])
        for delivery in delivered([*records, talk.next()])[5:]:
            await live.handle(delivery)

        assert positions(await heard()) == [5, 6, 7, 8, 9, 10]
    found = await window(redis, talk)
    assert (found.base, found.top, found.view) == (9, 10, talk.plain)


async def test_an_older_window_is_replaced(redis: Redis, new_live: NewLive, sink: HistorySink, talk: Talk) -> None:
    """A Redis that came back with an old copy is not added to: the window begins anew from history."""
    records = talk.go_on(9)
    await sink.handle_batch(delivered(records))
    for delivery in delivered(records)[:4]:
        await new_live().handle(delivery)

    await new_live().handle(delivered(records)[8])

    found = await window(redis, talk)
    assert (found.base, found.top, found.view) == (8, 9, talk.plain)
    assert [told.record for told in found.records] == [talk.opened(records[8])]


async def test_a_window_of_another_log_is_replaced(
    redis: Redis, pool: Pool, keyring: Keyring, new_live: NewLive, topic_id: str, talk: Talk
) -> None:
    """Records of a topic that was made anew replace what is known from the one before."""
    of_the_log_before = LiveProjection(redis, pool, keyring, ids.new_id())
    for delivery in delivered(talk.go_on(5)):
        await of_the_log_before.handle(delivery)
    talk.view = None

    record = talk.created("Mới")
    await new_live().handle(delivered([record])[0])

    found = await window(redis, talk)
    assert (found.epoch, found.base, found.top, found.view) == (epoch_of(topic_id), 0, 1, talk.plain)
    assert [told.record for told in found.records] == [talk.opened(record)]


async def test_a_conversation_that_history_could_not_store_is_still_told(
    redis: Redis, new_live: NewLive, sink: HistorySink, talk: Talk
) -> None:
    """Where history has passed a record and does not know its conversation, nobody waits for ever."""
    talk.created()
    records = [talk.record(talk.posted("không đầu"))]
    await sink.handle_batch(delivered(records))
    async with listening(redis, conversation_channel(talk.conversation_id)) as heard:
        await asyncio.wait_for(new_live().handle(delivered(records)[0]), 10)

        assert positions(await heard()) == [2]
    assert await read_window(redis, talk.conversation_id) is None


async def test_a_destroyed_key_is_told_as_deleted(redis: Redis, pool: Pool, new_live: NewLive, talk: Talk) -> None:
    """A text whose key is gone is empty, and marked as gone."""
    records = [talk.created("Bí mật"), talk.record(talk.posted("mật"))]
    await pool.execute(
        "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1", talk.key.owner_id
    )
    live = new_live()
    for delivery in delivered(records):
        await live.handle(delivery)

    created, posted = (await window(redis, talk)).records
    assert created.gone == {talk.conversation_id}
    assert posted.gone == set(talk.questions)
    [fact] = posted.record.facts
    assert isinstance(fact, events.MessagePosted)
    assert shown.message(fact, posted.gone).deleted
    assert fact.content == ""


async def test_a_text_that_does_not_open_stops_nobody(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """A record whose text cannot be opened is told without it."""
    live = new_live()
    first = talk.created()
    broken = msgspec.structs.replace(talk.posted("mất"), message_id=ids.new_id())
    for delivery in delivered([first, talk.record(broken)]):
        await live.handle(delivery)

    told = (await window(redis, talk)).records[-1]
    assert told.gone == {broken.message_id}


async def test_many_conversations_at_once(redis: Redis, new_live: NewLive, talk: Talk) -> None:
    """Records of many conversations, worked on at once as lanes do, each end in their own window."""
    talks = [Talk(talk.random, talk.key) for _ in range(50)]
    live = new_live()

    async def lane(one: Talk) -> None:
        for delivery in delivered(one.go_on(20)):
            await live.handle(delivery)

    await asyncio.gather(*map(lane, talks))

    for one in talks:
        found = await window(redis, one)
        assert (found.base, found.top, found.view) == (0, 20, one.plain)

"""What is stored of a log: once for each cause, whatever is read again and wherever a process dies."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from msgspec.structs import replace

from infra import presence
from schemas import ids
from schemas.notifications import Kind
from streams import sinks
from streams.rules.notifications import OLDEST
from streams.workers import notifications as worker
from tests.notifications.conftest import Told, ended
from tests.stack.stage import Stage


async def test_a_log_that_is_read_again_tells_nothing_new(told: Told) -> None:
    """Neither by the same process, nor by a new one that reads from the start; not even where somebody who looked at
    an answer then is away now."""
    gateway = await told.looks(told.ada)
    told.write(told.said("@Bob, look"))
    told.write(*told.answered())
    await (await told.sink()).handle_batch(told.log)
    assert await told.kinds() == [("bob", "mention")]
    before = await told.rows()
    await told.looks(told.ada, "offline", gateway)

    sink = await told.sink()
    await sink.handle_batch(told.log)
    for delivery in told.log:
        await sink.handle_batch([delivery])

    assert await told.rows() == before


async def test_what_is_behind_the_known_part_is_told(told: Told) -> None:
    """A batch that begins with what is stored already and goes on tells the rest."""
    sink = await told.sink()
    await sink.handle_batch([told.write(told.said("@Bob one"))])
    told.write(told.said("@Bob two"))

    await sink.handle_batch(told.log)

    assert await told.kinds() == [("bob", "mention")] * 2


async def test_a_process_that_dies_before_the_commit_leaves_nothing(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notifications and the offset are one transaction: the next process stores both."""
    told.write(told.said("@Bob"))

    async def dies(*_: object) -> None:
        assert await told.rows() == []
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(sinks, "advance", dies)
        with pytest.raises(asyncio.CancelledError):
            await (await told.sink()).handle_batch(told.log)
    assert await told.rows() == []

    await (await told.sink()).handle_batch(told.log)

    assert await told.kinds() == [("bob", "mention")]


async def test_two_logs_of_one_past_tell_once(told: Told) -> None:
    """Under another topic id everything is read anew: ids follow from causes, so nothing is told twice."""
    told.write(told.said("@Bob"))
    told.write(*told.answered())
    await (await told.sink()).handle_batch(told.log)
    before = await told.rows()
    assert len(before) == 2

    told.topic_id = ids.new_id()
    await (await told.sink()).handle_batch(told.log)

    assert await told.rows() == before


async def test_who_looks_is_not_told_of_an_answer(told: Told) -> None:
    """Only looking counts: not a window in the background, not one that closed a moment ago and is still shown, not
    what a gateway left behind that died."""
    sink = await told.sink()

    async def is_told() -> bool:
        before = len(await told.rows())
        await sink.handle_batch([told.write(*told.answered())])
        return len(await told.rows()) > before

    assert await is_told()
    gateway = await told.looks(told.ada)
    assert not await is_told()
    place = (told.conversation_id, told.ada.user_id)
    await presence.turn(told.redis, gateway, {place: True})
    assert await is_told()
    await presence.turn(told.redis, gateway, {place: False})
    assert not await is_told()
    await told.looks(told.ada, "away", gateway)
    assert await is_told()
    await told.looks(told.ada, "online", gateway)
    assert not await is_told()
    await told.redis.zrem("gateways", gateway)
    assert await is_told()
    await told.looks(told.bob)
    assert await is_told()


async def test_a_failed_run_is_told_to_who_asked(told: Told, stage: Stage) -> None:
    """Its record does not say who that is: history does, which is waited for while it is behind."""
    run_id = ids.new_id()
    handling = asyncio.create_task((await told.sink()).handle_batch([told.write(ended(run_id, "failed"))]))
    await asyncio.sleep(3 * worker.HISTORY_POLL_S)
    assert not handling.done()

    await stage.pool.execute(
        "INSERT INTO runs (id, conversation_id, message_id, question_id, user_id, agent, status, queued_at) "
        "VALUES ($1, $2, $3, $4, $5, '{}', 'failed', now())",
        run_id, told.conversation_id, ids.answer_id(run_id), ids.new_id(), told.ada.user_id,
    )  # fmt: skip
    await handling

    assert await told.kinds() == [("ada", "answer")]


async def test_a_run_that_history_does_not_know_is_told_to_nobody(told: Told) -> None:
    """History has passed the record, and has no such run: it was purged, or never fitted the tables."""
    told.write(ended(ids.new_id(), "failed"))
    await told.pool.execute(
        "INSERT INTO sink_offsets (sink, topic_id, partition, next_offset) VALUES ('history', $1, 0, 1)", told.topic_id
    )

    await (await told.sink()).handle_batch(told.log)

    assert await told.rows() == []


async def test_only_members_are_told(told: Told) -> None:
    """Who has left the project is told nothing more of it, whatever happened when."""
    told.write(*told.answered())
    await told.pool.execute("DELETE FROM project_members WHERE user_id = $1", told.ada.user_id)

    await (await told.sink()).handle_batch(told.log)

    assert await told.rows() == []


async def test_a_deleted_text_mentions_nobody(told: Told) -> None:
    """Where its writer's key was destroyed before it was read."""
    told.write(told.said("@Bob"))
    await told.pool.execute(
        "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1", told.ada.user_id
    )
    told.keyring._known.clear()

    await (await told.sink()).handle_batch(told.log)

    assert await told.rows() == []


async def test_a_text_that_does_not_open_holds_nobody_up(told: Told) -> None:
    """It mentions nobody, and what comes with it is told."""
    told.write(replace(told.said("@Bob"), message_id=ids.new_id()))
    told.write(told.said("@Bob, again"))

    await (await told.sink()).handle_batch(told.log)

    assert await told.kinds() == [("bob", "mention")]


async def test_what_nobody_wants_is_not_shown(told: Told) -> None:
    """A kind that somebody has turned off is kept out of their list; other kinds are not."""
    await told.pool.execute(
        "INSERT INTO notification_preferences VALUES ($1, $2, false, true)", told.bob.user_id, Kind.MENTION
    )
    told.write(told.said("@Bob"))
    told.write(*told.answered())

    await (await told.sink()).handle_batch(told.log)

    assert [(row["kind"], row["in_app"]) for row in await told.rows()] == [("mention", False), ("answer", True)]


async def test_the_past_is_told_to_nobody(told: Told) -> None:
    """A process that reads the log for the first time tells of the last days, and nothing older."""
    told.write(told.said("@Bob"), at=datetime.now(UTC) - OLDEST - timedelta(minutes=1))
    told.write(told.said("@Bob"), at=datetime.now(UTC) - OLDEST + timedelta(minutes=1))

    await (await told.sink()).handle_batch(told.log)

    assert len(await told.rows()) == 1


async def test_two_processes_that_read_the_same_at_once_tell_once(told: Told) -> None:
    """As after a rebalance that one of them has not heard of."""
    for _ in range(20):
        told.write(told.said("@Bob"))
        told.write(*told.answered())
    first, second = await told.sink(), await told.sink()

    await asyncio.gather(first.handle_batch(told.log), second.handle_batch(told.log))

    assert len(await told.rows()) == 40


async def test_a_log_that_was_cut_back_stops_the_process(told: Told) -> None:
    """What comes at the same offsets would be taken for what was told."""
    await told.pool.execute(
        "INSERT INTO sink_offsets (sink, topic_id, partition, next_offset) VALUES ($1, $2, 0, 99999)",
        worker.SINK, told.topic_id,
    )  # fmt: skip

    with pytest.raises(sinks.SinkAhead, match="cut back"):
        await told.sink()


async def test_a_person_who_is_being_deleted_holds_nobody_up(
    told: Told, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Their end waits for what is being stored, or what is stored waits for their end; either way nothing of theirs
    is left."""
    told.write(*told.answered())
    deleting = database.transaction()
    await deleting.start()
    await database.execute("DELETE FROM project_members WHERE user_id = $1", told.ada.user_id)
    await database.execute("DELETE FROM users WHERE id = $1", told.ada.user_id)
    handling = asyncio.create_task((await told.sink()).handle_batch(told.log))
    await asyncio.sleep(0.2)
    assert not handling.done()

    await deleting.commit()
    await handling

    assert await told.rows() == []

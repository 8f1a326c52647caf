"""History in PostgreSQL says what the records say."""

import asyncio
from collections.abc import Callable
from copy import copy

import pytest
from msgspec.structs import replace

from infra import history
from infra.keyring import Keyring
from infra.settings import KafkaSettings
from schemas import events, ids, shown
from schemas.conversation import RECENT_CAUSES
from schemas.sealing import DataKey
from streams.sinks import SinkAhead
from streams.workers.history import HistorySink
from tests.projections.conftest import NewSink, Pool, delivered
from tests.projections.talk import Talk
from tests.running import Stack

TABLES = ("conversations", "messages", "runs", "rejections", "remembered_cancels")


async def stored(pool: Pool, *talks: Talk) -> dict[str, list[tuple[object, ...]]]:
    """Everything that the tables hold of some conversations."""
    return {
        table: [
            tuple(row)
            for row in await pool.fetch(
                f"SELECT * FROM {table} WHERE {'id' if table == 'conversations' else 'conversation_id'} = ANY($1) "
                "ORDER BY 1",
                [talk.conversation_id for talk in talks],
            )
        ]
        for table in TABLES
    }


async def forget(pool: Pool, *talks: Talk) -> None:
    for table in TABLES:
        column = "id" if table == "conversations" else "conversation_id"
        await pool.execute(f"DELETE FROM {table} WHERE {column} = ANY($1)", [talk.conversation_id for talk in talks])


async def unfit(pool: Pool, talk: Talk) -> list[tuple[int, str]]:
    """Position and error of what was put aside."""
    rows = await pool.fetch(
        "SELECT (record->>'position')::bigint, error FROM unfit_facts WHERE record->>'conversation_id' = $1 ORDER BY 1",
        talk.conversation_id,
    )
    return [tuple(row) for row in rows]


def shuffled(talks: list[Talk], records: int) -> list[events.ConversationAdvanced]:
    """Records of several conversations, mixed, each conversation's in order."""
    made = [talk.next() for _ in range(records) for talk in talks]
    order = [record.conversation_id for record in made]
    talks[0].random.shuffle(order)
    queues = {talk.conversation_id: [r for r in made if r.conversation_id == talk.conversation_id] for talk in talks}
    return [queues[conversation_id].pop(0) for conversation_id in order]


@pytest.fixture
def talks(key: DataKey, talk: Talk) -> list[Talk]:
    return [talk, *(Talk(talk.random, key) for _ in range(4))]


async def test_after_every_record_history_says_what_the_fold_says(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """The view loaded from PostgreSQL equals the fold of the records so far, the order of its runs included."""
    sink = await new_sink()
    for n in range(80):
        await sink.handle_batch(delivered([talk.next()], offset=n))

        found = await history.load_view(pool, talk.conversation_id)

        assert found == talk.plain
        assert found is not None
        assert list(found.runs) == list(talk.view.runs if talk.view else ())


async def test_messages_runs_and_rejections_are_the_facts(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """What the readers give back is what the facts said, each thing at its position."""
    sink = await new_sink()
    records = talk.go_on(120)
    await sink.handle_batch(delivered(records))

    facts = [(record, fact) for record in records for fact in talk.opened(record).facts]
    posted = [(r.position, shown.message(f)) for r, f in facts if isinstance(f, events.MessagePosted)]
    ended = [(r.position, f) for r, f in facts if isinstance(f, events.RunEnded)]
    refused = [(r.position, f.message_id, f.code) for r, f in facts if isinstance(f, events.MessageRejected)]
    found_runs = await history.runs_ended(pool, talk.conversation_id)
    found_refused = await history.rejections(pool, talk.conversation_id, talk.user_id)

    assert len(posted) > 10
    assert await history.messages(pool, talk.conversation_id, limit=1000) == posted
    assert [(run.ended_position, run.run_id, run.status, run.usage, run.error) for run in found_runs] == [
        (position, f.run_id, f.status, f.usage, f.error) for position, f in ended
    ]
    assert [(position, r.message_id, r.code) for position, r in found_refused] == refused


async def test_everything_applied_twice_gives_the_same_rows(pool: Pool, new_sink: NewSink, talks: list[Talk]) -> None:
    """The same records again, in other batches and under other offsets, change no row, nor from the start."""
    records = shuffled(talks, 40)
    await (await new_sink()).handle_batch(delivered(records))
    once = await stored(pool, *talks)
    assert sum(map(len, once.values())) > 100

    again = await new_sink()
    for start in range(0, len(records), 7):
        await again.handle_batch(delivered(records[start : start + 7], offset=start))
    assert await stored(pool, *talks) == once

    await forget(pool, *talks)
    anew = await new_sink()
    for start in range(0, len(records), 7):
        await anew.handle_batch(delivered(records[start : start + 7], offset=start))
    assert await stored(pool, *talks) == once


async def test_an_offset_that_is_stored_is_skipped(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """What lies below the stored offset is not looked at again, whatever it says."""
    sink = await new_sink()
    first = talk.created()
    await sink.handle_batch(delivered([first]))
    second = talk.record(talk.posted("hai"))

    await sink.handle_batch(delivered([second], offset=0))
    assert await history.position(pool, talk.conversation_id) == 1

    await sink.handle_batch(delivered([second], offset=1))
    assert await history.position(pool, talk.conversation_id) == 2


async def test_only_the_first_record_of_a_position_counts(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """A zombie's record of a position that is taken changes nothing, in the same batch or in a later one."""
    sink = await new_sink()
    first = talk.created("Thật")
    zombie = copy(talk).record(
        events.ConversationUpdated(user_id=talk.user_id, title=talk.key.seal(talk.conversation_id, "Ma"))
    )
    second = talk.record(talk.posted("thật"))
    third = talk.record(talk.posted("cũng thật"))

    await sink.handle_batch(delivered([first, second, zombie]))
    await sink.handle_batch(delivered([zombie, third], offset=3))

    found = await history.load_view(pool, talk.conversation_id)
    assert found is not None
    assert (found.title, found.position) == ("Thật", 3)
    assert [m.content for _, m in await history.messages(pool, talk.conversation_id, limit=9)] == ["thật", "cũng thật"]
    assert await unfit(pool, talk) == []


def holds_a_nul(talk: Talk) -> list[events.AnyFact]:
    """PostgreSQL's text cannot."""
    return [talk.posted("NUL \0")]


def says_who_it_must_not(talk: Talk) -> list[events.AnyFact]:
    """A constraint of the table forbids it."""
    return [replace(talk.posted("xấu"), role="owner")]


def counts_too_far(talk: Talk) -> list[events.AnyFact]:
    """No column holds it: refused on our side of the wire."""
    run = talk.queued(ids.new_id())
    end = events.RunEnded(run_id=run.run_id, attempt=1, last_seq=2**40, status="failed", finish_reason="error")
    return [run, end]


@pytest.mark.parametrize("facts", [holds_a_nul, says_who_it_must_not, counts_too_far])
async def test_a_record_that_does_not_fit_is_kept_and_the_rest_is_stored(
    pool: Pool, new_sink: NewSink, talks: list[Talk], facts: Callable[[Talk], list[events.AnyFact]]
) -> None:
    """One bad record in a batch goes to `unfit_facts` as it came; all others, its conversation's later ones too, are
    stored."""
    talk, others = talks[0], talks[1:]
    records = [each.created() for each in talks]
    bad = talk.record(*facts(talk))
    good = talk.record(talk.posted("tốt"))
    records += [bad, *(other.record(other.posted("tốt")) for other in others), good]

    await (await new_sink()).handle_batch(delivered(records))

    [(at, error)] = await unfit(pool, talk)
    assert at == bad.position
    assert error
    kept = await pool.fetchval("SELECT record::text FROM unfit_facts WHERE record->>'cause' = $1", bad.cause)
    assert events.decode_advanced(kept.encode()) == bad
    for each in talks:
        assert [m.content for _, m in await history.messages(pool, each.conversation_id, limit=9)] == ["tốt"]
        assert await history.position(pool, each.conversation_id) == each.view.position  # type: ignore[union-attr]


async def test_a_text_that_does_not_open_is_unfit(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """A text moved from another message, or in no sealed form at all, is kept aside and shows nowhere."""
    first = talk.created()
    moved = talk.posted("của tin khác")
    records = [first, talk.record(talk.posted("một"))]
    records.append(talk.record(replace(moved, message_id=ids.new_id())))
    records.append(talk.record(replace(moved, message_id=ids.new_id(), content="chữ trần")))
    records.append(talk.record(replace(moved, message_id=ids.new_id(), content="1.nobody.AAAA")))

    await (await new_sink()).handle_batch(delivered(records))

    assert [position for position, _ in await unfit(pool, talk)] == [3, 4, 5]
    assert [m.content for _, m in await history.messages(pool, talk.conversation_id, limit=9)] == ["một"]
    assert await history.position(pool, talk.conversation_id) == 5


async def test_a_hole_is_noted_and_does_not_stop_the_conversation(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """Behind a lost record the conversation goes on at its position, and `unfit_facts` says what is missing."""
    sink = await new_sink()
    first = talk.created()
    talk.record(talk.posted("verloren"))
    third = talk.record(talk.posted("ba"))

    await sink.handle_batch(delivered([first, third]))

    assert await unfit(pool, talk) == [(3, "positions 2 to 2 are missing before it")]
    assert [m.content for _, m in await history.messages(pool, talk.conversation_id, limit=9)] == ["ba"]
    assert await history.position(pool, talk.conversation_id) == 3


async def test_a_position_that_nothing_can_hold_moves_nothing(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """A record that counts beyond all bounds is put aside, and the conversation goes on where it was."""
    first = talk.created()
    wild = replace(copy(talk).record(talk.posted("xa")), position=2**70)
    second = talk.record(talk.posted("hai"))

    await (await new_sink()).handle_batch(delivered([first, wild, second]))

    assert await pool.fetchval("SELECT count(*) FROM unfit_facts WHERE record->>'cause' = $1", wild.cause) == 1
    assert [m.content for _, m in await history.messages(pool, talk.conversation_id, limit=9)] == ["hai"]
    assert await history.position(pool, talk.conversation_id) == 2


async def test_a_destroyed_key_replays_as_deleted(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """Replayed after its owner's key is gone, a text is empty and marked as deleted; everything else stays."""
    records = [talk.created("Bí mật"), talk.record(talk.posted("mật"))]
    await (await new_sink()).handle_batch(delivered(records))
    [(_, message)] = await history.messages(pool, talk.conversation_id, limit=9)
    assert (message.content, message.deleted) == ("mật", False)

    await pool.execute(
        "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1", talk.key.owner_id
    )
    await forget(pool, talk)
    await (await new_sink()).handle_batch(delivered(records))

    [(position, replayed)] = await history.messages(pool, talk.conversation_id, limit=9)
    assert (position, replayed) == (2, replace(message, content="", deleted=True))
    view = await history.load_view(pool, talk.conversation_id)
    assert view is not None
    assert view.title is None


async def test_a_conversation_is_listed_by_its_newest_activity(
    pool: Pool, new_sink: NewSink, talks: list[Talk]
) -> None:
    """Pages of a project's list hold every conversation once, newest activity first; title and archive filter them."""
    project = ids.new_id()
    records = []
    for n, talk in enumerate(talks):
        talk.project_id = project
        records.append(talk.created(f"Cà phê {n}"))
    for talk in (talks[2], talks[0]):
        records.append(talk.record(talk.posted("mới")))
    records.append(talks[1].record(events.ConversationUpdated(user_id=talks[1].user_id, archived=True)))
    records.append(talks[3].record(events.ConversationDeleted(user_id=talks[3].user_id)))
    await (await new_sink()).handle_batch(delivered(records))

    pages, before = [], None
    while page := await history.conversation_summaries(pool, project, before=before, limit=2):
        pages += page
        before = (page[-1].updated_at, page[-1].id)

    expected = sorted(
        (t.plain for t in talks if t.plain and not t.plain.deleted),
        key=lambda view: (view.updated_at, view.conversation_id),
        reverse=True,
    )
    assert pages == [shown.conversation(view) for view in expected]
    found = await history.conversation_summaries(pool, project, archived=True, limit=9)
    assert [c.id for c in found] == [talks[1].conversation_id]
    found = await history.conversation_summaries(pool, project, archived=False, title="PHÊ 2", limit=9)
    assert [c.id for c in found] == [talks[2].conversation_id]


async def test_causes_are_remembered_and_the_oldest_forgotten(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """The newest commands that updated the conversation are known by their ids, in order."""
    sink = await new_sink()
    records = [talk.created()]
    for n in range(600):
        records.append(talk.record(events.ConversationUpdated(user_id=talk.user_id, archived=n % 2 == 0)))
        if n % 50 == 0:
            records.append(talk.record(talk.posted("giữa")))
    for start in range(0, len(records), 100):
        await sink.handle_batch(delivered(records[start : start + 100], offset=start))

    expected = [r.cause for r in records if isinstance(r.facts[0], events.ConversationUpdated)][-RECENT_CAUSES:]

    assert await history.causes(pool, talk.conversation_id) == expected


async def test_a_cancel_is_remembered_until_its_question_comes(pool: Pool, new_sink: NewSink, talk: Talk) -> None:
    """A run cancelled before its question is known to be, until it is queued."""
    sink = await new_sink()
    first = talk.created()
    question = talk.posted("muộn")
    queued = talk.queued(question.message_id)
    await sink.handle_batch(delivered([first, talk.record(events.CancelRemembered(run_id=queued.run_id))]))
    assert await history.remembered_cancels(pool, talk.conversation_id) == {queued.run_id}

    end = events.RunEnded(run_id=queued.run_id, attempt=0, last_seq=0, status="cancelled", finish_reason="cancelled")
    await sink.handle_batch(delivered([talk.record(question, queued, end)], offset=2))
    assert await history.remembered_cancels(pool, talk.conversation_id) == set()


async def test_two_that_believe_to_own_a_partition_store_everything_once(
    pool: Pool, new_sink: NewSink, talks: list[Talk]
) -> None:
    """Two sinks that write the same records at the same moment end with the rows of one."""
    records = shuffled(talks, 30)
    topic_id = ids.new_id()
    one, other = await new_sink(topic_id), await new_sink(topic_id)

    async def write(sink: HistorySink, size: int) -> None:
        for start in range(0, len(records), size):
            await sink.handle_batch(delivered(records[start : start + size], offset=start))

    await asyncio.gather(write(one, 7), write(other, 11))
    both = await stored(pool, *talks)
    await forget(pool, *talks)
    await write(await new_sink(), 500)

    assert await stored(pool, *talks) == both


async def test_a_log_that_was_cut_back_stops_the_sink(
    pool: Pool, keyring: Keyring, stack: Stack, new_sink: NewSink
) -> None:
    """A stored offset past the partition's end is said in a sentence, and nothing is written."""
    topic_id = ids.new_id()
    await new_sink(topic_id)
    await pool.execute("UPDATE sink_offsets SET next_offset = 10^12 WHERE topic_id = $1", topic_id)
    sink = HistorySink(pool, keyring, KafkaSettings.from_env(stack.env), topic_id)

    with pytest.raises(SinkAhead, match="partition 0 up to offset 1000000000000, but the partition ends at"):
        await sink.assigned({0: 0})

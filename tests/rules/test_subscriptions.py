"""Following a conversation: whatever is lost, doubled or late on the way, every frame comes once and in order."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.followers import Follower, Telling
from edge.rows import records_of_rows
from edge.subscriptions import Feed, Need, NeedDeltas, NeedRecords, join
from infra.deltas import DeltaMessage
from infra.history import StoredRun
from infra.live import LiveRecord
from schemas import events, frames, shown
from schemas.conversation import ConversationView
from tests.rules.following import ADA, BOB, EPOCH, NOW, TALK, World


@dataclass
class Watcher:
    """A client: applies a subscribe reply and the frames after it, and checks each promise as it does."""

    messages: list[str] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    conversation: dict[str, Any] = field(default_factory=dict)
    follower: Follower = field(default_factory=lambda: Follower(ADA))
    position: int = 0
    slow: bool = False
    seen: list[dict[str, Any]] = field(default_factory=list)

    def join(self, feed: Feed, world: World, named: dict[str, frames.RunCursor] | None = None) -> None:
        for run in join(feed, self.follower, named or {}):
            mine = self.runs.setdefault(run.run_id, {"attempt": 0, "seq": 0, "text": "", "over": False})
            if run.attempt != mine["attempt"] or run.from_seq == 1:
                mine |= {"attempt": run.attempt, "seq": 0, "text": ""}
            assert run.from_seq == mine["seq"] + 1
            mine |= {"seq": run.seq, "text": mine["text"] + run.text}
        self.position = feed.position
        for live in world.records[: feed.position]:
            self.messages += [f.message_id for f in live.record.facts if isinstance(f, events.MessagePosted)]
        self.follower.joining = None

    def take(self, telling: Telling) -> None:
        for data in self.follower.take(telling, self.slow):
            self.see(json.loads(data))

    def see(self, frame: dict[str, Any]) -> None:
        self.seen.append(frame)
        if "cursor" in frame:
            at = int(frame["cursor"].split(":")[1])
            assert at >= self.position, "out of order"
            self.position = at
        match frame["type"]:
            case "message.created":
                assert frame["message"]["id"] not in self.messages, "shown twice"
                self.messages.append(frame["message"]["id"])
                run = self.runs.get(frame["message"]["run_id"])
                if run is not None:
                    run["content"] = frame["message"]["content"]
            case "run.queued":
                assert frame["run_id"] not in self.runs
                self.runs[frame["run_id"]] = {"attempt": 0, "seq": 0, "text": "", "over": False}
            case "run.started":
                run = self.runs[frame["run_id"]]
                assert run["attempt"] == 0
                run["attempt"] = frame["attempt"]
            case "run.restarted":
                self.runs[frame["run_id"]] |= {"attempt": frame["attempt"], "seq": 0, "text": ""}
            case "run.delta":
                run = self.runs[frame["run_id"]]
                assert (frame["attempt"], frame["from_seq"]) == (run["attempt"], run["seq"] + 1), (frame, run)
                run |= {"seq": frame["seq"], "text": run["text"] + frame["text"]}
            case "run.finished":
                run = self.runs[frame["run_id"]]
                assert not run["over"]
                if frame["attempt"]:
                    assert (run["attempt"], run["seq"]) == (frame["attempt"], frame["last_seq"])
                if "content" in run:
                    assert run["text"] == run["content"]
                run["over"] = True
            case "conversation.updated" | "conversation.deleted" | "conversation.created":
                self.conversation = frame["conversation"]


class Process:
    """A gateway's shell, boiled down: a feed, its watchers, and needs that are met when the test says so."""

    def __init__(self, world: World, at: int | None = None) -> None:
        self.world = world
        self.feed = Feed(EPOCH, world.views[(at or len(world.views)) - 1])
        self.watchers: list[Watcher] = []
        self.needs: list[Need] = []
        self.said(self.feed.opened())

    def said(self, out: list[Telling | Need]) -> None:
        for one in out:
            if isinstance(one, NeedRecords | NeedDeltas):
                self.needs.append(one)
                continue
            for watcher in self.watchers:
                watcher.take(one)

    def watch(self, named: dict[str, frames.RunCursor] | None = None) -> Watcher:
        watcher = Watcher()
        watcher.join(self.feed, self.world, named)
        self.watchers.append(watcher)
        return watcher

    def hear(self, told: LiveRecord | DeltaMessage) -> None:
        self.said(self.feed.delta(told) if isinstance(told, DeltaMessage) else self.feed.record(told))

    def meet(self, number: int = 0) -> None:
        need = self.needs.pop(number)
        if isinstance(need, NeedDeltas):
            texts = self.world.deltas.get((need.run_id, need.attempt), [])[need.after_seq :]
            self.said(self.feed.deltas_read(need, texts))
        else:
            self.said(self.feed.caught_up(need.after, [*self.world.records[need.after :], self.world.view]))

    def settle(self) -> None:
        while self.needs:
            self.meet()


def types(watcher: Watcher) -> list[str]:
    return [frame["type"] for frame in watcher.seen]


@pytest.fixture
def world() -> World:
    return World()


# -- one thing at a time --


def test_an_answer_in_order(world: World) -> None:
    """Question, queue, start, text, answer, end: each told once, in this order."""
    process = Process(world)
    watcher = process.watch()
    heard = len(world.channel)
    run_id = world.ask(1)
    world.start(run_id)
    world.say(run_id, 1, "Hel", "lo")
    world.say(run_id, 1, "!")
    world.end(run_id, 1)
    for told in world.channel[heard:]:
        process.hear(told)

    assert types(watcher) == [
        "message.created", "run.queued", "run.started", "run.delta", "run.delta", "message.created", "run.finished",
    ]  # fmt: skip
    assert watcher.runs[run_id]["text"] == "Hello!"
    assert process.needs == []


def test_a_delta_may_come_before_the_record_of_its_start(world: World) -> None:
    """The first words are told at once, after a `run.started` of their own; the record's is then not told again."""
    process = Process(world)
    watcher = process.watch()
    run_id = world.ask(1)
    process.hear(world.records[-1])
    process.hear(world.say(run_id, 1, "quick"))
    world.start(run_id)
    process.hear(world.records[-1])

    assert types(watcher)[-2:] == ["run.started", "run.delta"]


def test_a_delta_may_come_before_its_run_is_known(world: World) -> None:
    """What was said before the record of the question came is read back when it comes."""
    process = Process(world)
    watcher = process.watch()
    run_id = world.ask(1)
    process.hear(world.say(run_id, 1, "very ", "quick"))
    process.hear(world.records[-1])
    process.settle()

    assert watcher.runs[run_id]["text"] == "very quick"


def test_a_hole_in_the_records_is_filled_before_going_on(world: World) -> None:
    """After a lost record nothing is told until it was read back; then everything, in order."""
    process = Process(world)
    watcher = process.watch()
    for number in (1, 2, 3):
        world.happen(world.posted(str(UUID(int=100 + number)), "user", str(number)))
    process.hear(world.records[2])
    process.hear(world.records[3])

    assert types(watcher) == []
    assert process.needs == [NeedRecords(1)]
    process.settle()
    assert [f["message"]["content"] for f in watcher.seen] == ["1", "2", "3"]


def test_a_doubled_record_is_told_once(world: World) -> None:
    """A position that was told is not told again, whatever comes under it."""
    process = Process(world)
    watcher = process.watch()
    live = world.happen(world.posted(str(UUID(int=100)), "user", "once"))
    process.hear(live)
    process.hear(live)

    assert types(watcher) == ["message.created"]


def test_a_hole_in_the_text_is_filled(world: World) -> None:
    """Lost deltas are read back, with what came meanwhile behind them."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    for live in world.records[1:]:
        process.hear(live)
    watcher = process.watch()
    world.say(run_id, 1, "a")
    process.hear(world.say(run_id, 1, "b"))
    process.hear(world.say(run_id, 1, "c"))
    process.settle()
    process.hear(world.say(run_id, 1, "d"))

    assert watcher.runs[run_id]["text"] == "abcd"


def test_what_comes_while_a_hole_is_read_is_not_lost(world: World) -> None:
    """Deltas that are told after the missing ones were read, and before they are here, follow them."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    for live in world.records[1:]:
        process.hear(live)
    watcher = process.watch()
    world.say(run_id, 1, "a")
    process.hear(world.say(run_id, 1, "b"))
    [need] = process.needs
    assert isinstance(need, NeedDeltas)
    read = list(world.deltas[run_id, 1])
    process.hear(world.say(run_id, 1, "c"))
    process.said(process.feed.deltas_read(need, read))

    assert watcher.runs[run_id]["text"] == "abc"


def test_overlapping_deltas_are_trimmed(world: World) -> None:
    """A writer that was not sure writes again: what was told is not told twice."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    for live in world.records[1:]:
        process.hear(live)
    watcher = process.watch()
    process.hear(world.say(run_id, 1, "a", "b"))
    world.deltas[run_id, 1] = list("abcd")
    process.hear(DeltaMessage(run_id=run_id, attempt=1, from_seq=2, seq=4, text="bcd"))
    process.settle()

    assert (watcher.runs[run_id]["text"], watcher.runs[run_id]["seq"]) == ("abcd", 4)


@pytest.mark.parametrize("redis_has_it", [True, False])
def test_the_end_waits_for_the_whole_text(world: World, redis_has_it: bool) -> None:
    """What is missing up to `last_seq` is told before `run.finished`: from Redis, or from the message itself."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    for live in world.records[1:]:
        process.hear(live)
    watcher = process.watch()
    process.hear(world.say(run_id, 1, "told "))
    world.say(run_id, 1, "and ", "not told")
    live = world.end(run_id, 1)
    if not redis_has_it:
        world.deltas.clear()
    process.hear(live)
    assert types(watcher) == ["run.delta"]
    process.settle()

    assert types(watcher) == ["run.delta", "run.delta", "message.created", "run.finished"]
    assert (watcher.runs[run_id]["text"], watcher.runs[run_id]["seq"]) == ("told and not told", 3)


def test_a_text_that_does_not_count_is_taken_back(world: World) -> None:
    """Where another attempt's end counts than the one that was told, its text takes the place of what was told."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    for live in world.records[1:]:
        process.hear(live)
    watcher = process.watch()
    world.say(run_id, 1, "the one ", "that counts")
    process.hear(world.say(run_id, 2, "another"))
    process.hear(world.end(run_id, 1))
    process.settle()

    assert watcher.runs[run_id]["text"] == "the one that counts"
    assert watcher.runs[run_id]["attempt"] == 1


def test_another_attempt_starts_anew(world: World) -> None:
    """A higher attempt says `run.restarted` once; what still comes of the one before is not told."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    for live in world.records[1:]:
        process.hear(live)
    watcher = process.watch()
    process.hear(world.say(run_id, 1, "lost"))
    process.hear(world.say(run_id, 2, "again"))
    process.hear(world.say(run_id, 1, "late"))
    world.start(run_id, 2)
    process.hear(world.records[-1])

    assert types(watcher) == ["run.delta", "run.restarted", "run.delta"]
    assert watcher.runs[run_id]["text"] == "again"


def test_a_refusal_is_told_to_its_sender_only(world: World) -> None:
    """Others do not learn that somebody's message was refused."""
    process = Process(world)
    mine = process.watch()
    theirs = process.watch()
    theirs.follower.user_id = BOB
    refused = events.MessageRejected(message_id=TALK, client_message_id=TALK, user_id=ADA, code="conversation_archived")
    process.hear(world.happen(refused))

    assert types(mine) == ["message.rejected"]
    assert types(theirs) == []


# -- joining --


def test_joining_in_mid_answer(world: World) -> None:
    """A new follower gets the text so far with its number, then the rest."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    world.say(run_id, 1, "so ", "far")
    for told in world.channel[1:]:
        process.hear(told)
    watcher = process.watch()

    assert watcher.runs[run_id]["text"] == "so far"
    process.hear(world.say(run_id, 1, ", and on"))
    assert watcher.runs[run_id]["text"] == "so far, and on"


@pytest.mark.parametrize(("has", "from_seq"), [(0, 1), (2, 3), (3, 4), (9, 10)])
def test_a_client_that_names_its_place_goes_on_from_there(world: World, has: int, from_seq: int) -> None:
    """`from_seq` is one more than what the client has of the same attempt, even where it has more than we do."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    world.say(run_id, 1, "a", "b")
    world.say(run_id, 1, "c")
    for told in world.channel[1:]:
        process.hear(told)
    [run] = join(process.feed, Follower(ADA), {run_id: frames.RunCursor(1, has)})
    assert (run.from_seq, run.seq) == (from_seq, max(3, has))

    [other] = join(process.feed, Follower(ADA), {run_id: frames.RunCursor(2, has)})
    assert (other.from_seq, other.text) == (1, "abc")


def test_what_comes_while_joining_is_kept(world: World) -> None:
    """Between the place where a follower joins and its reply, what is told waits for it."""
    process = Process(world)
    follower = Follower(ADA)
    join(process.feed, follower, {})
    out = process.feed.record(world.happen(world.posted(str(UUID(int=100)), "user", "meanwhile")))

    assert follower.joining == []
    assert len(out) == 1


# -- slow readers --


def test_a_slow_reader_gets_its_deltas_gathered(world: World) -> None:
    """While a connection is slow its deltas wait; then they come in one frame, and it is in step again."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    for live in world.records[1:]:
        process.hear(live)
    watcher = process.watch()
    process.hear(world.say(run_id, 1, "a"))
    watcher.slow = True
    for text in "bcd":
        process.hear(world.say(run_id, 1, text))
    watcher.slow = False
    for data in watcher.follower.gathered(process.feed.texts):
        watcher.see(json.loads(data))
    process.hear(world.say(run_id, 1, "e"))

    assert [f["text"] for f in watcher.seen] == ["a", "bcd", "e"]


def test_a_slow_reader_is_brought_up_to_date_before_the_end(world: World) -> None:
    """However slow: what was gathered comes before the answer's message and its end."""
    process = Process(world)
    run_id = world.ask(1)
    world.start(run_id)
    for live in world.records[1:]:
        process.hear(live)
    watcher = process.watch()
    watcher.slow = True
    process.hear(world.say(run_id, 1, "all ", "of it"))
    process.hear(world.end(run_id, 1))

    assert types(watcher) == ["run.delta", "message.created", "run.finished"]


# -- from PostgreSQL --


def rows(world: World, after: int) -> list[LiveRecord | ConversationView]:
    """What the rows of PostgreSQL say of everything after a position."""
    messages: list[tuple[int, frames.Message]] = []
    runs: dict[str, StoredRun] = {}
    queued: dict[str, events.RunQueued] = {}
    for live in world.records:
        for fact in live.record.facts:
            match fact:
                case events.MessagePosted() if live.record.position > after:
                    messages.append((live.record.position, shown.message(fact)))
                case events.RunQueued():
                    queued[fact.run_id] = fact
                case events.RunEnded() if live.record.position > after:
                    q = queued[fact.run_id]
                    runs[fact.run_id] = StoredRun(
                        run_id=fact.run_id, conversation_id=TALK, message_id=q.message_id, question_id=q.question_id,
                        user_id=ADA, agent=q.agent, status=fact.status, keep=True, attempt=fact.attempt,
                        last_seq=fact.last_seq, finish_reason=fact.finish_reason, usage=None, error=None,
                        queued_at=NOW, requested_at=None, ended_at=NOW, ended_position=live.record.position,
                    )  # fmt: skip
                case _:
                    pass
    open_runs = world.views[after - 1].runs if after else {}
    return [
        *records_of_rows(world.view, EPOCH, after, messages, list(runs.values()), {}, open_runs),
        world.view,
    ]


def test_rows_tell_what_the_records_told(world: World) -> None:
    """A hole that only PostgreSQL can fill: messages, whole answers, what is open, and the new title."""
    process = Process(world)
    watcher = process.watch()
    first, second = world.ask(1), world.ask(2)
    world.start(first)
    world.say(first, 1, "one")
    world.end(first, 1)
    world.start(second)
    world.say(second, 1, "tw")
    world.happen(events.ConversationUpdated(user_id=ADA, title="Another title"))
    process.said(process.feed.top(len(world.records)))
    assert process.needs == [NeedRecords(1)]
    process.needs.clear()
    process.said(process.feed.caught_up(1, rows(world, 1)))
    process.settle()
    process.hear(world.say(second, 1, "o"))

    assert len(watcher.messages) == 3
    assert (watcher.runs[first]["text"], watcher.runs[first]["over"]) == ("one", True)
    assert (watcher.runs[second]["text"], watcher.runs[second]["over"]) == ("two", False)
    assert watcher.conversation["title"] == "Another title"
    assert process.feed.view == world.view


def test_rows_that_come_late_leave_no_beginning_out(world: World) -> None:
    """While rows were read the channel brought the record in whose place they say what began: they are read again."""
    process = Process(world)
    watcher = process.watch()
    world.happen(events.ConversationUpdated(user_id=ADA, title="Another title"))
    run_id = world.ask(1)
    world.start(run_id)
    world.say(run_id, 1, "one")
    world.end(run_id, 1)
    process.said(process.feed.top(len(world.records)))
    assert process.needs == [NeedRecords(1)]
    process.needs.clear()
    process.hear(world.records[1])
    process.said(process.feed.caught_up(1, rows(world, 1)))
    assert process.needs == [NeedRecords(2)]
    process.needs.clear()
    process.said(process.feed.caught_up(2, rows(world, 2)))
    process.settle()

    told = types(watcher)
    assert told.index("run.queued") < told.index("run.started") < told.index("run.delta") < told.index("run.finished")
    assert "run.restarted" not in told
    assert process.feed.view == world.view


# -- anything, in any order --


def a_conversation(rng: random.Random, world: World, steps: int) -> Iterator[None]:
    """Let things happen at random; yields after each."""
    for number in range(steps):
        running = next((r for r in world.view.runs.values() if r.status == "in_progress"), None)
        choice = rng.random()
        if running is None or choice < 0.1:
            world.ask(number)
        elif running.attempt == 0 or choice < 0.15:
            attempt = running.attempt + 1
            if rng.random() < 0.5:  # words may be faster than the record of their start
                world.say(running.run_id, attempt, f"<{number}")
            world.start(running.run_id, attempt)
        elif choice < 0.25:
            world.end(running.run_id, running.attempt, keep=rng.random() < 0.8)
        elif choice < 0.3:
            world.happen(events.ConversationUpdated(user_id=ADA, title=str(number)))
        else:
            texts = [f"{number}.{n} " for n in range(rng.randint(1, 3))]
            world.say(running.run_id, running.attempt, *texts)
        yield


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
@example(519, True)  # the channel's record waited for a text while rows came that say more of its position
def test_whatever_happens_on_the_way(seed: int, from_rows: bool) -> None:
    """Lost, doubled, late and swapped messages, Redis losing texts, slow readers, newcomers: each follower ends with
    exactly what happened, told once and in order."""
    rng = random.Random(seed)
    world = World()
    process = Process(world)
    told = len(world.channel)
    late: list[LiveRecord | DeltaMessage] = []
    for _ in a_conversation(rng, world, 60):
        for message in world.channel[told:]:
            chance = rng.random()
            if chance < 0.15:
                continue
            if chance < 0.25:
                late.append(message)
                continue
            process.hear(message)
            if chance < 0.35:
                process.hear(message)
        told = len(world.channel)
        if late and rng.random() < 0.3:
            process.hear(late.pop(rng.randrange(len(late))))
        if process.needs and rng.random() < 0.5:
            number = rng.randrange(len(process.needs))
            need = process.needs[number]
            if from_rows and isinstance(need, NeedRecords):
                del process.needs[number]
                process.said(process.feed.caught_up(need.after, rows(world, need.after)))
            else:
                process.meet(number)
        if rng.random() < 0.1:
            process.watch()
        if rng.random() < 0.1 and world.deltas:
            # Redis is flushed. The writer notices at its next write, and writes the whole attempt again.
            key = rng.choice(list(world.deltas))
            run = world.view.runs.get(key[0])
            if run is None or run.attempt != key[1]:
                del world.deltas[key]
        for watcher in process.watchers:
            if rng.random() < 0.1:
                watcher.slow = not watcher.slow
                if not watcher.slow:
                    for data in watcher.follower.gathered(process.feed.texts):
                        watcher.see(json.loads(data))
    # In the end Redis is reachable and nobody is slow.
    process.settle()
    process.said(process.feed.top(len(world.records)))
    process.settle()
    process.said(process.feed.recheck_texts())
    process.settle()
    everything = [
        f.message_id for live in world.records for f in live.record.facts if isinstance(f, events.MessagePosted)
    ]
    assert process.feed.view == world.view
    for watcher in process.watchers:
        watcher.slow = False
        for data in watcher.follower.gathered(process.feed.texts):
            watcher.see(json.loads(data))
        assert watcher.messages == everything
        for run in world.view.runs.values():
            shown_run = watcher.runs[run.run_id]
            if run.attempt:
                assert shown_run["text"] == "".join(world.deltas.get((run.run_id, run.attempt), []))
        assert {r for r, run in watcher.runs.items() if not run["over"]} == set(world.view.runs)

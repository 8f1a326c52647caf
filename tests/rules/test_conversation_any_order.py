"""Whatever people and replies do, in whatever order, and wherever the processor dies, one story comes out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from schemas import events, ids
from schemas.conversation import DELETED_KEPT_S, RunStatus, running
from streams.rules import context
from streams.rules.conversation import decide
from streams.rules.state import State, fold
from tests.rules.talk import AGENT, ANN, HERE, PROJECT, START, a_message, an_id, message_id

Entry = tuple[str, events.ConversationCommand]


@dataclass
class World:
    """The inbox, a processor that may die anywhere, and replies, as far as the rule can tell them apart.

    `inbox` and `records` are what Kafka keeps; `acknowledged` is where a new processor begins.
    """

    inbox: list[Entry] = field(default_factory=list)
    records: list[events.ConversationAdvanced] = field(default_factory=list)
    acknowledged: int = 0
    read: int = 0
    begun: int = 0
    state: State | None = None
    requested: dict[str, events.AnswerRequested] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)
    ends: dict[str, Entry] = field(default_factory=dict)
    now: datetime = START

    def put(self, command: events.ConversationCommand, cause: str | None = None) -> None:
        self.inbox.append((cause or ids.new_id(), command))

    def process(self, *, outputs: int | None = None) -> bool:
        """Handle the next command; with `outputs`, die after so many of them. Says whether it was finished."""
        cause, command = self.inbox[self.read]
        self.begun = max(self.begun, self.read)
        outcome = decide(self.state, command, cause, self.now)
        steps: list[Callable[[], None]] = []
        if (record := outcome.record) is not None:
            steps.append(lambda: self._write(record))
        if (answer := outcome.answer) is not None:
            steps.append(lambda: self._request(answer))
        if (stop := outcome.stop) is not None:
            steps.append(lambda: self.stopped.add(stop))
        for step in steps[:outputs]:
            step()
        if outputs is not None and outputs <= len(steps):
            return False
        if self.read == self.begun:  # else commands follow that were begun before the processor died
            self._has_asked()
        self.read += 1
        return True

    def _has_asked(self) -> None:
        """Whatever is open when a command is finished, replies has been asked for."""
        run = None if self.state is None else running(self.state.view)
        if run is not None:
            assert run.run_id in self.requested, f"{run.run_id} is running, but replies was never asked"
            if run.status == RunStatus.CANCELLING:
                assert run.run_id in self.stopped, f"{run.run_id} is being stopped, but replies was never told"

    def _write(self, record: events.ConversationAdvanced) -> None:
        self.records.append(record)
        self.state = fold(self.state, record)

    def _request(self, run_id: str) -> None:
        assert self.state is not None
        # It may have been named meanwhile.
        request = replace(context.request(self.state, run_id), untitled=False)
        assert request == self.requested.setdefault(run_id, request), "a request sent again is the same"
        if run_id in self.ends:  # replies answers a request whose run has ended by the same report
            self.inbox.append(self.ends[run_id])

    def restart(self) -> None:
        """Another processor takes over: it knows the records, and begins where the last acknowledgement is."""
        self.read = self.acknowledged
        self.state = None
        for record in self.records:
            self.state = fold(self.state, record)

    # -- replies --

    def start(self, run_id: str) -> None:
        self.attempts[run_id] += 1
        attempt = self.attempts[run_id]
        self.put(
            events.RunStartedReport(conversation_id=HERE, run_id=run_id, attempt=attempt),
            ids.started_id(run_id, attempt),
        )

    def end(self, run_id: str, status: str, last_seq: int, *, back: int = 0, title: str | None = None) -> None:
        attempt = max(1, self.attempts[run_id] - back)
        report = events.RunEndedReport(
            conversation_id=HERE,
            run_id=run_id,
            attempt=attempt,
            last_seq=last_seq,
            status=status,
            finish_reason="stop",
            content=f"1.{ANN}.answer",
            title=title,
        )
        entry: Entry = (ids.ended_id(run_id, attempt), report)
        if attempt == self.attempts[run_id]:
            entry = self.ends.setdefault(run_id, entry)
        self.inbox.append(entry)

    def settle(self) -> None:
        """Everything is read, and replies ends what it was asked for. The processor dies at each output of each command
        with all before it acknowledged: only the command itself can mend it."""
        for _ in range(10 * len(self.inbox) + 100):
            while self.read < len(self.inbox):
                self.acknowledged = self.read
                for outputs in range(4):
                    if self.process(outputs=outputs):
                        break
                    self.restart()
            run = None if self.state is None else running(self.state.view)
            if run is None:
                return
            if self.attempts[run.run_id] == 0:
                self.start(run.run_id)
            self.end(run.run_id, "completed", 3)
        raise AssertionError("the conversation never comes to rest")


def keeps_its_promises(world: World) -> None:
    """The invariants, over everything that was ever written."""
    assert list(range(1, len(world.records) + 1)) == [r.position for r in world.records], "positions have no hole"
    causes = Counter(record.cause for record in world.records)
    assert all(n == 1 for n in causes.values()), "one command, at most one record"
    posted: Counter[str] = Counter()
    queued: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    owed: dict[str, str] = {}
    attempts: Counter[str] = Counter()
    cancelled_early: set[str] = set()
    deleted_at: datetime | None = None
    purged = titled = False
    state: State | None = None
    for record in world.records:
        assert not purged, "nothing follows the end"
        state = fold(state, record)
        statuses = [run.status for run in state.view.runs.values()]
        assert all(s == RunStatus.QUEUED for s in statuses[1:]), "at most one run is running, and it is the first"
        assert not statuses or statuses[0] != RunStatus.QUEUED, "nobody waits while nothing runs"
        for fact in record.facts:
            match fact:
                case events.MessagePosted():
                    posted[fact.message_id] += 1
                case events.RunQueued():
                    queued[fact.run_id] += 1
                    owed[fact.run_id] = fact.question_id
                case events.CancelRemembered():
                    cancelled_early.add(fact.run_id)
                case events.ConversationUpdated() if fact.title is not UNSET:
                    assert not (fact.automatic and titled), "nobody's name for it is overwritten"
                    titled = fact.title is not None
                case events.ConversationDeleted():
                    deleted_at = deleted_at or record.at
                case events.ConversationRestored():
                    deleted_at = None
                case events.ConversationPurged():
                    assert deleted_at is not None, "what was restored is not purged"
                    assert (record.at - deleted_at).total_seconds() >= DELETED_KEPT_S, "nothing is purged early"
                    purged = True
                case events.RunRequested():
                    assert fact.run_id not in cancelled_early, "what was cancelled before it came is never answered"
                    assert deleted_at is None, "nothing is answered in a deleted conversation"
                case events.RunStarted():
                    assert fact.attempt > attempts[fact.run_id], "attempts only grow"
                    attempts[fact.run_id] = fact.attempt
                case events.RunEnded():
                    assert fact.attempt >= attempts[fact.run_id], "the end of an old attempt says nothing"
                    ended[fact.run_id] += 1
                case _:
                    pass
    assert state == world.state, "the state is the fold of the records"
    assert all(n == 1 for n in (posted | queued | ended).values()), "nothing is doubled"
    assert queued == ended, "every answer that was owed came to an end"
    assert all(question in posted for question in owed.values()), "no answer without its question"


def every_message_has_one_fate(world: World) -> None:
    """Each message that was sent to an existing conversation was posted or refused, and its sender can know which."""
    assert world.state is not None
    if world.state.view.purged:
        return
    for _, command in world.inbox:
        if isinstance(command, events.SendMessage):
            refused = world.state.rejected.get(command.message_id) not in (None, "idempotency_mismatch")
            assert refused != (command.message_id in world.state.messages)


NAMES = ["a", "b", "c", "d", "e"]


@settings(max_examples=120, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_story_is_told_once(data: st.DataObject) -> None:
    """Any sequence of commands, repeated, interleaved and replayed after a crash at any point, keeps the promises."""
    world = World()
    create = events.CreateConversation(conversation_id=HERE, project_id=PROJECT, user_id=ANN, role="owner")
    world.put(create)
    world.process()

    def person() -> dict[str, str]:
        role = data.draw(st.sampled_from(["member"] * 9 + ["viewer"]))
        return {"conversation_id": HERE, "project_id": PROJECT, "user_id": ANN, "role": role}

    def send() -> None:
        name = data.draw(st.sampled_from(NAMES))
        edited = data.draw(st.sampled_from([None, None, *NAMES]))
        text = data.draw(st.sampled_from([name, name, name, "another text"]))
        world.put(
            a_message(
                name,
                text=text if edited is None else f"{text} instead of {edited}",
                edits=None if edited is None else message_id(edited),
                when_busy=data.draw(st.sampled_from(["enqueue", "reject", "interrupt", "rollback"])),
                agent=data.draw(st.sampled_from([AGENT, AGENT, None])),
                ask=data.draw(st.sampled_from([None, "api-0"])),
                role=person()["role"],
            )
        )

    def regenerate() -> None:
        target, request = message_id(data.draw(st.sampled_from(NAMES))), an_id(data.draw(st.sampled_from("xy")))
        run_id = ids.regenerated_run_id(target, request)
        world.put(
            events.RegenerateAnswer(
                **person(), message_id=target, client_request_id=request, run_id=run_id, agent=AGENT
            )
        )

    def cancel() -> None:
        run_ids = [ids.run_id(message_id(name)) for name in NAMES]
        world.put(events.CancelRun(**person(), run_id=data.draw(st.sampled_from([*run_ids, *world.requested]))))

    def update() -> None:
        title = data.draw(st.sampled_from([UNSET, None, f"1.{ANN}.a name"]))
        world.put(events.UpdateConversation(**person(), archived=data.draw(st.integers(0, 3)) == 0, title=title))

    def delete() -> None:
        if data.draw(st.integers(0, 3)) == 0:
            world.put(events.DeleteConversation(**person()))

    def restore() -> None:
        world.put(events.RestoreConversation(**person()))

    def purge() -> None:
        world.now += timedelta(seconds=data.draw(st.sampled_from([1, DELETED_KEPT_S - 5, DELETED_KEPT_S])))
        deleted_at = None if world.state is None else world.state.view.deleted_at
        if deleted_at is not None:
            event("a purge was asked for")
            world.put(
                events.PurgeConversation(conversation_id=HERE, deleted_at=deleted_at), ids.purge_id(HERE, deleted_at)
            )

    def repeat() -> None:
        world.inbox.append(data.draw(st.sampled_from(world.inbox)))

    def start() -> None:
        open_runs = [run_id for run_id in world.requested if run_id not in world.ends]
        if open_runs:
            world.start(data.draw(st.sampled_from(open_runs)))

    def end() -> None:
        begun = [run_id for run_id in world.requested if world.attempts[run_id]]
        if begun:
            world.end(
                data.draw(st.sampled_from(begun)),
                data.draw(st.sampled_from(["completed", "failed", "cancelled"])),
                data.draw(st.sampled_from([0, 3])),
                back=data.draw(st.sampled_from([0, 0, 1])),
                title=data.draw(st.sampled_from([None, f"1.{ANN}.made of words"])),
            )

    def process() -> None:
        for _ in range(data.draw(st.integers(1, 4))):
            dies_after = data.draw(st.sampled_from([None, None, None, 0, 1, 2]))
            if world.read < len(world.inbox):
                if world.process(outputs=dies_after):
                    world.acknowledged = data.draw(st.sampled_from([world.acknowledged, world.read]))
                else:
                    event("died")
                    world.restart()

    actions = [send, send, send, process, process, process, start, end, end, cancel, regenerate, update, repeat]
    actions += [world.restart, delete, delete, restore, purge]
    for action in data.draw(st.lists(st.sampled_from(actions), min_size=25, max_size=60)):
        action()
    world.settle()
    event(f"{min(len(world.records) // 5 * 5, 30)}+ records")

    if world.state is not None and world.state.view.purged:
        event("purged")
    keeps_its_promises(world)
    every_message_has_one_fate(world)

"""What must hold: said once, over everything that is ever written, and checked as it is written and at rest."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace

from schemas import events, ids
from schemas.conversation import DELETED_KEPT_S, ConversationView, RunStatus
from schemas.topics import AGENT_REQUESTS, CONVERSATION_COMMANDS, CONVERSATION_EVENTS, USAGE
from schemas.usage import AttemptUsed, RunUsed, UsageEvent
from streams.projections.history import CONVERSATIONS, MESSAGES, REJECTIONS, RUNS
from streams.rules.conversation import decide
from streams.rules.replies import Ended, Known, Started
from streams.rules.state import State, fold
from tests.model.kafka import Stored
from tests.model.postgres import SINK_OFFSETS
from tests.model.processes import Call, World, key_of

FENCE_S = 3.0
"""Seconds for which what replies has decided is proof enough that it alone answers a run."""

MISMATCH = "idempotency_mismatch"


@dataclass
class Story:
    """What the log says of one conversation: the first record of each position, and what follows from them."""

    state: State | None = None
    views: list[ConversationView] = field(default_factory=list)
    records: list[tuple[int, events.ConversationAdvanced]] = field(default_factory=list)
    line: list[str] = field(default_factory=list)
    """The open runs, in the order that was promised to those who asked."""
    requested: dict[str, datetime] = field(default_factory=dict)
    cancelling: set[str] = field(default_factory=set)
    discarded: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)
    queued: dict[str, events.RunQueued] = field(default_factory=dict)
    ended: dict[str, events.RunEnded] = field(default_factory=dict)
    posted: dict[str, events.MessagePosted] = field(default_factory=dict)
    causes: set[str] = field(default_factory=set)
    deleted: bool = False
    purged: bool = False


@dataclass
class Inbox:
    """What stands on one conversation's part of conversation-commands."""

    commands: list[tuple[Stored, events.ConversationCommand]] = field(default_factory=list)
    offsets: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Where each command stands, by its id."""
    known: defaultdict[str, Known] = field(default_factory=lambda: defaultdict(Known))
    """What was reported of each run."""
    ends: dict[int, events.RunEndedReport] = field(default_factory=dict)
    """Reports of ends, by their offset."""


class Promises:
    """Hears of everything that is stored."""

    def __init__(self, world: World, texts: Mapping[str, str]) -> None:
        """`texts`: what was said by whom, by message id and digest."""
        self._world = world
        self._texts = texts
        self.stories: defaultdict[str, Story] = defaultdict(Story)
        self.inboxes: defaultdict[str, Inbox] = defaultdict(Inbox)
        self.requests: dict[str, events.AnswerRequested] = {}
        self.stops: set[str] = set()
        self.used: dict[str, UsageEvent] = {}
        """What was told of use, by the event's id; what comes again counts no more."""
        self.fenced: dict[object, Stored] = {}
        self.runs: dict[str, str] = {}
        """Runs by their agent: each has its own."""
        world.broker.told.append(self._stored)
        world.broker.moved.append(self._committed)
        world.postgres.committed.append(self.rows_are_the_fold)

    def _stored(self, record: Stored) -> None:
        if record.topic == CONVERSATION_EVENTS.topic:
            event, _ = CONVERSATION_EVENTS.decode(record.value, record.headers)
            self._fact(record, event)
        elif record.topic == AGENT_REQUESTS.topic:
            request, _ = AGENT_REQUESTS.decode(record.value, record.headers)
            self._request(record, request)
        elif record.topic == CONVERSATION_COMMANDS.topic:
            command, _ = CONVERSATION_COMMANDS.decode(record.value, record.headers)
            self._command(record, command)
        elif record.topic == USAGE.topic:
            used, _ = USAGE.decode(record.value, record.headers)
            self.used.setdefault(record.id, used)
        else:
            raise AssertionError(f"a dead letter: {record}")

    # -- facts --

    def _fact(self, stored: Stored, record: events.ConversationAdvanced) -> None:
        story = self.stories[record.conversation_id]
        top = len(story.records)
        assert record.position <= top + 1, f"a hole: position {record.position} after {top}"
        assert stored.id == ids.fact_id(record.conversation_id, record.cause)
        if record.position <= top:
            # Of a second writer: readers ignore it, and it must not go on.
            self.fenced[stored.writer] = stored
            return
        assert record.cause not in story.causes, "one command, at most one record"
        assert not story.purged, "nothing follows the end"
        story.causes.add(record.cause)
        story.records.append((stored.offset, record))
        for fact in record.facts:
            self._follows(story, record, fact)
        story.state = fold(story.state, record)
        view = story.state.view
        story.views.append(view)
        assert list(view.runs) == story.line, "runs wait in the order that was promised"
        statuses = [run.status for run in view.runs.values()]
        assert all(s == RunStatus.QUEUED for s in statuses[1:]), "at most one run is active, and it is the first"
        assert not statuses or statuses[0] != RunStatus.QUEUED, "nobody waits while nothing runs"

    def _follows(self, story: Story, record: events.ConversationAdvanced, fact: events.AnyFact) -> None:
        match fact:
            case events.MessagePosted():
                assert fact.message_id not in story.posted, "a message is posted once"
                story.posted[fact.message_id] = fact
                if fact.role == "user":
                    assert fact.digest is not None
                    assert fact.parent_message_id == self._parent(story, record), "beside what it edits, or the last"
                    said = key_of(fact.owner_id).unseal(fact.message_id, fact.content)
                    assert self._texts[fact.message_id, fact.digest] == said  # type: ignore[index]
                else:
                    assert fact.run_id not in story.discarded, "what is rolled back is no message"
            case events.MessageRejected():
                self._has_reason(story, record, fact)
            case events.RunQueued():
                assert fact.run_id not in story.queued, "an answer is owed once"
                assert fact.question_id in story.posted, "no answer without its question"
                assert fact.front in self._urgency(story, record), "who interrupts is answered next, and nobody else"
                story.queued[fact.run_id] = fact
                story.line.insert(1 if fact.front and story.line else len(story.line), fact.run_id)
                self.runs[fact.agent.agent_id] = fact.run_id
            case events.RunRequested():
                assert [fact.run_id] == story.line[:1], "whose turn it is not is not asked for"
                assert fact.run_id not in story.requested, "a run has one turn"
                assert fact.run_id not in story.early, "what was cancelled before it came is never answered"
                assert not story.deleted, "nothing is answered in a deleted conversation"
                story.requested[fact.run_id] = record.at
            case events.RunStarted():
                assert fact.attempt > story.attempts[fact.run_id], "attempts only grow"
                story.attempts[fact.run_id] = fact.attempt
            case events.RunCancelling():
                assert fact.keep is False or fact.run_id not in story.discarded, "what is discarded stays discarded"
                story.cancelling.add(fact.run_id)
                if not fact.keep:
                    story.discarded.add(fact.run_id)
            case events.RunEnded():
                assert fact.run_id not in story.ended, "a run ends once"
                assert fact.attempt >= story.attempts[fact.run_id], "the end of an old attempt says nothing"
                if fact.run_id in story.cancelling:
                    assert fact.status == RunStatus.CANCELLED, "what was accepted as cancelled ends as cancelled"
                story.ended[fact.run_id] = fact
                story.line.remove(fact.run_id)
            case events.CancelRemembered():
                story.early.add(fact.run_id)
            case events.ConversationUpdated(automatic=True):
                assert story.state is not None
                assert not story.state.titled, "nobody's name for it is overwritten"
            case events.ConversationDeleted():
                story.deleted = True
            case events.ConversationRestored():
                story.deleted = False
            case events.ConversationPurged():
                assert story.deleted, "what was restored is not purged"
                assert not story.line, "an answer that is being made is waited for"
                deleted_at = story.views[-1].deleted_at
                assert deleted_at is not None
                assert (record.at - deleted_at).total_seconds() >= DELETED_KEPT_S, "nothing is purged early"
                story.purged = True
            case _:
                pass

    def _parent(self, story: Story, record: events.ConversationAdvanced) -> str | None:
        sent = self._sent(record)
        if sent[0].edits is None:
            return story.views[-1].last_question_id
        edited = story.posted[sent[0].edits]
        assert (edited.author_id, edited.role) == (sent[0].user_id, "user"), "one's own can be said differently"
        return edited.parent_message_id

    def _sent(self, record: events.ConversationAdvanced) -> list[events.SendMessage]:
        commands = self.inboxes[record.conversation_id].commands
        return [c for stored, c in commands if stored.id == record.cause and isinstance(c, events.SendMessage)]

    def _has_reason(self, story: Story, record: events.ConversationAdvanced, fact: events.MessageRejected) -> None:
        assert story.state is not None
        assert fact.message_id not in story.state.rejected, "a message is refused once"
        sent = self._sent(record)
        before = story.views[-1]
        allowed = {
            "conversation_busy": any(c.when_busy == "reject" for c in sent) and bool(before.runs),
            "conversation_archived": before.archived,
            "forbidden": any(c.role == "viewer" for c in sent),
            "not_found": before.deleted or sent[0].edits not in (None, *story.posted),
            MISMATCH: fact.message_id in story.posted and any(c.ask is None for c in sent),
        }
        assert allowed[fact.code], f"refused as {fact.code}, which it is not"
        assert (fact.code == MISMATCH) == (fact.message_id in story.posted), "posted or refused, never both"

    def _urgency(self, story: Story, record: events.ConversationAdvanced) -> set[bool]:
        """Whether this command goes before those that wait; it may have come several times, in several modes."""
        caused = [c for s, c in self.inboxes[record.conversation_id].commands if s.id == record.cause]
        modes = {c.when_busy for c in caused if isinstance(c, events.SendMessage)} or {"enqueue"}
        return {mode in ("interrupt", "rollback") and bool(story.line) for mode in modes}

    # -- requests --

    def _request(self, stored: Stored, request: events.AgentRequest) -> None:
        story = self.stories[request.conversation_id]
        assert stored.writer not in self.fenced, "a second writer went on after its record did not count"
        if isinstance(request, events.CancelRequested):
            assert stored.id == ids.cancel_request_id(request.run_id)
            assert request.run_id in story.cancelling, "the record goes first, then the request to stop"
            self.stops.add(request.run_id)
            return
        assert stored.id == ids.request_id(request.run_id)
        assert request.run_id in story.requested, "the record goes first, then the request"
        context = [replace(m, content=self._said(story, m)) for m in request.context]
        plain = replace(request, context=context, untitled=False)  # it may have been named meanwhile
        assert plain == self.requests.setdefault(request.run_id, plain), "a request sent again is the same"
        run = story.queued[request.run_id]
        assert story.requested[request.run_id] == request.requested_at
        assert run.question_id == request.context[-1].message_id, "the context ends with the question"
        assert len(request.context) <= run.agent.context_messages
        for earlier, later in zip(request.context, request.context[1:], strict=False):
            before, parent = story.posted[earlier.message_id], story.posted[later.message_id].parent_message_id
            if later.role == "assistant":
                assert parent == earlier.message_id, "each answer right after its question"
            else:
                question = earlier.message_id if earlier.role == "user" else before.parent_message_id
                assert parent == question, "each question after the one before"

    def _said(self, story: Story, message: events.ContextMessage) -> str:
        fact = story.posted[message.message_id]
        assert fact.run_id not in story.discarded, "a rolled back answer is in no context"
        key = key_of(fact.owner_id)
        said = key.unseal(message.message_id, message.content)
        assert said == key.unseal(message.message_id, fact.content), "the context says what was said"
        return said

    # -- commands and reports --

    def _command(self, stored: Stored, command: events.ConversationCommand) -> None:
        inbox = self.inboxes[command.conversation_id]
        inbox.commands.append((stored, command))
        inbox.offsets[stored.id].append(stored.offset)
        if isinstance(command, events.RunStartedReport | events.RunEndedReport):
            assert command.run_id in self.requests, "nothing is answered that was not asked for"
            kind = Started if isinstance(command, events.RunStartedReport) else Ended
            known = inbox.known[command.run_id]
            known.reports[stored.offset] = kind(command.attempt)
            known.newest_ms = max(known.newest_ms, stored.timestamp)
            if isinstance(command, events.RunEndedReport):
                inbox.ends[stored.offset] = command

    def called(self, call: Call) -> None:
        """An agent is being asked: somebody pays for that."""
        run_id = self.runs[call.agent_id]
        conversation_id = self.requests[run_id].conversation_id
        inbox = self.inboxes[conversation_id]
        known = inbox.known[run_id]
        assert known.attempts > 0, "who calls has said so before"
        if (end := known.end) is not None:
            at_ms = next(s.timestamp for s, _ in inbox.commands if s.offset == end)
            assert call.asked_at - at_ms / 1000 <= FENCE_S, "what has ended is not asked for again"

    # -- commits --

    def _committed(self, group: str, offsets: Mapping[int, int]) -> None:
        """What a group says that it is done with, it is."""
        before = self._world.broker.groups[group].committed
        for partition, offset in offsets.items():
            unfinished = set(range(before.get(partition, 0), offset)) - self._world.seen.finished[group, partition]
            assert not unfinished, f"{group} acknowledges {sorted(unfinished)}, which it has not finished"
        if group == "conversations":
            for conversation_id, story in self.stories.items():
                self._has_asked(story, self.inboxes[conversation_id], offsets)

    def _has_asked(self, story: Story, inbox: Inbox, offsets: Mapping[int, int]) -> None:
        """Whatever followed from an acknowledged command is in the log."""
        for _, record in story.records:
            partition = inbox.commands[0][0].partition
            if partition in offsets and max(inbox.offsets[record.cause]) < offsets[partition]:
                for fact in record.facts:
                    if isinstance(fact, events.RunRequested):
                        assert fact.run_id in self.requests, "acknowledged, and never asked for"
                    elif isinstance(fact, events.RunCancelling):
                        assert fact.run_id in self.stops, "acknowledged, and never stopped"

    # -- rows --

    def rows_are_the_fold(self) -> None:
        """History has exactly what the log says up to the offset that stands beside it, in one transaction."""
        tables = self._world.postgres.tables
        reached = {p: row["next_offset"] for (_, _, p), row in tables[SINK_OFFSETS].items()}
        for conversation_id, story in self.stories.items():
            partition = self.inboxes[conversation_id].commands[0][0].partition
            done = [record for offset, record in story.records if offset < reached.get(partition, 0)]
            row = tables[CONVERSATIONS.name].get(conversation_id)
            if not done:
                assert row is None
                continue
            assert row is not None
            view = story.views[len(done) - 1]
            for name in ("position", "archived", "deleted", "deleted_at", "purged", "agent_id", "last_question_id"):
                assert row[name] == getattr(view, name), f"{name} is {row[name]}, not {getattr(view, name)}"
            self._rows_below(conversation_id, done, view)

    def _rows_below(
        self, conversation_id: str, done: list[events.ConversationAdvanced], view: ConversationView
    ) -> None:
        def mine(table: str) -> list[dict[str, object]]:
            rows = self._world.postgres.tables[table].values()
            return [row for row in rows if row["conversation_id"] == conversation_id]

        facts = [] if view.purged else [(record, fact) for record in done for fact in record.facts]
        posted = {(r.position, f.message_id) for r, f in facts if isinstance(f, events.MessagePosted)}
        assert posted == {(row["position"], row["id"]) for row in mine(MESSAGES.name)}
        refused = {f.message_id: f.code for _, f in facts if isinstance(f, events.MessageRejected)}
        assert refused == {row["message_id"]: row["code"] for row in mine(REJECTIONS.name)}
        ended = {f.run_id: f.status for _, f in facts if isinstance(f, events.RunEnded)}
        runs = mine(RUNS.name)
        assert ended == {run["id"]: run["status"] for run in runs if run["ended_at"] is not None}
        waiting = sorted(
            (run for run in runs if run["ended_at"] is None),
            key=lambda run: (run["status"] == RunStatus.QUEUED, run["ordinal"]),
        )
        assert [(r.run_id, r.status, r.attempt, r.keep) for r in view.runs.values()] == [
            (run["id"], run["status"], run["attempt"], run["keep"]) for run in waiting
        ]

    # -- at rest --

    def at_rest(self, states: Iterable[State]) -> None:
        """Everything that was begun has come to its end, and says the same everywhere. `states`: those in memory."""
        for group in self._world.broker.groups.values():
            ends = {p: self._world.broker.end(group.topic, p) for p in group.partitions}
            assert ends == {p: group.committed.get(p, 0) for p in group.partitions}, f"{group.name} is not done"
        for conversation_id, inbox in self.inboxes.items():
            self._ended_well(self.stories[conversation_id], inbox)
        for state in states:
            story = self.stories[state.view.conversation_id]
            assert state == story.state, "what a worker has in memory is the fold of the log"
        self.rows_are_the_fold()

    def _ended_well(self, story: Story, inbox: Inbox) -> None:
        assert story.state is not None
        assert not story.line, f"never ended: {story.line}"
        assert story.queued.keys() == story.ended.keys()
        for stored, command in inbox.commands:
            again = decide(story.state, command, stored.id, story.views[-1].updated_at)
            if story.purged:
                assert again.record is None, "nothing brings it back"
            elif isinstance(command, events.SendMessage):
                refused = story.state.rejected.get(command.message_id) not in (None, MISMATCH)
                assert refused != (command.message_id in story.posted), "every message is posted or refused"
                assert again.record is None, "a message that comes again changes nothing"
            elif isinstance(command, events.RunStartedReport | events.RunEndedReport | events.CreateConversation):
                assert again.record is None, "what comes again changes nothing"
        for run_id, ended in story.ended.items():
            if run_id in story.requested:
                offset = inbox.known[run_id].end
                assert offset is not None
                assert ended.attempt == inbox.ends[offset].attempt, "the first end of the highest attempt counts"
                assert ended.last_seq == inbox.ends[offset].last_seq
                self._told_once(run_id, ended, inbox.ends[offset])
            else:
                assert (ended.attempt, ended.status) == (0, RunStatus.CANCELLED)
                assert ids.run_used_id(run_id) not in self.used, "what never began is not charged"
        self._in_order(story, inbox)

    def _told_once(self, run_id: str, ended: events.RunEnded, end: events.RunEndedReport) -> None:
        used = self.used.get(ids.run_used_id(run_id))
        assert isinstance(used, RunUsed), "every run that was asked for is told of"
        assert (used.attempt, used.status, used.finish_reason) == (ended.attempt, ended.status, ended.finish_reason)
        assert used.usage == (end.usage or events.Usage()), "what is told is what the accepted end took"
        for other in self.used.values():
            if isinstance(other, AttemptUsed) and other.run_id == run_id:
                assert other.attempt != ended.attempt, "nothing is both charged and told as another attempt's"

    def _in_order(self, story: Story, inbox: Inbox) -> None:
        """Records stand in the order of the commands that caused them, each of which may have come several times.

        Not of one that was refused before, nor of a purge: a refusal is no fact, except a message's, so a worker that
        begins anew judges it again by what has come behind it, as if its sender had tried again.
        """
        purges = {s.id for s, command in inbox.commands if isinstance(command, events.PurgeConversation)}
        again = purges | self._world.refused
        last = -1
        for _, record in story.records:
            if record.cause in again:
                continue
            later = [offset for offset in inbox.offsets[record.cause] if offset > last]
            assert later, f"follows from a command that came before that of the one before: {record}"
            last = later[0]

"""Whatever people do, and wherever the workers die, stand still or meet each other, one story comes out of it.

The real workers run here, on doubles of Kafka, PostgreSQL and Redis that lose nothing and forget nothing, one callback
at a time. `make test` plays some stories; `pytest tests/model --hypothesis-profile=long` plays thousands.
"""

from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec import UNSET, UnsetType

from agents.provider import Chunk
from infra.kafka import partition_of
from schemas import events, ids
from schemas.conversation import DELETED_KEPT_S
from schemas.topics import CONVERSATION_COMMANDS, CONVERSATION_PARTITIONS
from tests.model.processes import GROUPS, RUN_LIMIT_S, Call, Process, World, key_of, simulated
from tests.model.promises import Promises
from tests.rules.talk import an_id

PROJECT = an_id("project")
PEOPLE = [an_id("ann"), an_id("ben")]


def _conversations() -> list[str]:
    """Three: two on one partition, the third on another."""
    first = an_id("conversation 0")
    others = [an_id(f"conversation {n}") for n in range(1, 100)]
    home = partition_of(first, CONVERSATION_PARTITIONS)
    neighbour = next(o for o in others if partition_of(o, CONVERSATION_PARTITIONS) == home)
    stranger = next(o for o in others if partition_of(o, CONVERSATION_PARTITIONS) != home)
    return [first, neighbour, stranger]


CONVERSATIONS = _conversations()
PARTITIONS = {partition_of(c, CONVERSATION_PARTITIONS) for c in CONVERSATIONS}
SLOTS = [(role, n) for role, count in {"conversations": 2, "replies": 2, "history": 1}.items() for n in range(count)]
EXPIRES_S = 6.0
"""A member that is not heard of for so long is expelled from its group."""
REVOKED_S = 0.6
"""What others need to let go of what they hold, when a rebalance begins."""

conversations = st.sampled_from([CONVERSATIONS[0], *CONVERSATIONS])
people = st.sampled_from(PEOPLE)
roles = st.sampled_from(["admin"] * 7 + ["viewer"])
names = st.sampled_from("abcdef")
asks = st.sampled_from([None, "api-0"])
slots = st.sampled_from(SLOTS)
turns = st.integers(1, 40)
then = st.integers(0, 60)
"""How many steps everybody makes afterwards."""


class Heart(RuleBasedStateMachine):
    """People, workers that may die between any two steps, and the promises, over all of it."""

    def __init__(self) -> None:
        super().__init__()
        self._logging = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        self.calls: list[Call] = []
        self.texts: dict[Any, str] = {}
        self.world = World(PARTITIONS, self._called)
        self.promises = Promises(self.world, self.texts)
        self.sent: list[tuple[str, events.ConversationCommand]] = []
        self._doubles = simulated(self.world.clock)
        self._doubles.__enter__()
        self.processes = {slot: Process(self.world, slot[0]) for slot in SLOTS}
        self.zombies: list[Process] = []

    def _called(self, call: Call) -> None:
        self.promises.called(call)
        self.calls.append(call)

    # -- people --

    @initialize()
    def begin(self) -> None:
        for conversation_id in CONVERSATIONS:
            create = events.CreateConversation(
                conversation_id=conversation_id, project_id=PROJECT, user_id=PEOPLE[0], role="owner"
            )
            self._put(create, ids.create_id(conversation_id, PEOPLE[0]))
        self._run()

    def _put(self, command: events.ConversationCommand, cause: str) -> None:
        value, headers = CONVERSATION_COMMANDS.encode(
            command, id=cause, source="/edge", time=datetime.fromtimestamp(self.world.clock.now, UTC)
        )
        self.sent.append((cause, command))
        self.world.broker.append(CONVERSATION_COMMANDS.topic, command.conversation_id.encode(), value, headers)

    @rule(
        here=conversations,
        who=people,
        role=roles,
        name=names,
        ask=asks,
        when_busy=st.sampled_from(["enqueue", "reject", "interrupt", "rollback"]),
        asked=st.sampled_from([True, True, True, False]),
        other=st.sampled_from([False] * 5 + [True]),
        edits=st.sampled_from([None, None, None, *"abc"]),
        in_mid_answer=st.booleans(),
        then=then,
    )
    def send(
        self,
        here: str,
        who: str,
        role: str,
        name: str,
        ask: str | None,
        when_busy: str,
        asked: bool,
        other: bool,
        edits: str | None,
        in_mid_answer: bool,
        then: int,
    ) -> None:
        """A message, perhaps one that was sent before, perhaps with another text, perhaps into what an agent says."""
        if in_mid_answer:
            self._all_say("word")
            self._stir(40)
        message_id = ids.message_id(here, who, an_id(name))
        key, text = key_of(who), f"another {name}" if other else name
        edited = None if edits is None else ids.message_id(here, who, an_id(edits))
        digest = key.digest(f"{text}\0{edited}")
        self.texts[message_id, digest] = text
        run_id = ids.run_id(message_id)
        send = events.SendMessage(
            conversation_id=here,
            project_id=PROJECT,
            user_id=who,
            role=role,
            ask=ask,
            message_id=message_id,
            client_message_id=an_id(name),
            content=key.seal(message_id, text),
            digest=digest,
            agent=events.AgentRef(agent_id=an_id(run_id), version=1, context_messages=4) if asked else None,
            when_busy=when_busy,
            edits=edited,
        )
        self._put(send, ids.send_id(message_id, digest))
        self._stir(then)

    @rule(here=conversations, who=people, role=roles, name=names, request=st.sampled_from("xy"), ask=asks, then=then)
    def regenerate(self, here: str, who: str, role: str, name: str, request: str, ask: str | None, then: int) -> None:
        message_id = ids.message_id(here, who, an_id(name))
        run_id = ids.regenerated_run_id(message_id, an_id(request))
        command = events.RegenerateAnswer(
            conversation_id=here,
            project_id=PROJECT,
            user_id=who,
            role=role,
            ask=ask,
            message_id=message_id,
            client_request_id=an_id(request),
            run_id=run_id,
            agent=events.AgentRef(agent_id=an_id(run_id), version=1, context_messages=4),
        )
        self._put(command, ids.regenerate_id(run_id))
        self._stir(then)

    @rule(here=conversations, who=people, role=roles, name=names, ask=asks, nth=st.integers(0, 5), then=then)
    def cancel(self, here: str, who: str, role: str, name: str, ask: str | None, nth: int, then: int) -> None:
        """Stop an answer: one that runs, waits, has ended, or was never heard of."""
        line = self.promises.stories[here].line
        run_id = line[nth] if nth < len(line) else ids.run_id(ids.message_id(here, who, an_id(name)))
        command = events.CancelRun(
            conversation_id=here, project_id=PROJECT, user_id=who, role=role, ask=ask, run_id=run_id
        )
        self._put(command, ids.cancel_id(run_id, who))
        self._stir(then)

    @rule(
        here=conversations,
        who=people,
        role=roles,
        archived=st.sampled_from([UNSET, True, False]),
        title=st.sampled_from([UNSET, UNSET, None, "a name"]),
        ask=asks,
        then=then,
    )
    def update(
        self,
        here: str,
        who: str,
        role: str,
        archived: bool | UnsetType,
        title: str | UnsetType | None,
        ask: str | None,
        then: int,
    ) -> None:
        command = events.UpdateConversation(
            conversation_id=here,
            project_id=PROJECT,
            user_id=who,
            role=role,
            ask=ask,
            archived=archived,
            title=key_of(who).seal(here, title) if isinstance(title, str) else title,
        )
        self._put(command, an_id(f"update {len(self.sent)}"))
        self._stir(then)

    @rule(here=conversations, who=people, sure=st.sampled_from([False] * 9 + [True]), then=then)
    def delete(self, here: str, who: str, sure: bool, then: int) -> None:
        if sure:
            command = events.DeleteConversation(conversation_id=here, project_id=PROJECT, user_id=who, role="admin")
            self._put(command, an_id(f"delete {len(self.sent)}"))
            self._stir(then)

    @rule(here=conversations, who=people, role=roles, ask=asks, then=then)
    def restore(self, here: str, who: str, role: str, ask: str | None, then: int) -> None:
        command = events.RestoreConversation(conversation_id=here, project_id=PROJECT, user_id=who, role=role, ask=ask)
        self._put(command, an_id(f"restore {len(self.sent)}"))
        self._stir(then)

    @rule(here=conversations, who=people, sure=st.booleans(), then=then)
    def is_long_gone(self, here: str, who: str, sure: bool, then: int) -> None:
        """Deleted, everybody has heard of it, and its time runs out while they do whatever they do."""
        if sure:
            self.delete(here, who, sure, then)
            self._run()
            self._wait(1.1 * DELETED_KEPT_S)
            self._stir(then)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A command is delivered twice: its sender had not heard that it was stored."""
        cause, command = data.draw(st.sampled_from(self.sent))
        self._put(command, cause)

    # -- agents --

    @precondition(lambda self: any(call.waits for call in self.calls))
    @rule(data=st.data(), how=st.sampled_from(["stop", "word", "fail"]), then=then)
    def speak(self, data: st.DataObject, how: str, then: int) -> None:
        call = data.draw(st.sampled_from([n for n, call in enumerate(self.calls) if call.waits]))
        self._say(self.calls[call], how)
        self._stir(then)

    def _say(self, call: Call, how: str) -> None:
        chunks = {"word": Chunk(text="word "), "stop": Chunk(text="last", finish_reason="stop"), "fail": None}
        call.say(chunks[how])

    def _all_say(self, how: str) -> bool:
        """Whether anybody did."""
        speaking = [call for call in self.calls if call.waits]
        for call in speaking:
            self._say(call, how)
        return bool(speaking)

    # -- workers --

    @rule(slot=slots, turns=turns, network_first=st.booleans(), overtaking=st.booleans())
    def go_on(self, slot: tuple[str, int], turns: int, network_first: bool, overtaking: bool) -> None:
        """A process does so much, and no more."""
        process = self.processes[slot]
        for _ in range(turns):
            if not process.turn(network_first=network_first, overtaking=overtaking):
                break

    def _stir(self, turns: int) -> None:
        for _ in range(turns):
            for process in self.processes.values():
                process.turn()

    @rule()
    def all_that_can_be_done_is_done(self) -> None:
        self._run()

    @rule(slot=slots, then=then)
    def commit(self, slot: tuple[str, int], then: int = 0) -> None:
        process = self.processes[slot]
        if process.alive and (app := process.loop.app) is not None:
            process.loop.hear(app.commit_soon)
        self._stir(then)

    @rule(slot=slots, turns=turns, overtaking=st.booleans())
    def die(self, slot: tuple[str, int], turns: int, overtaking: bool) -> None:
        """kill -9, after so many steps."""
        self.go_on(slot, turns, network_first=False, overtaking=overtaking)
        self.processes[slot].kill()
        event(f"{slot[0]} killed")

    @precondition(lambda self: not all(process.alive for process in self.processes.values()))
    @rule(slot=slots)
    def begin_anew(self, slot: tuple[str, int]) -> None:
        """Whoever has ended is started again; the group hears that it was gone."""
        process = self.processes[slot]
        if not process.alive:
            if process.loop.app is not None:
                process.loop.app.group.expel(process.loop.app)
            self.processes[slot] = Process(self.world, slot[0])

    @rule(slot=slots)
    def stand_still(self, slot: tuple[str, int]) -> None:
        """SIGSTOP. It is expelled from its group when it has not been heard of for long enough."""
        self.processes[slot].paused = True

    @rule(slot=slots)
    def is_missed(self, slot: tuple[str, int]) -> None:
        process = self.processes[slot]
        if (process.paused or not process.alive) and (app := process.loop.app) is not None:
            self._wait(EXPIRES_S)
            app.group.expel(app)
            event(f"{slot[0]} expelled")

    @rule(slot=slots, before=turns, after=turns)
    def is_replaced_unawares(self, slot: tuple[str, int], before: int, after: int) -> None:
        """It stands still in the middle of something, others take its place, and it goes on where it was."""
        process = self.processes[slot]
        self.go_on(slot, before, network_first=False, overtaking=False)
        self.stand_still(slot)
        self.is_missed(slot)
        for other in self.processes.values():
            other.hear_news()
        self._run()
        self._wait(REVOKED_S)
        self._run()
        process.paused = False
        self.go_on(slot, after, network_first=False, overtaking=False)

    @rule(slot=slots)
    def wake(self, slot: tuple[str, int]) -> None:
        self.processes[slot].paused = False

    @rule(slot=slots)
    def hear(self, slot: tuple[str, int]) -> None:
        """Its heartbeats tell it what the group thinks of it."""
        self.processes[slot].hear_news()

    @rule(role=st.sampled_from(sorted(GROUPS)))
    def rebalance(self, role: str) -> None:
        self.world.broker.groups[role].rebalance()

    @rule(slot=slots)
    def stop(self, slot: tuple[str, int]) -> None:
        """SIGTERM."""
        process = self.processes[slot]
        if process.alive:
            process.stopping.set()

    @rule(then=then)
    def postgres_is_away(self, then: int) -> None:
        """For a while."""
        self.world.postgres.away = True
        self._stir(then)
        self.world.postgres.away = False

    @rule(seconds=st.sampled_from([0.03, 0.5, 2.5, 8.0, 2.0 * RUN_LIMIT_S, 0.9 * DELETED_KEPT_S, 1.1 * DELETED_KEPT_S]))
    def time_passes(self, seconds: float) -> None:
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        self.world.clock.now += seconds

    def _run(self) -> None:
        """Everybody does what can be done without time passing."""
        for _ in range(20_000):
            turned = [process.turn() for process in self.processes.values()]
            if not any(turned):
                return
        raise AssertionError("they never come to rest")

    # -- the end --

    def teardown(self) -> None:
        try:
            if self.sent and not self.world.broken:
                self._settle()
        finally:
            for process in self.processes.values():
                process.kill()
            self._doubles.__exit__(None, None, None)
            structlog.configure(**self._logging)

    def _settle(self) -> None:
        """Everything works again, agents answer, and some time passes: everything comes to its end."""
        for slot, process in list(self.processes.items()):
            process.paused = False
            if not process.alive:
                self.begin_anew(slot)
        for _ in range(120):
            self._run()
            moved = False
            for slot, process in list(self.processes.items()):
                if not process.alive:
                    self.begin_anew(slot)
                    moved = True
                while process.hear_news():
                    moved = True
            moved |= self._all_say("stop")
            for slot in self.processes:
                self.commit(slot)
            self._run()
            if not moved and self._is_quiet():
                break
            self._wait(0.6)
        records = sum(len(story.records) for story in self.promises.stories.values())
        event(f"{min(records // 10 * 10, 60)}+ records")
        for ended in ("deleted", "purged"):
            if any(getattr(story, ended) for story in self.promises.stories.values()):
                event(f"a conversation was {ended}")
        if self.promises.fenced:
            event("a second writer was fenced")
        self.promises.at_rest(
            state
            for process in self.processes.values()
            if process.conversations is not None
            for state in process.conversations._states.warm
        )

    def _is_quiet(self) -> bool:
        done = all(
            group.committed.get(p, 0) == self.world.broker.end(group.topic, p)
            for group in self.world.broker.groups.values()
            for p in group.partitions
        )
        return done and not any(story.line for story in self.promises.stories.values())


_SHORT = settings.get_current_profile_name() == "default"
# A story that fails is told again and again, ever shorter; thousands of stories take as long as they take.
TestHeart = pytest.mark.timeout(900 if _SHORT else 0)(Heart.TestCase)
TestHeart.settings = (
    settings(settings.get_profile("long"), max_examples=80, stateful_step_count=50) if _SHORT else settings()
)

"""The real workers, on doubles of everything that they reach: wired as their `main` wires them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar, cast
from unittest.mock import patch
from uuid import UUID

import msgspec
from prometheus_client import CollectorRegistry

from agents.catalog import Agent, AgentConfig
from agents.provider import Chunk, Prompt, ProviderError, Trouble
from infra.kafka import Publisher
from infra.settings import KafkaSettings
from schemas import events
from schemas.sealing import DataKey
from schemas.topics import AGENT_REQUESTS, CONVERSATION_COMMANDS, CONVERSATION_EVENTS
from streams.intake import Delivery, Intake, IntakeSettings
from streams.rules.conversation import Outcome, decide
from streams.rules.replies import Memory
from streams.rules.state import State
from streams.workers.calls import Fenced, Means, Reports
from streams.workers.conversations import Conversations
from streams.workers.facts import FactLog
from streams.workers.history import HistorySink
from streams.workers.purse import Purse
from streams.workers.recall import Recall
from streams.workers.replies import Replies
from streams.workers.states import States
from streams.workers.telling import Teller
from tests.model.kafka import App, Broker, Consumer, Group, Place, ProcessLoop, Producer
from tests.model.loop import Clock
from tests.model.postgres import Pool, Postgres

E = TypeVar("E")

KAFKA = KafkaSettings()
TOPIC_ID = "the-only-topic"
RUN_LIMIT_S = 660
GROUPS = {
    "conversations": CONVERSATION_COMMANDS.topic,
    "replies": AGENT_REQUESTS.topic,
    "history": CONVERSATION_EVENTS.topic,
}


class Left(BaseException):
    """A process has ended itself at once, as `streams.workers.facts.leave` does."""


def _leave(reason: str) -> NoReturn:
    raise Left(reason)


def key_of(user_id: str) -> DataKey:
    return DataKey.of(user_id, UUID(user_id).bytes * 2)


class Keys:
    """The keyring: everybody has a key."""

    async def keys(self, user_ids: Iterable[str]) -> dict[str, DataKey | None]:
        return {user_id: key_of(user_id) for user_id in user_ids}

    async def key(self, user_id: str) -> DataKey | None:
        return key_of(user_id)


class Decisions(Place):
    """Redis, where decisions are told; `told` has the last one of each command."""

    def __init__(self, told: dict[str, events.Decision]) -> None:
        super().__init__()
        self._told = told

    async def publish(self, _channel: str, message: bytes) -> None:
        decision = msgspec.json.decode(message, type=events.Decision)
        await self.loop.post(lambda: self._told.__setitem__(decision.command_id, decision))


class Nowhere(Place):
    """Redis, where deltas are written: they change nothing of what is looked at here."""

    async def append_many(self, _written: object) -> None:
        await self.loop.post(lambda: None)


class Call:
    """An agent that is being asked, and says what the test wants it to.

    Attributes:
        asked_at: when its process let go of the question, which may reach the agent later: nobody can call it back.
    """

    def __init__(self, agent_id: str, loop: ProcessLoop) -> None:
        self.agent_id = agent_id
        self.open = True
        self.asked_at = loop.time()
        self._loop = loop
        self._said: asyncio.Queue[Chunk | None] = asyncio.Queue()

    @property
    def waits(self) -> bool:
        return self.open and not self._loop.dead

    def say(self, chunk: Chunk | None) -> None:
        """None: it fails."""
        self._loop.hear(lambda: self._said.put_nowait(chunk))

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        try:
            while True:
                if (chunk := await self._said.get()) is None:
                    raise ProviderError(Trouble.BROKEN_OFF, "as the test wants it")
                yield chunk
                if chunk.finish_reason is not None:
                    return
        finally:
            self.open = False


class Agents(Place):
    """The catalog, and behind it every agent: each run has one of its own, so that it is known whose call it is."""

    def __init__(self, called: Callable[[Call], None]) -> None:
        super().__init__()
        self._called = called

    async def agent(self, ref: events.AgentRef) -> Agent:
        return Agent(AgentConfig(kind="scripted"), cast(Any, _Provider(self, ref.agent_id)))

    async def call(self, agent_id: str) -> Call:
        call = Call(agent_id, self.loop)
        await self.loop.post(lambda: self._called(call))
        return call


class _Provider:
    def __init__(self, agents: Agents, agent_id: str) -> None:
        self._agents = agents
        self._agent_id = agent_id

    async def stream(self, _prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        call = await self._agents.call(self._agent_id)
        async for chunk in call.chunks():
            yield chunk


# -- what is seen of an intake --


class Seen:
    """What has been handled, by group and partition, and whether keys kept their turns."""

    def __init__(self) -> None:
        self.finished: defaultdict[tuple[str, int], set[int]] = defaultdict(set)


class Keyed(Generic[E]):
    """A keyed processor, watched: one record of a key at a time, in their order, and no key left behind."""

    def __init__(self, group: str, processor: Any, seen: Seen) -> None:
        self._group = group
        self._inner = processor
        self._finished = seen.finished
        self._loop = asyncio.get_running_loop()
        self._running: set[bytes] = set()
        self._last: dict[bytes, int] = {}
        self._waiting: dict[bytes, int] = {}
        """Keys that wait, with how many records of others were begun meanwhile."""

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        self._running, self._last, self._waiting = set(), {}, {}
        await self._inner.assigned(partitions)

    async def revoked(self, partitions: Set[int]) -> None:
        await self._inner.revoked(partitions)

    def is_control(self, event: Any) -> bool:
        control: bool = self._inner.is_control(event)
        if not control:
            self._waiting.setdefault(event.conversation_id.encode(), 0)
        return control

    async def control(self, delivery: Delivery[E]) -> None:
        await self._inner.control(delivery)
        self._done(delivery)

    async def handle(self, delivery: Delivery[E]) -> None:
        key = delivery.key
        assert key not in self._running, "two records of one key at once"
        assert delivery.offset > self._last.get(key, -1), "a key's records out of order"
        self._running.add(key)
        self._last[key] = delivery.offset
        self._waiting.pop(key, None)
        for other in self._waiting.keys() - self._running:
            self._waiting[other] += 1
            assert self._waiting[other] <= 10, "a key waits while others are served again and again"
        try:
            await self._inner.handle(delivery)
        finally:
            self._running.discard(key)
        self._done(delivery)

    def _done(self, delivery: Delivery[E]) -> None:
        self._finished[self._group, delivery.partition].add(delivery.offset)


class Batched(Generic[E]):
    """A batch processor, watched."""

    def __init__(self, group: str, processor: Any, seen: Seen) -> None:
        self._group = group
        self._inner = processor
        self._finished = seen.finished

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        await self._inner.assigned(partitions)

    async def revoked(self, partitions: Set[int]) -> None:
        await self._inner.revoked(partitions)

    async def handle_batch(self, deliveries: Sequence[Delivery[E]]) -> None:
        await self._inner.handle_batch(deliveries)
        for delivery in deliveries:
            self._finished[self._group, delivery.partition].add(delivery.offset)


# -- processes --


class World:
    """What is there besides processes, and outlives them.

    Attributes:
        broken: a promise is: what comes after it says nothing.
        refused: commands that anybody has ever decided to refuse, by their ids.
    """

    def __init__(self, partitions: Iterable[int], called: Callable[[Call], None]) -> None:
        self.clock = Clock(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
        self.broker = Broker(self.clock)
        self.postgres = Postgres()
        self.decisions: dict[str, events.Decision] = {}
        self.seen = Seen()
        self.broken = False
        self.refused: set[str] = set()
        self.called = called
        for group, topic in GROUPS.items():
            Group(group, topic, partitions, self.broker)


class Process:
    """One process of a role.

    Attributes:
        paused: it stands still (SIGSTOP), and does not know.
    """

    def __init__(self, world: World, role: str) -> None:
        self.world = world
        self.role = role
        self.paused = False
        self.loop = ProcessLoop(world.clock, world.broker, self)
        self.stopping = asyncio.Event()
        self.conversations: Conversations | None = None
        self._main = self.loop.create_task(_MAINS[role](self))

    def __repr__(self) -> str:
        return f"<{self.role} {id(self):x}>"

    @property
    def alive(self) -> bool:
        return not self.loop.dead

    def turn(self, *, network_first: bool = False, overtaking: bool = False) -> bool:
        """One callback; says whether there was one."""
        if self.paused or not self.alive:
            return False
        try:
            turned = self.loop.turn(network_first=network_first, overtaking=overtaking)
        except Left:
            self.kill()
            return True
        except AssertionError:
            self.world.broken = True
            raise
        if self._main.done():
            self._ended()
        return turned

    def hear_news(self) -> bool:
        """What its heartbeats have to tell arrives; says whether there was anything."""
        app = self.loop.app
        if app is None or not app.news or self.paused:
            return False
        self.loop.hear(app.news.pop(0))
        return True

    def kill(self) -> None:
        if self.alive:
            self.loop.kill()

    def _ended(self) -> None:
        error = None if self._main.cancelled() else self._main.exception()
        self.loop.kill()
        if error is not None and not all(isinstance(one, Fenced) for one in _leaves(error)):
            raise error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _intake_settings(process: Process, **more: Any) -> IntakeSettings:
    # Small, so that what is bounded meets its bounds.
    return IntakeSettings(topic=GROUPS[process.role], group=process.role, instance="", max_unfinished_records=6, **more)


async def _conversations(process: Process) -> None:
    world = process.world
    pool = cast(Any, Pool(world.postgres))
    async with asyncio.TaskGroup() as background:
        process.conversations = Conversations(
            # So little memory that conversations are loaded again and again.
            states=States(KAFKA, pool, cast(Any, Keys()), TOPIC_ID, max_bytes=3_000),
            pool=pool,
            redis=cast(Any, Decisions(world.decisions)),
            publisher=Publisher(KAFKA, "/streams/conversations"),
            run_limit_s=RUN_LIMIT_S,
            background=background,
        )
        watched: Keyed[Any] = Keyed(process.role, process.conversations, world.seen)
        intake = Intake(_intake_settings(process, max_in_flight=2), KAFKA, CONVERSATION_COMMANDS, watched)
        await intake.run(process.stopping)


async def _replies(process: Process) -> None:
    world = process.world
    async with asyncio.TaskGroup() as calls:
        memories: dict[int, Memory] = {}
        teller = Teller(cast(Any, Nowhere()))
        means = Means(
            catalog=cast(Any, Agents(world.called)),
            keyring=cast(Any, Keys()),
            teller=teller,
            reports=Reports(Publisher(KAFKA, "/streams/replies"), memories),
            purse=Purse(cast(Any, None), cast(Any, None)),  # every agent here is free
            max_answer_bytes=1_000,
        )
        replies = Replies(Recall(KAFKA), means, memories, calls)
        watched: Keyed[Any] = Keyed(process.role, replies, world.seen)
        settings = _intake_settings(process, max_in_flight=3, revoke_drain_s=0)
        intake = Intake(settings, KAFKA, AGENT_REQUESTS, watched, replies.dead_letter)
        helpers = [calls.create_task(work) for work in (teller.run(), replies.run())]
        try:
            await intake.run(process.stopping)
        finally:
            replies.abandon_all()
            for helper in helpers:
                helper.cancel()


async def _history(process: Process) -> None:
    world = process.world
    sink = HistorySink(cast(Any, Pool(world.postgres)), cast(Any, Keys()), KAFKA, TOPIC_ID)
    watched: Batched[Any] = Batched(process.role, sink, world.seen)
    settings = _intake_settings(process, batch_size=4)
    await Intake(settings, KAFKA, CONVERSATION_EVENTS, watched).run(process.stopping)


_MAINS: dict[str, Callable[[Process], Any]] = {
    "conversations": _conversations,
    "replies": _replies,
    "history": _history,
}


def _decide(
    state: State | None, command: events.ConversationCommand, cause: str, now: datetime, **more: Any
) -> Outcome:
    """The rule, watched: a refusal leaves no trace in any log."""
    outcome = decide(state, command, cause, now, **more)
    if outcome.code is not None:
        process = cast(Process, cast(ProcessLoop, asyncio.get_running_loop()).writer)
        process.world.refused.add(cause)
    return outcome


@contextmanager
def simulated(clock: Clock) -> Iterator[None]:
    """While this lasts, what the workers reach for is not there: doubles are, and our time."""

    class Now(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(clock.now, tz)

    with ExitStack() as stack:
        for name, double in {
            "infra.kafka.AIOKafkaProducer": Producer,
            "infra.kafka.AIOKafkaConsumer": Consumer,
            "infra.kafka.datetime": Now,
            "streams.workers.recall.AIOKafkaConsumer": Consumer,
            "streams.workers.recall.time": lambda: clock.now,
            "streams.workers.calls.datetime": Now,
            "streams.workers.conversations.datetime": Now,
            "streams.workers.conversations.decide": _decide,
            "streams.workers.conversations.FactLog": partial(FactLog, leave=_leave),
            "streams.intake.App": App,
            "streams.intake.REGISTRY": CollectorRegistry(),
        }.items():
            stack.enter_context(patch(name, double))
        yield

"""Kafka as far as it can be told apart by its clients: logs, groups, and what goes wrong with them.

The doubles stand in for `AIOKafkaProducer`, `AIOKafkaConsumer` and our Faust app; whose they are they know by the event
loop that they run in.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from aiokafka.structs import RecordMetadata, TopicPartition

from infra.kafka import partition_of
from schemas.topics import CONVERSATION_PARTITIONS
from streams.app import Listener, Offsets
from tests.model.loop import Clock, Loop


@dataclass(frozen=True, slots=True)
class Stored:
    """A record in a log. `timestamp` is in milliseconds, `writer` the process that wrote it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    writer: object

    @property
    def id(self) -> str:
        return dict(self.headers)["ce_id"].decode()


class Broker:
    """What Kafka keeps, whoever dies.

    Attributes:
        told: who hears of each record as it is stored.
        moved: who hears of each commit that is taken, before it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.logs: defaultdict[TopicPartition, list[Stored]] = defaultdict(list)
        self.groups: dict[str, Group] = {}
        self.told: list[Callable[[Stored], None]] = []
        self.moved: list[Callable[[str, Mapping[int, int]], None]] = []
        self._hungry: list[asyncio.Future[None]] = []

    def append(
        self, topic: str, key: bytes, value: bytes, headers: Iterable[tuple[str, bytes]], writer: object = None
    ) -> Stored:
        partition = partition_of(key.decode(), CONVERSATION_PARTITIONS)
        log = self.logs[TopicPartition(topic, partition)]
        record = Stored(topic, partition, len(log), int(self._clock.now * 1000), key, value, tuple(headers), writer)
        log.append(record)
        for tell in self.told:
            tell(record)
        self.feed()
        return record

    def feed(self) -> None:
        """Wake whoever waits for records."""
        hungry, self._hungry = self._hungry, []
        for one in hungry:
            if not one.done():
                one.set_result(None)

    def wait(self) -> "asyncio.Future[None]":
        self._hungry.append(asyncio.get_running_loop().create_future())
        return self._hungry[-1]

    def end(self, topic: str, partition: int) -> int:
        return len(self.logs[TopicPartition(topic, partition)])


class Group:
    """A consumer group as its coordinator sees it: eager rebalances, members that it hears nothing of are expelled.

    Members learn of a rebalance, and of being expelled, only when their `news` reach them.
    """

    def __init__(self, name: str, topic: str, partitions: Iterable[int], broker: Broker) -> None:
        self.name = name
        self.topic = topic
        self.broker = broker
        self.partitions = sorted(partitions)
        self.committed: dict[int, int] = {}
        self._generation = 0
        self._members: list[App] = []
        self._stable = True
        self._joined: dict[App, int] = {}
        broker.groups[name] = self

    def join(self, app: "App", for_round: int) -> None:
        if app not in self._members:
            self._members.append(app)
        if self._stable:
            self._begin(but=app)
        self._joined[app] = for_round
        self._complete()

    def leave(self, app: "App") -> None:
        """A member says that it goes, or has not been heard of for too long."""
        if app not in self._members:
            return
        self._members.remove(app)
        self._joined.pop(app, None)
        if self._stable:
            self._begin()
        self._complete()

    def expel(self, app: "App") -> None:
        if app in self._members:
            self.leave(app)
            app.news.append(app.rejoin)

    def rebalance(self) -> None:
        """Nobody came or went, as when a worker is replaced in time."""
        if self._stable:
            self._begin()

    def _begin(self, but: "App | None" = None) -> None:
        self._stable = False
        self._joined = {}
        for member in self._members:
            if member is not but and member.rejoin not in member.news:
                member.news.append(member.rejoin)

    def _complete(self) -> None:
        if not self._stable and self._joined.keys() >= set(self._members):
            self._stable = True
            self._generation += 1
            for n, member in enumerate(self._members):
                mine = self.partitions[n :: len(self._members)]
                positions = {p: self.committed.get(p, 0) for p in mine}
                member.loop.hear(partial(member.assigned, self._joined[member], self._generation, positions))

    def commit(self, app: "App", offsets: Mapping[int, int]) -> bool:
        """Take a commit, of a member whose generation is the present one."""
        if app not in self._members or app.generation != self._generation:
            return False
        for heard in self.broker.moved:
            heard(self.name, offsets)
        self.committed |= offsets
        return True


class Place:
    """Where doubles find the world that they are in: the loop of a simulated process."""

    def __init__(self) -> None:
        self.loop = cast("ProcessLoop", asyncio.get_running_loop())
        self.broker = self.loop.broker


class ProcessLoop(Loop):
    """The loop of one process. `writer` names the process in what it writes; `app` is its member of a group."""

    def __init__(self, clock: Clock, broker: Broker, writer: object) -> None:
        super().__init__(clock)
        self.broker = broker
        self.writer = writer
        self.app: App | None = None


class Producer(Place):
    """`AIOKafkaProducer`: idempotent, so in order and once each."""

    def __init__(self, **_: object) -> None:
        super().__init__()
        self._unanswered: dict[object, asyncio.Future[RecordMetadata]] = {}
        """The last record of each partition."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def flush(self) -> None:
        if self._unanswered:
            await asyncio.wait(self._unanswered.values())

    async def send(
        self, topic: str, value: bytes, key: bytes, headers: Iterable[tuple[str, bytes]]
    ) -> "asyncio.Future[RecordMetadata]":
        def write() -> RecordMetadata:
            stored = self.broker.append(topic, key, value, headers, self.loop.writer)
            where = TopicPartition(topic, stored.partition)
            return RecordMetadata(topic, stored.partition, where, stored.offset, stored.timestamp, 0, 0)

        # Each partition has its leader, and what goes to one says nothing of what goes to another.
        way = (topic, partition_of(key.decode(), CONVERSATION_PARTITIONS))
        self._unanswered[way] = report = self.loop.post(write, way)
        return report

    async def send_and_wait(
        self, topic: str, value: bytes, key: bytes, headers: Iterable[tuple[str, bytes]]
    ) -> RecordMetadata:
        return await (await self.send(topic, value, key, headers))


class Consumer(Place):
    """`AIOKafkaConsumer` without a group: reads what is there."""

    def __init__(self, **_: object) -> None:
        super().__init__()
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assign(self, wheres: Iterable[TopicPartition]) -> None:
        self._positions = dict.fromkeys(wheres, 0)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self._positions[where] = offset

    async def position(self, where: TopicPartition) -> int:
        return self._positions[where]

    async def end_offsets(self, wheres: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        wanted = list(wheres)
        return await self.loop.post(lambda: {where: len(self.broker.logs[where]) for where in wanted})

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Any]:
        def find() -> dict[TopicPartition, Any]:
            found = {
                where: next((r.offset for r in self.broker.logs[where] if r.timestamp >= ms), None)
                for where, ms in times.items()
            }
            return {w: None if offset is None else SimpleNamespace(offset=offset) for w, offset in found.items()}

        return await self.loop.post(find)

    async def getmany(self, *wheres: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Stored]]:
        def fetch() -> dict[TopicPartition, list[Stored]]:
            return {where: self.broker.logs[where][self._positions[where] :] for where in wheres}

        found = await self.loop.post(fetch)
        for where, records in found.items():
            self._positions[where] += len(records)
        return found


class App(Place):
    """Our Faust app: a member of a group that carries records to an intake."""

    crash_reason: None = None

    def __init__(self, *, group: str, offsets: Offsets, listener: Listener, **_: object) -> None:
        super().__init__()
        self.loop.app = self
        self.group = self.broker.groups[group]
        self.generation = 0
        self.news: list[Callable[[], None]] = []
        """What its heartbeats will tell it."""
        self.consumer = self
        self.producer = SimpleNamespace(send_and_wait=self._dead_letter)
        self._offsets = offsets
        self._listener = listener
        self._positions: dict[int, int] = {}
        self._start: dict[int, int] = {}
        self._round = 0
        self._rejoining = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._receive: Callable[[App], Awaitable[None]] | None = None

    # -- the group --

    def rejoin(self) -> None:
        """A rebalance has begun, or this member was expelled."""
        if not self._stopped.is_set():
            self._task(self._rejoin())

    async def _rejoin(self) -> None:
        async with self._rejoining:
            self._round += 1
            self._positions = {}
            await self._listener.partitions_go()
            await self.loop.post(partial(self.group.join, self, self._round))

    def assigned(self, for_round: int, generation: int, positions: dict[int, int]) -> None:
        if for_round != self._round or self._stopped.is_set():
            return  # the next rebalance has begun already
        self.generation = generation
        self._positions = dict(positions)
        self._start = dict(positions)
        self._listener.partitions_came()
        self.broker.feed()

    async def start_offsets(self) -> dict[int, int]:
        return dict(self._start)

    def commit_soon(self) -> None:
        """The time between commits is over."""
        self._task(self.commit_now())

    async def commit_now(self) -> None:
        offsets = dict(self._offsets.uncommitted())
        if offsets and await self.loop.post(lambda: self.group.commit(self, offsets)):
            self._offsets.committed(offsets)

    def highwaters(self, partitions: Iterable[int]) -> dict[int, int]:
        return {p: self.broker.end(self.group.topic, p) for p in partitions}

    # -- what the intake makes of it --

    def topic(self, *_: object, **__: object) -> None: ...

    def agent(self, *_: object, **__: object) -> Callable[[Callable[["App"], Awaitable[None]]], None]:
        def take(receive: Callable[[App], Awaitable[None]]) -> None:
            self._receive = receive

        return take

    def noack(self) -> "App":
        return self

    async def events(self) -> AsyncIterator[Any]:
        while True:
            if (record := self._next()) is None:
                await self.broker.wait()
            else:
                yield SimpleNamespace(message=record)

    def _next(self) -> Any:
        for partition in sorted(self._positions, key=self._positions.__getitem__):
            log = self.broker.logs[TopicPartition(self.group.topic, partition)]
            if (position := self._positions[partition]) < len(log):
                self._positions[partition] += 1
                found = log[position]
                return SimpleNamespace(
                    topic=found.topic,
                    partition=partition,
                    offset=found.offset,
                    key=found.key,
                    value=found.value,
                    headers=list(found.headers),
                    timestamp=found.timestamp / 1000,
                )
        return None

    async def start(self) -> None:
        assert self._receive is not None
        self._task(self._receive(self))
        await self.loop.post(lambda: self.group.join(self, 0))

    async def wait_until_stopped(self) -> None:
        await self._stopped.wait()

    async def stop(self) -> None:
        self._stopped.set()
        await self.loop.post(lambda: self.group.leave(self))

    async def _dead_letter(self, topic: str, key: bytes, value: bytes, *rest: Any) -> None:
        await self.loop.post(lambda: self.broker.append(topic, key, value, rest[-1], self.loop.writer))

    def _task(self, work: Any) -> None:
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

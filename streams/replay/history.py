"""Rebuilds history from the log, beside the live tables, and puts it in their place."""

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import structlog

from infra import postgres
from infra.keyring import Keyring
from infra.segments import Record
from infra.settings import PostgresSettings, SealingSettings
from schemas.contract import InvalidRecord
from schemas.topics import CONVERSATION_EVENTS
from streams.projections.storing import Memory, Read, open_texts, write_new
from streams.replay import shadow
from streams.replay.log import PARTITIONS, TOPIC, Log
from streams.replay.pace import Pace
from streams.replay.progress import Bar
from streams.replay.refusals import CannotReplay
from streams.replay.shadow import Compared, Partly

if TYPE_CHECKING:
    from streams.replay.shadow import Connection

AT_ONCE = 3
"""Partitions that are read at once: while PostgreSQL writes for one, this process prepares the next."""

NEAR = 2_000
"""Records between the shadow and the live tables that are few enough to let the live sink wait for them: well below a
second."""

ATTEMPTS = 40
"""How often the live sink is held for the last records before giving up: somebody reads for very long."""

log = structlog.get_logger(__name__)


class HistoryReplay:
    """One replay, from `opened`. `bar` counts the records that it reads."""

    def __init__(
        self,
        topic: Log,
        topic_id: str,
        keyring: Keyring,
        admin: "Connection",
        settings: PostgresSettings,
        pace: Pace,
    ) -> None:
        self._log = topic
        self._topic_id = topic_id
        self._keyring = keyring
        self._admin = admin
        self._settings = settings
        self._pace = pace
        self._memory = Memory()
        self._partly = Partly(frozenset(), {})
        self._writers: list[Connection] = []
        self.bar: Bar | None = None

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, topic: Log, settings: PostgresSettings, sealing: SealingSettings, pace: Pace
    ) -> "AsyncGenerator[HistoryReplay, None]":
        """Everything that a replay needs, alone.

        Raises:
            CannotReplay: another one runs.
        """
        topic_id = await topic.topic_id()
        admin = await shadow.connect(settings)
        try:
            await shadow.alone(admin, "history")
            async with await postgres.connect(settings) as pool:
                replay = cls(topic, topic_id, Keyring(pool, sealing), admin, settings, pace)
                try:
                    yield replay
                finally:
                    for connection in replay._writers:
                        connection.terminate()
        finally:
            admin.terminate()

    async def distance(self) -> dict[int, tuple[int, int]]:
        """For each partition where the rebuilt tables are, and where the live ones are.

        Raises:
            CannotReplay: the log ends before the live tables do.
        """
        here = await self._progress() if await shadow.exists(self._admin, shadow.SCHEMA) else {}
        live = await shadow.live_offsets(self._admin, self._topic_id)
        for partition, end in (await self._log.ends()).items():
            if live.get(partition, 0) > end:
                raise CannotReplay(
                    f"History has stored {TOPIC} partition {partition} up to offset {live[partition]}, and the log "
                    f"ends at {end}: it was cut back. Restore the log first."
                )
        return {p: (here.get(p, 0), live.get(p, 0)) for p in sorted(PARTITIONS)}

    async def begun(self) -> bool:
        """Whether there is a shadow that an earlier replay has begun.

        Raises:
            CannotReplay: it was made of another log.
        """
        if not await shadow.exists(self._admin, shadow.SCHEMA):
            return False
        await self._progress()
        return True

    async def begin(self, starts: Mapping[int, int] | None) -> None:
        """Make an empty shadow. With `starts`, only conversations with a record from these offsets on are rebuilt, and
        the others are taken as they are.

        Raises:
            CannotReplay: see `shadow.create`.
        """
        await self._log.reaches_back_to(dict.fromkeys(PARTITIONS, 0))
        partly = None if starts is None else await self._search(starts)
        await shadow.create(self._admin, self._topic_id, PARTITIONS, partly)

    async def give_up(self) -> None:
        """Drop the shadow, and what the last swap put away."""
        for schema in (shadow.SCHEMA, shadow.OLD):
            await shadow.drop(self._admin, schema)

    async def bring_back(self) -> None:
        """Make what the last swap put away the shadow.

        Raises:
            CannotReplay: there is none, or there is a shadow already.
        """
        if await shadow.exists(self._admin, shadow.SCHEMA):
            raise CannotReplay("A replay was begun since: finish it, or drop it with --drop.")
        if not await shadow.exists(self._admin, shadow.OLD):
            raise CannotReplay("There is nothing to bring back: no swap has put tables away.")
        await shadow.bring_back(self._admin)

    async def catch_up(self) -> None:
        """Read the log until the shadow is near the live tables, and make what makes it their equal."""
        self._writers = [await shadow.connect_shadow(self._settings) for _ in range(AT_ONCE)]
        self._partly = await shadow.partly(self._admin)
        await self._log.reaches_back_to(await self._progress())
        await self._rounds()
        if self.bar:
            self.bar.phase("making indexes")
        await shadow.make_indexes(self._admin)
        await self._rounds()

    async def compare(self) -> list[Compared]:
        """Compare both, table by table, at one moment at which both have the same records.

        Raises:
            CannotReplay: they do not get there.
        """
        snapshot = await shadow.connect(self._settings)
        try:
            async with snapshot.transaction(isolation="repeatable_read", readonly=True):
                await self._while_live_waits(lambda: _look(snapshot))
                return [await shadow.compare(snapshot, table) for table in shadow.TABLES]
        finally:
            snapshot.terminate()

    async def swap(self) -> None:
        """Put the shadow in the place of the live tables, which are kept in the schema `replay_old`.

        Raises:
            CannotReplay: the shadow is behind, or readers do not let go of the tables.
        """
        await shadow.drop(self._admin, shadow.OLD)
        watcher = await shadow.connect(self._settings)

        async def work() -> None:
            await shadow.older_readers_are_gone(watcher, self._admin)
            await shadow.swap(self._admin, self._topic_id)

        try:
            await self._while_live_waits(work)
        finally:
            watcher.terminate()

    async def _while_live_waits(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do `work` while the live sink waits, and the shadow is where it is."""
        for attempt in range(ATTEMPTS):
            try:
                await self._rounds()
                async with self._admin.transaction():
                    live = await shadow.hold_live(self._admin, self._topic_id)
                    here = await self._progress()
                    left = {p: (here[p], end) for p, end in live.items()}
                    if sum(end - start for start, end in left.values()) <= NEAR:
                        await self._advance(left)
                        await work()
                        return
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, TimeoutError) as error:
                log.debug("others read, or write: trying again", attempt=attempt, error=repr(error))
                await asyncio.sleep(random.uniform(0.1, 0.5))  # noqa: S311  # spread, so as to meet others less often
        raise CannotReplay(
            "Something reads history's tables for long (a dump, a report?): nothing was swapped. Run the same command "
            "again when it is done."
        )

    # -- reading and writing --

    async def _progress(self) -> dict[int, int]:
        topic_id, here = await shadow.progress(self._admin)
        if topic_id != self._topic_id:
            raise CannotReplay(
                "The shadow that was begun was made of another log: the topic was made anew since. Drop it with --drop."
            )
        return here

    async def _rounds(self) -> None:
        while True:
            left = await self.distance()
            records = sum(max(0, end - start) for start, end in left.values())
            if self.bar:
                self.bar.grow(self.bar.done + records)
            await self._advance(left)
            if records <= NEAR:
                return

    async def _advance(self, left: Mapping[int, tuple[int, int]]) -> None:
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for writer in self._writers:
            free.put_nowait(writer)

        async def one(partition: int, start: int, end: int) -> None:
            writer = await free.get()
            try:
                async with aclosing(self._log.read(partition, start, end)) as batches:
                    async for batch in batches:
                        await self._store(writer, partition, batch)
                        if self.bar:
                            self.bar.advance(len(batch))
                        await self._pace.keep(len(batch))
            finally:
                free.put_nowait(writer)

        async with asyncio.TaskGroup() as group:
            for partition, (start, end) in left.items():
                if start < end:
                    group.create_task(one(partition, start, end))

    async def _store(self, writer: "Connection", partition: int, batch: Sequence[Record]) -> None:
        items = await open_texts(self._keyring, list(self._decoded(partition, batch)))
        async with writer.transaction():
            if items:
                await write_new(writer, self._topic_id, items, self._memory)
            await shadow.reached(writer, partition, batch[-1].offset + 1)

    def _decoded(self, partition: int, batch: Sequence[Record]) -> Iterator[Read]:
        scanned = self._partly.scanned.get(partition, 0)
        chosen = self._partly.conversations
        for record in batch:
            if record.offset < scanned and (record.key or b"").decode(errors="replace") not in chosen:
                continue
            try:
                event, _ = CONVERSATION_EVENTS.decode(record.value, record.headers)
            except InvalidRecord as error:  # the live sink's intake has put it aside when it came
                log.warning("unreadable record skipped", partition=partition, offset=record.offset, error=str(error))
                continue
            yield event, partition, record.offset

    async def _search(self, starts: Mapping[int, int]) -> Partly:
        live = await shadow.live_offsets(self._admin, self._topic_id)
        found: set[str] = set()
        for partition in sorted(PARTITIONS):
            async with aclosing(self._log.read(partition, starts[partition], live.get(partition, 0))) as batches:
                async for batch in batches:
                    found.update((record.key or b"").decode(errors="replace") for record in batch)
        return Partly(frozenset(filter(_is_id, found)), {p: live.get(p, 0) for p in PARTITIONS})


async def _look(snapshot: "Connection") -> None:
    # A transaction sees the moment of its first statement.
    await snapshot.execute("SELECT")


_is_id = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch

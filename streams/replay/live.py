"""Rebuilds the live windows from the log, beside those in Redis, and puts them in their place one by one.

Nothing is told to anybody: a window that is replaced says again what was said.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import structlog
from msgspec.structs import replace
from redis.asyncio import Redis

from infra import postgres
from infra import redis as our_redis
from infra.kafka import epoch_of
from infra.keyring import Keyring
from infra.live import WINDOW_S, encode_record, records_key, state_key
from infra.segments import Record
from infra.settings import PostgresSettings, RedisSettings, SealingSettings
from schemas import events
from schemas.contract import InvalidRecord
from schemas.conversation import ConversationView, apply
from schemas.opened import Opened, closed, opened, owners
from schemas.sealing import CannotUnseal
from schemas.topics import CONVERSATION_EVENTS
from streams.projections.window import WRITE, live_record, write_arguments
from streams.replay import shadow, windows
from streams.replay.log import PARTITIONS, Log
from streams.replay.pace import Pace
from streams.replay.progress import Bar

AT_ONCE = 200
"""Scripts in one round trip to Redis: between two of them others have their turn."""

ROUNDS = 10
"""How often windows that change all the time are looked at again."""

log = structlog.get_logger(__name__)

_view = msgspec.json.Decoder(ConversationView).decode


class LiveReplay:
    """One replay, from `opened`. `bar` counts the records that it reads."""

    def __init__(self, topic: Log, topic_id: str, keyring: Keyring, redis: Redis, pace: Pace) -> None:
        self._log = topic
        self._epoch = epoch_of(topic_id)
        self._keyring = keyring
        self._redis = redis
        self._pace = pace
        self._chosen: set[str] = set()
        self._views: dict[str, ConversationView] = {}
        self._last_ms: dict[str, int] = {}
        self.bar: Bar | None = None

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        topic: Log,
        settings: PostgresSettings,
        sealing: SealingSettings,
        redis_settings: RedisSettings,
        pace: Pace,
    ) -> "AsyncGenerator[LiveReplay, None]":
        """Everything that a replay needs, alone.

        Raises:
            CannotReplay: another one runs.
        """
        topic_id = await topic.topic_id()
        admin = await shadow.connect(settings)
        try:
            await shadow.alone(admin, "live")
            async with (
                await postgres.connect(settings) as pool,
                our_redis.connect(redis_settings, timeout_s=30) as redis,
            ):
                yield cls(topic, topic_id, Keyring(pool, sealing), redis, pace)
        finally:
            admin.terminate()

    async def begun(self) -> bool:
        """Whether an earlier replay of this log has begun something to go on with."""
        found: Any = await self._redis.hget(windows.OFFSETS, "epoch")
        return bool(found == self._epoch.encode())

    async def begin(self, starts: Mapping[int, int] | None) -> None:
        """Choose the conversations that have a window: those with a record since a day, and since `starts`."""
        await self.give_up()
        ends = await self._log.ends()
        oldest = await self._log.at(datetime.now(UTC) - timedelta(seconds=WINDOW_S))
        chosen: set[bytes] = set()
        offsets: dict[Any, Any] = {}
        for partition in sorted(PARTITIONS):
            here = len(chosen)
            start = max(oldest[partition], starts[partition] if starts else 0)
            async with aclosing(self._log.read(partition, start, ends[partition])) as batches:
                async for batch in batches:
                    chosen.update(record.key for record in batch if record.key)
            offsets[str(partition)] = str(0 if len(chosen) > here else ends[partition])
        async with self._redis.pipeline() as pipeline:
            for some in _chunks(sorted(chosen)):
                pipeline.sadd(windows.CHOSEN, *some)
            pipeline.hset(windows.OFFSETS, mapping={"epoch": self._epoch, **offsets})
            for key in (windows.CHOSEN, windows.OFFSETS):
                pipeline.expire(key, WINDOW_S)
            await pipeline.execute()

    async def give_up(self) -> None:
        """Forget what was rebuilt."""
        async for some in self._redis.scan_iter(f"{windows.PREFIX}*", count=1_000):
            await self._redis.unlink(some)

    async def distance(self) -> dict[int, tuple[int, int]]:
        """For each partition where the rebuilt windows are, and where the log ends."""
        found: Any = await self._redis.hgetall(windows.OFFSETS)
        return {p: (int(found.get(str(p).encode(), 0)), end) for p, end in sorted((await self._log.ends()).items())}

    async def catch_up(self) -> None:
        """Read the log to its end."""
        if not self._chosen:
            members: Any = await self._redis.smembers(windows.CHOSEN)
            self._chosen = {member.decode() for member in members}
            await self._log.reaches_back_to({p: start for p, (start, _) in (await self.distance()).items()})
        for partition, (start, end) in (await self.distance()).items():
            if self.bar:
                self.bar.grow(self.bar.done + max(0, end - start))
            async with aclosing(self._log.read(partition, start, end)) as batches:
                async for batch in batches:
                    await self._write(partition, batch)
                    if self.bar:
                        self.bar.advance(len(batch))
                    await self._pace.keep(len(batch))

    async def look(self) -> dict[str, list[str]]:
        """Compare every window; what they are, and the conversations of which that is so."""
        found = await self._settled(self._chosen, swap=False)
        return {what: sorted(c for c, is_so in found.items() if is_so == what) for what in (*_WRONG, "same", "ahead")}

    async def swap(self, wrong: Iterable[str]) -> int:
        """Replace these windows, each at once.

        Returns:
            how many could not be: records came all the time.
        """
        found = await self._settled(set(wrong), swap=True)
        return sum(what == "ahead" for what in found.values())

    async def _settled(self, conversations: set[str], *, swap: bool) -> dict[str, str]:
        """What each window is; one that goes on meanwhile is looked at again, once the log was read again."""
        found: dict[str, str] = {}
        tops: dict[str, bytes] = {}
        for attempt in range(ROUNDS):
            moving = sorted(c for c in conversations if found.get(c, "ahead") in ("ahead", "behind"))
            if not moving or (swap and attempt and "ahead" not in found.values()):
                break
            if attempt:
                await asyncio.sleep(0.1 * attempt)
                await self.catch_up()
            for some in _chunks(moving):
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for c in some:
                        # The log was read to its end since this top was seen: no record has it.
                        live = (state_key(c), records_key(c))
                        pipeline.eval(
                            windows.MEND, 4, *live, *windows.keys(c), int(swap), self._seconds(c), tops.get(c, b"")
                        )
                    for c, (what, top) in zip(some, await pipeline.execute(), strict=True):
                        found[c], tops[c] = what.decode(), top
        return found

    def _seconds(self, conversation_id: str) -> int:
        last = self._last_ms.get(conversation_id)  # unknown to one that goes on: then as if it were now
        return WINDOW_S if last is None else max(1, int(WINDOW_S - time.time() + last / 1000))

    async def _write(self, partition: int, batch: Sequence[Record]) -> None:
        records = []
        for raw in batch:
            if (key := (raw.key or b"").decode(errors="replace")) not in self._chosen:
                continue
            self._last_ms[key] = raw.timestamp
            try:
                records.append(CONVERSATION_EVENTS.decode(raw.value, raw.headers)[0])
            except InvalidRecord as error:  # the live projection's intake has put it aside when it came
                log.warning("unreadable record skipped", partition=partition, offset=raw.offset, error=str(error))
        await self._remember({record.conversation_id for record in records} - self._views.keys())
        for some in _chunks(records):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for content in await self._opened(some):
                    if (view := self._after(content.record)) is not None:
                        told = encode_record(live_record(self._epoch, content, view))
                        arguments = write_arguments(self._epoch, content.record.position, view, told)
                        pipeline.eval(WRITE, 2, *windows.keys(view.conversation_id), *arguments)
                await pipeline.execute()
        await self._redis.hset(windows.OFFSETS, str(partition), str(batch[-1].offset + 1))

    async def _remember(self, conversations: set[str]) -> None:
        """Take up views where a replay that was stopped has left them."""
        for some in _chunks(sorted(conversations)):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for c in some:
                    pipeline.hget(windows.keys(c)[0], "view")
                for c, view in zip(some, await pipeline.execute(), strict=True):
                    if view:
                        self._views[c] = _view(view)

    def _after(self, record: events.ConversationAdvanced) -> ConversationView | None:
        """The view after this record; None where it is no news."""
        view = self._views.get(record.conversation_id)
        before = 0 if view is None else view.position
        if record.position <= before:
            return None
        view = replace(apply(view, replace(record, position=before + 1)), position=record.position)
        self._views[record.conversation_id] = view
        return view

    async def _opened(self, records: Sequence[events.ConversationAdvanced]) -> list[Opened]:
        wanted: set[str] = set()
        for record in records:
            try:
                wanted.update(owners(record))
            except CannotUnseal:
                pass  # it is closed below
        keys = await self._keyring.keys(wanted)
        found = []
        for record in records:
            try:
                found.append(opened(record, keys))
            except CannotUnseal:
                found.append(closed(record))
        return found


_WRONG = ("missing", "differs", "behind")


def wrong(found: Mapping[str, list[str]]) -> list[str]:
    """The conversations whose windows are to be replaced."""
    return [c for what in _WRONG for c in found[what]]


def _chunks(all_of_them: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (all_of_them[n : n + AT_ONCE] for n in range(0, len(all_of_them), AT_ONCE))

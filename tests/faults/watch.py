"""Whether the service is well at a moment, seen from outside: acknowledged, processed, shown.

Nothing is well that began more than two seconds ago and is not done. Recovery is over at the last moment at which
something was not well. Under load no queue is ever empty, so "no lag" means: what is older than that is processed.
"""

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from schemas.topics import AGENT_REQUESTS, CONVERSATION_COMMANDS, CONVERSATION_EVENTS, CONVERSATION_PARTITIONS, USAGE
from tests.faults.load import TOKEN_MS, TOKENS, Load

LATE_S: Final = 2.0
ANSWER_S: Final = TOKENS * TOKEN_MS / 1000
EVERY_S: Final = 0.5
_ASK_S: Final = 2.0

GROUPS: Final = {
    # A request is done when its answer has ended, and one of the same conversation may be before it.
    "conversations": (CONVERSATION_COMMANDS.topic, LATE_S),
    "replies": (AGENT_REQUESTS.topic, LATE_S + 3 * ANSWER_S),
    "history": (CONVERSATION_EVENTS.topic, LATE_S),
    "live": (CONVERSATION_EVENTS.topic, LATE_S),
    "notifications": (CONVERSATION_EVENTS.topic, LATE_S),
    "billing": (USAGE.topic, LATE_S),
}
"""Each group, the topic that it reads, and the age from which on a record should have been processed, in seconds."""
_TOPICS: Final = sorted({topic for topic, _ in GROUPS.values()})
_PLACES: Final = [TopicPartition(topic, p) for topic in _TOPICS for p in range(CONVERSATION_PARTITIONS)]


@dataclass(frozen=True)
class Seen:
    """One moment. Totals are over all partitions; `trouble` says what is not well, or is empty."""

    at: float
    trouble: str
    ends: dict[str, int]
    done: dict[str, int]

    def lag(self, group: str) -> int:
        return self.ends.get(GROUPS[group][0], 0) - self.done.get(group, 0)


class Watch:
    """Looks twice a second, on connections that no fault touches, until `close`."""

    def __init__(self, bootstrap: str, load: Load) -> None:
        self.seen: list[Seen] = []
        self._load = load
        self._bootstrap = bootstrap
        self._clients: tuple[AIOKafkaConsumer, AIOKafkaAdminClient] | None = None
        self._past: deque[tuple[float, dict[str, dict[int, int]]]] = deque()
        self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)
        await self._forget()

    async def calm(self, for_s: float, within_s: float) -> bool:
        """Wait until all has been well for so long; false where that does not come in time."""
        deadline = time.monotonic() + within_s
        began = time.monotonic()
        while time.monotonic() < deadline:
            if self._looking.done():
                self._looking.result()
            last = max((seen.at for seen in self.seen if seen.trouble), default=began)
            if time.monotonic() - max(last, began) >= for_s and self.seen and self.seen[-1].at - max(last, began) > 0:
                return True
            await asyncio.sleep(EVERY_S / 2)
        return False

    def recovered_after(self, since: float) -> float:
        """Seconds from `since` to the last moment at which something was not well; 0 where there was none."""
        return max((seen.at - since for seen in self.seen if seen.trouble and seen.at > since), default=0.0)

    def last_trouble(self) -> str:
        """What was not well when something last was not."""
        return next((seen.trouble for seen in reversed(self.seen) if seen.trouble), "nothing")

    def troubles_after(self, since: float) -> dict[str, float]:
        """What was not well, numbers aside, and when it last was: seconds from `since`."""
        return {
            re.sub(r"\d+", "n", trouble): round(seen.at - since, 1)
            for seen in self.seen
            for trouble in filter(None, seen.trouble.split("; "))
            if seen.at > since
        }

    def drained(self, group: str, since: float) -> tuple[float, float]:
        """Of the time from `since` until the group had no lag: records a second processed, and records a second that
        came meanwhile. (0, 0) where there was nothing to drain."""
        after = [seen for seen in self.seen if seen.at >= since and seen.ends and seen.done]
        if not after:
            return 0.0, 0.0
        first = after[0]
        rate = max(1.0, first.ends[GROUPS[group][0]] - self.seen[0].ends.get(GROUPS[group][0], 0)) / max(
            1.0, first.at - self.seen[0].at
        )
        last = next((seen for seen in after if seen.lag(group) <= rate * LATE_S), after[-1])
        took = max(EVERY_S, last.at - since)
        topic = GROUPS[group][0]
        return (last.done[group] - first.done[group]) / took, (last.ends[topic] - first.ends[topic]) / took

    async def _look(self) -> None:
        while True:
            began = time.monotonic()
            self.seen.append(await self._now())
            await asyncio.sleep(max(0.05, began + EVERY_S - time.monotonic()))

    async def _now(self) -> Seen:
        trouble = self._clients_trouble()
        try:
            async with asyncio.timeout(_ASK_S):
                ends, done = await self._ask()
        except (KafkaError, OSError, TimeoutError) as error:
            # New clients: those that knew the broker before may ask on for what is gone.
            await self._forget()
            return Seen(time.monotonic(), trouble or f"Kafka does not say: {error!r}", {}, {})
        now = time.monotonic()
        self._past.append((now, ends))
        while len(self._past) > 2 and self._past[1][0] < now - 20:
            self._past.popleft()
        for group, (topic, late_s) in GROUPS.items():
            before = next((e for at, e in reversed(self._past) if at <= now - late_s), None)
            if before is not None:
                behind = sum(max(0, end - done[group].get(p, 0)) for p, end in before[topic].items())
                if behind:
                    trouble = "; ".join(filter(None, (trouble, f"{group} is behind by {behind}")))
        return Seen(
            now,
            trouble,
            {topic: sum(of.values()) for topic, of in ends.items()},
            {group: sum(of.values()) for group, of in done.items()},
        )

    def _clients_trouble(self) -> str:
        now = time.monotonic()
        records = self._load.records
        if late := [at for at in records.sending.values() if at < now - LATE_S]:
            return f"{len(late)} messages are not acknowledged"
        if late := [at for at in records.unseen.values() if at < now - LATE_S]:
            return f"{len(late)} messages are not shown"
        if away := sum(not window.is_current() for window in self._load.windows):
            return f"{away} windows are away"
        return ""

    async def _ask(self) -> tuple[dict[str, dict[int, int]], dict[str, dict[int, int]]]:
        if self._clients is None:
            consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False)
            admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
            self._clients = consumer, admin
            await consumer.start()
            await admin.start()
        consumer, admin = self._clients
        ends: dict[str, dict[int, int]] = {topic: {} for topic in _TOPICS}
        for place, offset in (await consumer.end_offsets(_PLACES)).items():
            ends[place.topic][place.partition] = offset
        done: dict[str, dict[int, int]] = {}
        for group, (topic, _) in GROUPS.items():
            found = await admin.list_consumer_group_offsets(group)
            done[group] = {tp.partition: max(0, at.offset) for tp, at in found.items() if tp.topic == topic}
        return ends, done

    async def _forget(self) -> None:
        if self._clients is None:
            return
        consumer, admin = self._clients
        self._clients = None
        await asyncio.wait([asyncio.ensure_future(consumer.stop()), asyncio.ensure_future(admin.close())], timeout=1)


@contextlib.asynccontextmanager
async def watching(bootstrap: str, load: Load) -> AsyncIterator[Watch]:
    watch = Watch(bootstrap, load)
    try:
        yield watch
    finally:
        await watch.close()

"""Workers that are killed, join and leave under load, on the real broker."""

import asyncio
import json
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from tests.running import Running, Stack, soon
from tests.streams.conftest import MakeTopic
from tests.streams.worker import Journal, Numbered, contract

_KEYS = 400
_PER_S = 200
_WORK_MS = 100

_START_S = 8
"""Two workers, one after the other, are ready within 5 s on two idle cores. Where that takes longer than this, all that
is promised in seconds is given as many times longer."""


class Workers:
    """Replica slots of the test's processor."""

    def __init__(self, stack: Stack, topic: str, journal: Path) -> None:
        self._stack = stack
        self._options = json.dumps({"topic": topic, "group": f"{topic}-readers", "file": str(journal)})
        self.running: dict[str, Running] = {}

    def start(self, slot: str) -> Running:
        self.running[slot] = self._stack.start("tests.streams.worker", slot, self._options)
        return self.running[slot]

    async def kill(self, slot: str) -> float:
        """SIGKILL, and start it again as a supervisor would, until it is ready; when it died."""
        self.running[slot].kill(signal.SIGKILL)
        died = time.monotonic()
        await self.running[slot].ended()
        await self.start(slot).ready()
        return died

    async def stop(self, slot: str) -> tuple[int, float]:
        """SIGTERM; the exit status and the seconds it took."""
        began = time.monotonic()
        status = await self.running.pop(slot).stop()
        return status, time.monotonic() - began


@pytest.fixture
def journal_path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def workers(stack: Stack, make_topic: MakeTopic, journal_path: Path) -> Iterator[tuple[Workers, str]]:
    topic = make_topic(8)
    workers = Workers(stack, topic, journal_path)
    yield workers, topic
    for running in workers.running.values():
        if running.process.poll() is None:
            running.kill(signal.SIGKILL)
        running.process.wait()


async def _load(bootstrap: str, topic: str, journal: Journal, stop: asyncio.Event) -> dict[str, int]:
    """Send at a steady rate until told to stop; how many records each key got."""
    sent: dict[str, int] = defaultdict(int)
    on_topic = contract(topic)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        began, count = time.monotonic(), 0
        while not stop.is_set():
            key = f"key-{random.randrange(_KEYS)}"
            value, headers = on_topic.encode(
                Numbered(n=sent[key], work_ms=_WORK_MS), id=str(uuid4()), source="/test", time=datetime.now(UTC)
            )
            await producer.send(topic, value, key=key.encode(), headers=headers)
            journal.write("sent", key=key, n=sent[key])
            sent[key] += 1
            count += 1
            await asyncio.sleep(max(0.0, began + count / _PER_S - time.monotonic()))
        await producer.flush()
    finally:
        await producer.stop()
    return dict(sent)


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_workers_come_and_go_and_are_killed_under_load(
    stack: Stack, workers: tuple[Workers, str], journal_path: Path
) -> None:
    """Four SIGKILLs in 30 s, a join and a leave: nothing is lost, no key is overtaken, a kill costs at most 7 s, and
    a SIGTERM ends in at most 5 s."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    random.seed(seed)
    slots, topic = workers
    journal = Journal(journal_path)
    began = time.monotonic()
    for slot in ("worker-0", "worker-1"):
        await slots.start(slot).ready()
    slowness = max(1.0, (time.monotonic() - began) / _START_S)

    stop = asyncio.Event()
    load = asyncio.create_task(_load(stack.kafka, topic, journal, stop))
    killed = []
    for slot in ("worker-0", "worker-1", "worker-0", "worker-1"):
        await asyncio.sleep(random.uniform(3, 5))  # the load is what is waited for
        killed.append(await slots.kill(slot))
    await asyncio.sleep(4)
    await slots.start("worker-2").ready()
    await asyncio.sleep(3)
    left = await slots.stop("worker-2")
    stop.set()
    sent = await load

    def all_handled() -> bool:
        return len({(e["key"], e["n"]) for e in journal.read("handled")}) == sum(sent.values())

    await soon("every record is handled", all_handled, 60)
    ends = [left, await slots.stop("worker-0"), await slots.stop("worker-1")]

    handled = list(journal.read("handled"))
    next_of: dict[str, int] = defaultdict(int)
    first_at: dict[tuple[str, int], float] = {}
    for event in handled:
        key, n = event["key"], event["n"]
        assert n <= next_of[key], f"{key}: {n} was handled before {next_of[key]}"
        next_of[key] = max(next_of[key], n + 1)
        first_at.setdefault((key, n), event["at"])
    waits = {e["at"]: first_at[e["key"], e["n"]] - e["at"] for e in journal.read("sent")}
    worst = []
    for died in killed:
        # What a busy machine makes everything wait is not what the kill costs.
        usual = median(wait for at, wait in waits.items() if died - 3 <= at <= died - 1)
        worst.append(max(wait for at, wait in waits.items() if died - 1 <= at <= died + 7) - usual)
    joins = max(wait for at, wait in waits.items() if at > killed[-1] + 7)
    print(
        f"{len(first_at)} records, {len(handled) - len(first_at)} repeated; each kill made wait "
        f"{[round(w, 1) for w in worst]} s, around join and leave {joins:.1f} s; "
        f"stops {[round(s, 2) for _, s in ends]} s; the machine is {slowness:.1f} times too slow"
    )
    assert max(worst) <= 7 * slowness
    assert [status for status, _ in ends] == [0, 0, 0]
    assert max(seconds for _, seconds in ends) <= 5 * slowness

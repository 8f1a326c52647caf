"""When a processor stops rather than make everything a dead letter, and how it stands still."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from schemas.dead_letters import REDRIVE_ID
from streams.breaker import Breaker, BreakerLimits
from tests.running import Stack
from tests.streams.conftest import MakeTopic
from tests.streams.test_intake import Batching, Gated, OnTopic, until
from tests.streams.worker import Numbered

LIMITS = BreakerLimits(consecutive=5, ratio=0.5, window_s=60, least=8)


def test_so_many_in_a_row_stop_it() -> None:
    """The limit's own record stops it, not the one before; and each partition has a row of its own."""
    breaker = Breaker(LIMITS)
    told = [breaker.stops(partition, 0) for _ in range(3) for partition in (0, 1)]
    told.append(breaker.stops(0, 1))
    assert told == [None] * 7
    assert breaker.stops(0, 2) == "5 records in a row failed in partition 0"


def test_one_good_record_ends_a_row() -> None:
    """Bad input by the handful stops nothing, however long it goes on."""
    breaker = Breaker(LIMITS)
    for n in range(100):
        assert breaker.stops(0, n * 10) is None
        assert n % 4 < 3 or breaker.handled(0, n * 10) is None


def test_half_of_all_within_a_minute_stop_it() -> None:
    """Good ones between them do not hide a mistake that meets every second record."""
    breaker = Breaker(LIMITS)
    told = []
    for n in range(8):
        breaker.handled(0, n)
        told.append(breaker.stops(0, n))
    assert told == [None] * 7 + ["8 of 16 records failed within 60 s"]


@pytest.mark.parametrize(
    ("good", "pause_s"),
    [pytest.param(2, 0.1, id="a third only"), pytest.param(1, 9, id="too few within a minute")],
)
def test_a_small_share_stops_nothing(good: int, pause_s: float) -> None:
    """Less than the share, or fewer than it takes for a share to say something."""
    breaker = Breaker(LIMITS)
    for n in range(100):
        for _ in range(good):
            breaker.handled(0, n * pause_s)
        assert breaker.stops(0, n * pause_s) is None


def test_what_was_long_ago_does_not_count() -> None:
    """A good hour does not hide a bad minute."""
    breaker = Breaker(LIMITS)
    for _ in range(100_000):
        breaker.handled(0, 0)
    told = []
    for n in range(8):
        breaker.handled(n, 61 + n)
        told.append(breaker.stops(n, 61 + n))
    assert told[-1] == "8 of 16 records failed within 60 s"


@pytest_asyncio.fixture
async def on(stack: Stack, make_topic: MakeTopic) -> AsyncIterator[OnTopic]:
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as producer:
        yield OnTopic(stack, make_topic(1), producer)


def _unfit(count: int) -> list[Numbered]:
    return [Numbered(n=n, unfit=True) for n in range(count)]


@pytest.mark.slow
async def test_it_stands_still_before_the_record_that_is_one_too_many(
    on: OnTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That record is neither put aside nor acknowledged and nothing after it is read, through a rebalance and past the
    watchdog's patience; a restart, with what failed mended, goes on with it."""
    monkeypatch.setattr("streams.intake._WATCH_S", 0.2)
    processor = Gated()
    processor.gate.set()
    await on.send(*_unfit(5), Numbered(n=5))
    async with on.intake(processor, breaker=BreakerLimits(consecutive=3), stall_s=5) as intake:
        await until("it has stopped", lambda: intake.not_ready() is not None and intake.figures().breaker_open)
        reason = intake.not_ready()
        assert reason is not None
        for said in ("3 records in a row", on.topic, "DeadLetter", f"chorus dlq show {on.topic}", "restart"):
            assert said in reason

        # What a rebalance does: everything is taken away, in bounded time, and given back.
        began = monotonic()
        await intake.partitions_go()
        assert monotonic() - began < 3
        intake.partitions_came()
        await until("it has its partitions back", lambda: len(processor.positions) == 2)
        await on.send(Numbered(n=6))
        done, _ = await asyncio.wait({intake._failure}, timeout=8)  # more than the watchdog's time
        assert not done
        assert intake.not_ready() == reason
        assert processor.done == []
        began = monotonic()
    assert monotonic() - began < 4
    assert len(await on.dead_letters(2)) == 2
    assert await on.committed() == 2

    mended = Gated()
    mended.gate.set()
    async with on.intake(mended, breaker=BreakerLimits(consecutive=4)) as intake:
        await until("it goes on", lambda: mended.done == [5, 6])
        assert intake.not_ready() is None
    assert await on.committed() == 7


async def test_a_sink_stands_still_too(on: OnTopic) -> None:
    """Nothing of the batch that is too bad is written or acknowledged."""
    sink = Batching()
    sink.gate.set()
    await on.send(Numbered(n=0))
    async with on.intake(sink, breaker=BreakerLimits(consecutive=3)) as intake:
        await until("the good one is written", lambda: sink.done == [0])
        for _ in range(4):
            await on.producer.send(on.topic, b"no json", key=b"key")
        await on.send(Numbered(n=1))
        await until("it has stopped", lambda: intake.not_ready() is not None)
    assert sink.done == [0]
    committed = await on.committed()
    assert committed is not None
    assert committed <= 3


async def test_what_an_operator_sends_again_does_not_count(on: OnTopic) -> None:
    """Re-driven records that fail again are dead letters again, counted on; the processor goes on."""
    processor = Gated()
    processor.gate.set()
    for attempts in (b"1", b"2", b"3", b"4", b"5"):
        headers = [(REDRIVE_ID, b"some"), ("dlq.attempts", attempts)]
        await on.producer.send_and_wait(on.topic, b"no json", key=b"key", headers=headers)
    await on.send(Numbered(n=0))
    async with on.intake(processor, breaker=BreakerLimits(consecutive=3)) as intake:
        await until("it goes on", lambda: processor.done == [0])
        assert not intake.figures().breaker_open
    letters = await on.dead_letters(5)
    assert [[v for k, v in letter.headers if k == "dlq.attempts"] for letter in letters] == [
        [b"%d" % n] for n in range(2, 7)
    ]


async def test_the_process_lives_and_says_why_it_is_not_ready(on: OnTopic, stack: Stack, tmp_path: Path) -> None:
    """/livez answers 200, /readyz 503 with the sentence, /metrics says it in a number, one line of the log is an error;
    SIGTERM ends it in time, status 0."""
    await on.send(*_unfit(250))
    options = {"topic": on.topic, "group": f"{on.topic}-readers", "file": str(tmp_path / "journal")}
    worker = stack.start("tests.streams.worker", "slot-0", json.dumps(options))

    def asked(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(worker.health + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    deadline = monotonic() + 60
    while "100 records in a row" not in (said := await asyncio.to_thread(asked, "/readyz"))[1]:
        assert monotonic() < deadline, said
        await asyncio.sleep(0.05)
    assert said[0] == 503
    assert (await asyncio.to_thread(asked, "/livez"))[0] == 200
    _, metrics = await asyncio.to_thread(asked, "/metrics")
    group = options["group"]
    assert f'chorus_intake_breaker_open{{group="{group}",topic="{on.topic}"}} 1.0' in metrics
    assert f'chorus_intake_dead_letters_total{{group="{group}",topic="{on.topic}"}} 99.0' in metrics
    began = monotonic()
    assert await worker.stop() == 0
    assert monotonic() - began < 5
    errors = [line for line in map(json.loads, worker.output.read_text().splitlines()) if line["level"] == "error"]
    assert [line["event"] for line in errors] == ["breaker open"]

"""How words become deltas. Redis is a mapping that keeps what it is given, and can be away."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest
from redis.exceptions import ConnectionError as RedisAway

from infra.deltas import Deltas, Written
from streams.workers import telling
from streams.workers.telling import Teller, Telling


class Kept:
    """What `Deltas` promises, in memory.

    Attributes:
        away: whether it fails; `lost` whether it also does what it fails to confirm.
        writes: time and number of runs of each round trip.
    """

    def __init__(self) -> None:
        self.runs: dict[str, list[str]] = {}
        self.ended: set[str] = set()
        self.away = False
        self.lost = False
        self.writes: list[tuple[float, int]] = []

    async def append_many(self, batch: Sequence[Written]) -> None:
        self.writes.append((time.monotonic(), len(batch)))
        away = self.away
        if not away or self.lost:
            for written in batch:
                known = self.runs.setdefault(written.run_id, [])
                if len(known) == written.from_seq - 1:
                    known += written.deltas[written.from_seq - 1 :]
                else:
                    known[:] = written.deltas
                if written.last:
                    self.ended.add(written.run_id)
        await asyncio.sleep(0.001)
        if away:
            raise RedisAway("away")


@asynccontextmanager
async def telling_to(kept: Kept) -> AsyncIterator[Teller]:
    teller = Teller(cast(Deltas, kept))
    task = asyncio.create_task(teller.run())
    yield teller
    task.cancel()


async def until_written(kept: Kept, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(kept.writes) < count:
        assert time.monotonic() < deadline, f"{len(kept.writes)} writes, waiting for {count}"
        await asyncio.sleep(0.001)


async def test_the_first_word_is_told_at_once_and_the_next_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for company before the first word; after it, the words of a while make one delta."""
    monkeypatch.setattr(telling, "GATHER_S", 1.0)
    kept = Kept()
    async with telling_to(kept) as teller:
        one = teller.begin("c", "run", 1)
        said_at = time.monotonic()
        one.say("first")
        await until_written(kept, 1)
        for word in (" second", " third", " fourth"):
            one.say(word)
        await until_written(kept, 2)

    assert kept.runs["run"] == ["first", " second third fourth"]
    assert kept.writes[0][0] - said_at < 0.8
    assert kept.writes[1][0] - kept.writes[0][0] > 0.8


def test_words_are_gathered_for_a_moment_only() -> None:
    """As long as nobody sees it."""
    assert 0.02 <= telling.GATHER_S <= 0.04


async def test_many_runs_share_a_round_trip() -> None:
    """A thousand answers do not make a thousand writes."""
    kept = Kept()
    async with telling_to(kept) as teller:
        runs = [teller.begin("c", f"run-{n}", 1) for n in range(1000)]
        for run in runs:
            run.say("a")
        await until_written(kept, 1)
        for run in runs:
            run.say("b")
        texts = await asyncio.gather(*(run.finish() for run in runs))

    assert set(texts) == {"ab"}
    assert len(kept.writes) < 10
    assert all(deltas == ["a", "b"] for deltas in kept.runs.values())
    assert len(kept.ended) == 1000


async def test_the_end_waits_for_the_last_words_but_not_for_ever() -> None:
    """With Redis away the text is whole and numbered, and the end is late by no more than a second or so."""
    kept = Kept()
    kept.away = True
    async with telling_to(kept) as teller:
        one = teller.begin("c", "run", 1)
        one.say("all of")
        one.say(" it")
        began = time.monotonic()
        text = await one.finish()

    assert text == "all of it" == "".join(one.deltas)
    assert telling.LAST_S * 0.9 < time.monotonic() - began < 10


async def test_the_last_words_are_told_when_redis_is_back_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that failed is made again without anybody saying more."""
    monkeypatch.setattr(telling, "LAST_S", 10.0)
    kept = Kept()
    kept.away = True
    async with telling_to(kept) as teller:
        one = teller.begin("c", "run", 1)
        one.say("all of it")
        finish = asyncio.create_task(one.finish())
        await until_written(kept, 2)
        kept.away = False
        await finish

    assert not one.forgotten
    assert kept.runs["run"] == ["all of it"]
    assert kept.ended == {"run"}


async def test_nothing_said_is_nothing_told() -> None:
    """A run that never said a word leaves Redis alone."""
    kept = Kept()
    async with telling_to(kept) as teller:
        assert await teller.begin("c", "run", 1).finish() == ""

    assert kept.writes == []


async def test_redis_coming_and_going_garbles_nothing() -> None:
    """Away at any time, with or without having done what it did not confirm: in the end it holds the text."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    kept = Kept()

    async def answer(one: Telling) -> str:
        for n in range(chance.randrange(1, 40)):
            one.say(f"{n} ")
            await asyncio.sleep(chance.choice((0, 0.001, 0.01, 0.05)))
        return await one.finish()

    async def come_and_go() -> None:
        while True:
            kept.away, kept.lost = chance.random() < 0.3, chance.random() < 0.5
            await asyncio.sleep(chance.uniform(0, 0.1))

    async with telling_to(kept) as teller:
        weather = asyncio.create_task(come_and_go())
        runs = [teller.begin("c", f"run-{n}", 1) for n in range(30)]
        texts = await asyncio.gather(*map(answer, runs))
        weather.cancel()

    for n, (one, text) in enumerate(zip(runs, texts, strict=True)):
        assert text == "".join(one.deltas)
        assert kept.runs.get(f"run-{n}", []) == one.deltas[: len(kept.runs.get(f"run-{n}", []))]
        if not one.forgotten:
            assert kept.runs[f"run-{n}"] == one.deltas

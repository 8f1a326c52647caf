"""`python -m streams replay …`: what `chorus replay` runs. Nothing that has an effect is imported here, or can be."""

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
import structlog
import uvloop
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException

from infra import effects, postgres
from infra import redis as our_redis
from infra.objects import ObjectsError, ObjectsSettings
from infra.operator.shown import console, counted, duration, row, table
from infra.operator.times import BadTime, moment_of
from infra.segments import Damaged, Hole
from infra.settings import BadSetting, KafkaSettings, PostgresSettings, RedisSettings, SealingSettings
from streams.replay.history import HistoryReplay
from streams.replay.live import LiveReplay, wrong
from streams.replay.log import PARTITIONS, Log
from streams.replay.pace import Pace, collect_seldom
from streams.replay.progress import Bar, say
from streams.replay.refusals import CannotReplay
from streams.replay.shadow import SHOWN, Compared

DONE, DIFFERS, CANNOT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes. `DIFFERS`: it was rebuilt and compared, is not the same, and was not swapped."""

GUESSED_RATE = 8_000.0
"""Records a second where nothing was measured: two cores, nothing else to do."""

_OFFSETS = re.compile(r"\d+:\d+(,\d+:\d+)*")


def main(env: Mapping[str, str], arguments: list[str]) -> None:
    """Replay a projection."""
    asked = _parser().parse_args(arguments)
    effects.forbid("a replay: it rebuilds what is shown, and does nothing again")
    os.nice(asked.nice)
    collect_seldom()
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    try:
        sys.exit(uvloop.run(_run(env, asked)))
    except (CannotReplay, BadSetting, BadTime, ObjectsError, Damaged, Hole) as error:
        say(f"Error: {error}")
    except (KafkaError, KafkaException) as error:
        say(f"Error: Kafka does not answer ({error}). The same command goes on from where it was.")
    except our_redis.AWAY + postgres.AWAY + (asyncpg.PostgresError,) as error:
        say(f"Error: a database does not answer ({error}). The same command goes on from where it was.")
    sys.exit(CANNOT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m streams replay")
    parser.add_argument("projection", choices=("history", "live"))
    parser.add_argument("--from", dest="start", default="earliest")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--nice", type=int, default=19)  # whoever chats comes first
    for flag in ("swap", "dry-run", "drop", "undo", "json"):
        parser.add_argument(f"--{flag}", action="store_true")
    return parser


async def _run(env: Mapping[str, str], asked: argparse.Namespace) -> int:
    work = asyncio.ensure_future(_history(env, asked) if asked.projection == "history" else _live(env, asked))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        say("Stopped; nothing live was changed. The same command goes on from here, --drop forgets it.")
        return INTERRUPTED
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


async def _history(env: Mapping[str, str], asked: argparse.Namespace) -> int:
    log = _log(env)
    sealing = SealingSettings.from_env(env)
    async with HistoryReplay.opened(log, PostgresSettings.from_env(env), sealing, Pace(asked.rate)) as replay:
        if asked.undo:
            await replay.bring_back()
        if asked.drop or asked.dry_run:
            return await _aside(replay, asked)
        await _begin(replay, log, asked)
        with Bar("replaying history", await _records_left(replay)) as bar:
            replay.bar = bar
            await replay.catch_up()
            bar.phase("comparing")
            compared = await replay.compare()
        _show(compared, asked)
        same = all(one.same for one in compared)
        if asked.swap:
            await replay.swap()
            say(
                "Swapped. The tables of before are in the schema replay_old: "
                "--undo makes them what a replay goes on with, --drop forgets them."
            )
            return DONE
        say(
            "Nothing was swapped: `chorus replay history --swap` puts what was rebuilt in the place of the live tables."
        )
        return DONE if same else DIFFERS


def _log(env: Mapping[str, str]) -> Log:
    return Log(KafkaSettings.from_env(env), ObjectsSettings.from_env(env, Path(env.get("CHORUS_DATA", ".chorus"))))


async def _aside(replay: HistoryReplay | LiveReplay, asked: argparse.Namespace) -> int:
    if asked.drop:
        await replay.give_up()
        say("What was rebuilt, and what the last swap had put away, is forgotten.")
        return DONE
    begun = await replay.begun()
    distance = await replay.distance()
    records = sum(max(0, end - start) for start, end in distance.values())
    rate = asked.rate or GUESSED_RATE
    if asked.json:
        print(  # noqa: T201
            msgspec.json.encode(
                {
                    "begun": begun,
                    "records": records,
                    "seconds": records / rate,
                    "partitions": [{"partition": p, "from": start, "to": end} for p, (start, end) in distance.items()],
                }
            ).decode()
        )
        return DONE
    shown = table("partition", "from", "to", "records", right=("partition", "from", "to", "records"))
    for partition, (start, end) in distance.items():
        row(shown, partition, start, end, f"{max(0, end - start):,}")
    console().print(shown)
    say(
        f"{counted(records, 'record')}, about {duration(records / rate)} at {rate:,.0f} records/s. "
        + ("A replay was begun, and would go on." if begun else "Nothing was begun yet.")
    )
    return DONE


async def _begin(replay: HistoryReplay | LiveReplay, log: Log, asked: argparse.Namespace) -> None:
    if await replay.begun():
        say("Going on with what was rebuilt before; --drop forgets it.")
    else:
        await replay.begin(await _starts(log, asked.start))


async def _records_left(replay: HistoryReplay | LiveReplay) -> int:
    return sum(max(0, end - start) for start, end in (await replay.distance()).values())


async def _starts(log: Log, text: str) -> dict[int, int] | None:
    if text == "earliest":
        return None
    if _OFFSETS.fullmatch(text):
        named = {int(p): int(offset) for p, offset in (pair.split(":") for pair in text.split(","))}
        if unknown := named.keys() - PARTITIONS:
            raise CannotReplay(f"There is no partition {min(unknown)}: there are 0 to {max(PARTITIONS)}.")
        return await log.ends() | named
    return await log.at(moment_of(text, datetime.now(UTC)))


def _show(compared: list[Compared], asked: argparse.Namespace) -> None:
    if asked.json:
        print(msgspec.json.encode(compared).decode())  # noqa: T201
        return
    numbers = ("live", "rebuilt", "missing", "surplus", "changed")
    shown = table("table", *numbers, "such as", right=numbers)
    for one in compared:
        counts = [f"{getattr(one, name):,}" for name in numbers]
        row(shown, one.table, *counts, ", ".join(one.examples) or "the same", style=None if one.same else "yellow")
    console().print(shown)


async def _live(env: Mapping[str, str], asked: argparse.Namespace) -> int:
    if asked.undo:
        raise CannotReplay("What replaced windows have said is gone: only history has --undo.")
    log, settings = _log(env), PostgresSettings.from_env(env)
    sealing, redis = SealingSettings.from_env(env), RedisSettings.from_env(env)
    async with LiveReplay.opened(log, settings, sealing, redis, Pace(asked.rate)) as replay:
        if asked.drop or asked.dry_run:
            return await _aside(replay, asked)
        await _begin(replay, log, asked)
        with Bar("replaying live", await _records_left(replay)) as bar:
            replay.bar = bar
            await replay.catch_up()
            bar.phase("comparing")
            found = await replay.look()
        _show_windows(found, asked)
        odd = wrong(found)
        if not asked.swap:
            say("Nothing was swapped: `chorus replay live --swap` replaces the windows that are not the same.")
            return DIFFERS if odd else DONE
        if left := await replay.swap(odd):
            raise CannotReplay(
                f"{counted(left, 'window')} changed all the time and stayed: run the same command again."
            )
        await replay.give_up()
        say(f"Swapped: {counted(len(odd), 'window')}.")
        return DONE


def _show_windows(found: dict[str, list[str]], asked: argparse.Namespace) -> None:
    if asked.json:
        print(msgspec.json.encode(found).decode())  # noqa: T201
        return
    shown = table("windows", "conversations", "such as", right=("conversations",))
    for what, conversations in found.items():
        row(shown, what, f"{len(conversations):,}", ", ".join(conversations[:SHOWN]) if what != "same" else "")
    console().print(shown)

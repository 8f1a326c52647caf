"""`chorus lag`: who is behind, and how far. It asks the broker, so it works where no worker lives."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.live import Live
from rich.table import Table
from rich.text import Text

from infra.kafka import topic_ids
from infra.operator import groups, health, local, reached
from infra.operator.groups import Reader
from infra.operator.shown import (
    CannotBeDone,
    console,
    data_option,
    duration,
    json_option,
    note,
    print_json,
    print_json_line,
    row,
    table,
)
from infra.settings import KafkaSettings, PostgresSettings
from schemas.topics import TOPICS

_EVERY_S = 2.0
_HEALTH_S = 1.0
"""How long a process may take to say what it has in flight, in seconds."""
_SLOW_S, _STUCK_S = 5.0, 30.0
"""Seconds behind from which a reader is shown in yellow, and in red."""


@dataclass(frozen=True, slots=True)
class _Look:
    at: datetime
    readers: list[Reader]
    sinks: list[Reader] | None


@click.command()
@click.option("--group", metavar="NAME", help="Only this consumer group.")
@click.option("--partitions", is_flag=True, help="Each partition too.")
@click.option(
    "--max-lag", type=click.IntRange(min=0), metavar="N", help="Exit 1 where a reader is more records behind."
)
@click.option("--max-seconds", type=click.FloatRange(min=0), metavar="S", help="Exit 1 where one is longer behind.")
@click.option("--watch", is_flag=True, help=f"Look again every {_EVERY_S:g} s, until interrupted.")
@data_option
@json_option
def command(
    group: str | None,
    partitions: bool,
    max_lag: int | None,
    max_seconds: float | None,
    watch: bool,
    data: Path,
    as_json: bool,
) -> None:
    """Say how far each consumer group, and each sink in PostgreSQL, is behind the end of what it reads."""
    env = local.environment(data)
    kafka, database = KafkaSettings.from_env(env), PostgresSettings.from_env(env)

    if watch:
        _watch(kafka, database, data, group, partitions, as_json)
        return
    look = reached.run(_look(kafka, database, data, group))
    if group is not None and not look.readers:
        raise CannotBeDone(f"There is no consumer group {group!r}: `chorus lag` lists those that there are.")
    too_far = groups.exceeded([*look.readers, *(look.sinks or [])], max_lag, max_seconds)
    if as_json:
        print_json(_as_json(look) | {"exceeded": too_far})
    else:
        console().print(_table(look, partitions))
        for sentence in too_far:
            click.secho(f"{sentence}.", fg="red")
    if too_far:
        sys.exit(1)


async def _look(kafka: KafkaSettings, database: PostgresSettings, data: Path, group: str | None) -> _Look:
    async with reached.consumer(kafka) as reader:
        found = await groups.readers(kafka, reader, group)
        stored: list[Reader] | None = []
        if group is None:
            try:
                async with reached.database(database) as db:
                    there = await reached.partitions(kafka)
                    known = await topic_ids(kafka, [topic.name for topic in TOPICS if topic.name in there])
                    stored = await groups.sinks(db, reader, known)
            except CannotBeDone as error:
                note(f"Sinks are not shown. {error.message}")
                stored = None
        aged = await groups.aged(reader, [*found, *(stored or [])], time.time())
    busy = await _in_flight(data)
    readers = [replace(one, in_flight=busy.get((one.name, one.topic))) for one in aged[: len(found)]]
    return _Look(datetime.now(UTC), readers, None if stored is None else aged[len(found) :])


async def _in_flight(data: Path) -> dict[tuple[str, str], int]:
    """By group and topic: what the processes of the local stack are working on."""
    busy: dict[tuple[str, str], int] = {}
    for process in await health.look(health.parts(data), _HEALTH_S):
        for labels, value in process.samples("chorus_intake_in_flight"):
            where = (labels["group"], labels["topic"])
            busy[where] = busy.get(where, 0) + int(value)
    return busy


def _watch(
    kafka: KafkaSettings, database: PostgresSettings, data: Path, group: str | None, partitions: bool, as_json: bool
) -> None:
    async def work(show: Callable[[_Look], None]) -> None:
        while True:
            show(await _look(kafka, database, data, group))
            await asyncio.sleep(_EVERY_S)

    if as_json:
        reached.run(work(lambda look: print_json_line(_as_json(look))))
    elif not sys.stdout.isatty():
        reached.run(work(lambda look: console().print(_table(look, partitions))))
    else:
        with Live(console=console(), auto_refresh=False) as live:
            reached.run(work(lambda look: live.update(_table(look, partitions), refresh=True)))


def _as_json(look: _Look) -> dict[str, object]:
    def one(reader: Reader) -> dict[str, object]:
        return asdict(reader) | {"lag": reader.lag, "behind_s": round(reader.behind_s, 3)}

    return {
        "at": look.at,
        "groups": [one(reader) for reader in look.readers],
        "sinks": None if look.sinks is None else [one(reader) for reader in look.sinks],
    }


def _table(look: _Look, partitions: bool) -> Table:
    shown = table(
        *("reader", "topic", "lag", "behind", "in flight", "state", "members"),
        right=["lag", "behind", "in flight"],
        title=f"at {look.at:%H:%M:%S}Z",
    )
    everybody: Sequence[Reader] = [*look.readers, *(look.sinks or [])]
    for reader in everybody:
        in_flight = "" if reader.in_flight is None else f"{reader.in_flight:,}"
        behind = Text(duration(reader.behind_s) if reader.lag else "", style=_style(reader.behind_s))
        nobody = reader.state == "empty"
        state = Text("nobody reads" if nobody else reader.state, style="red" if nobody and reader.lag else "")
        row(shown, reader.name, reader.topic, f"{reader.lag:,}", behind, in_flight, state, ", ".join(reader.members))
        for place in reader.places if partitions else ():
            at = "?" if place.offset is None else f"{place.offset:,}"
            behind = Text(duration(place.behind_s) if place.lag else "", style=_style(place.behind_s))
            row(
                shown,
                "",
                f"  {place.partition}: {at} of {place.end:,}",
                f"{place.lag:,}",
                behind,
                "",
                "",
                place.member or "",
            )
    return shown


def _style(behind_s: float) -> str:
    return "red" if behind_s >= _STUCK_S else "yellow" if behind_s >= _SLOW_S else ""

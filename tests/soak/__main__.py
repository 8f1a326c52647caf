"""`make soak MINUTES=10`: does anything grow that should not?

Brings up everything with the scripted agent, talks at a steady rate, looks at every process every few seconds, writes
what it saw (`samples.csv`, `soak.png`) and judges it; exit status 1 where something grows, ended, or was left undone.

    python -m tests.soak --minutes 10 --rate 40 --into .chorus/soak
"""

import argparse
import asyncio
import csv
import math
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from infra.settings import PostgresSettings
from infra.stack import secrets, state
from infra.stack.config import StackConfig
from tests.benchmarks.__main__ import everything
from tests.benchmarks.latency import ANSWERED_ONE_IN, Measured
from tests.soak.load import Load
from tests.soak.sampling import Taken, taken
from tests.soak.trend import BLOCKS, Trend, trend

EVERY_S = 5.0
"""Seconds between looks: rare enough to take nothing, often enough for a line."""

CONVERSATIONS_MEMORY = 4 * 2**20
"""Bytes for conversations in memory: so few that they are full while it is still warming up."""

OURS = ("gateway", "api", "conversations", "replies", "history", "live", "notifications", "outbox")
"""Roles that are judged. What Kafka, PostgreSQL, Redis and the agent take is shown: their logs, tables and windows grow
by design."""

MIB = 2**20


@dataclass(frozen=True)
class Line:
    """What a figure may do. `allowed` is growth per hour, `floor` growth in all that is noise."""

    unit: str
    allowed: float
    floor: float
    scale: float = 1.0


LINES = {
    "memory": Line("MiB", 4.0, 3.0, MIB),
    "handles": Line("", 2.0, 3.0),
    "threads": Line("", 1.0, 1.5),
    "lag": Line("records", 50.0, 25.0),
    "acknowledged p50": Line("ms", 5.0, 3.0),
    "delivered p50": Line("ms", 5.0, 3.0),
    "delivered p99": Line("ms", 50.0, 50.0),
}
"""What is judged. Of memory 4 MiB an hour pass: 100 MB a day, in which what is kept by design has its place (below)."""

_KEPT_BYTES = {
    # A worker remembers what was reported of runs, up to KEPT_RUNS = 100,000 of them.
    "replies": 700 / ANSWERED_ONE_IN,
}
"""Bytes that a role keeps of each message by design, until it has as many as it may."""


@dataclass
class Record:
    """What was seen, as (seconds since the start, value) by (who, what)."""

    seen: defaultdict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    pids: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def add(self, at: float, who: str, what: str, value: float) -> None:
        self.seen[who, what].append((at, value))

    def trend(self, who: str, what: str) -> Trend | None:
        points = self.seen[who, what]
        return trend([at for at, _ in points], [value for _, value in points])

    def write(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["seconds", "who", "what", "value"])
            for (who, what), points in self.seen.items():
                rows.writerows((f"{at:.1f}", who, what, f"{value:.6g}") for at, value in points)


class Watch:
    """Looks at everything that runs."""

    def __init__(self, data: Path, redis: Redis, postgres: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._data = data
        self._redis = redis
        self._postgres = postgres
        self._cpu: dict[str, tuple[float, float]] = {}

    async def look(self, at: float, record: Record, measured: Measured) -> None:
        for name, now in await asyncio.to_thread(lambda: list(self._processes(record))):
            before_s, before_at = self._cpu.get(name, (now.cpu_s, at - EVERY_S))
            self._cpu[name] = (now.cpu_s, at)
            record.add(at, name, "cpu", (now.cpu_s - before_s) / (at - before_at))
            record.add(at, name, "memory", now.memory / MIB)
            record.add(at, name, "handles", now.handles)
            record.add(at, name, "threads", now.threads)
            if now.lag is not None:
                record.add(at, name, "lag", now.lag)
        record.add(at, "redis", "used", (await self._redis.info("memory"))["used_memory"] / MIB)
        size = await self._postgres.fetchval("SELECT pg_database_size(current_database())")
        record.add(at, "postgres", "size", size / MIB)
        for series, name in ((measured.acknowledged, "acknowledged"), (measured.delivered, "delivered")):
            record.add(at, "people", f"{name} p50", series.at(0.5))
            record.add(at, "people", f"{name} p99", series.at(0.99))

    def _processes(self, record: Record) -> Iterator[tuple[str, Taken]]:
        stack = state.read(self._data)
        assert stack is not None
        for part in stack.parts:
            if part.pid is not None:
                record.pids[part.name].add(part.pid)
                try:
                    yield part.name, taken(part.pid, part.health)
                except ProcessLookupError:
                    continue  # it has just ended: that it did is seen by its next number


@asynccontextmanager
async def _watching(env: dict[str, str]) -> AsyncIterator[Watch]:
    data = Path(env["CHORUS_DATA"])
    settings = env | StackConfig.from_env(env, data).environment() | secrets.ensure(data)
    connection = await asyncpg.connect(PostgresSettings.from_env(settings).url)
    try:
        async with Redis.from_url(settings["CHORUS_REDIS_URL"]) as redis:
            yield Watch(data, redis, connection)
    finally:
        await connection.close()


async def soak(env: dict[str, str], minutes: float, rate: float, record: Record) -> Load:
    """Talk for so long, and look on."""
    http_url = f"http://127.0.0.1:{env['CHORUS_HTTP_PORT']}"
    load = Load(http_url, f"ws://127.0.0.1:{env['CHORUS_WS_PORT']}/v1/ws", rate)
    async with _watching(env) as watch, asyncio.TaskGroup() as group:
        talking = group.create_task(load.run(minutes * 60))
        began = time.monotonic()
        while not talking.done():
            await asyncio.wait({talking}, timeout=EVERY_S)
            if not talking.done():
                at = time.monotonic() - began
                await watch.look(at, record, load.take())
                if sys.stderr.isatty():
                    print(f"\r{at / 60:5.1f} of {minutes:g} minutes", end="", file=sys.stderr, flush=True)
    return load


def judge(record: Record, rate: float) -> tuple[Table, list[str]]:
    """What every judged figure did, and what is wrong."""
    table = Table(title="after the warm-up", title_justify="left", box=None, pad_edge=False)
    for name in ("who", "what", "start", "end", "an hour", "±", ""):
        table.add_column(name, justify="left" if name in ("who", "what", "") else "right")
    wrong: list[str] = []
    for who, what in sorted(record.seen, key=lambda one: (list(LINES).index(one[1]) if one[1] in LINES else 99, one)):
        role = who.partition("-")[0]
        line = LINES.get(what)
        if line is None or not (role in OURS or who == "people"):
            continue
        found = record.trend(who, what)
        if found is None:
            wrong.append(f"{who}: {what} was seen too rarely to be judged: let it run for longer")
            continue
        by_design = _KEPT_BYTES.get(role, 0.0) * rate * 3600 / MIB if what == "memory" else 0.0
        rises = found.rises(line.allowed + by_design, line.floor)
        if rises:
            wrong.append(f"{who}: {what} grows by {found.slope:.1f} ± {found.error:.1f} {line.unit} an hour")
        numbers = [f"{value:.1f}" for value in (found.start, found.end, found.slope, found.error)]
        table.add_row(who, f"{what} {line.unit}".strip(), *numbers, "grows" if rises else "steady")
    wrong += [f"{who} was started again: {len(pids) - 1} times" for who, pids in record.pids.items() if len(pids) > 1]
    return table, wrong


def by_design(record: Record) -> Iterator[str]:
    """What grows because it is kept."""
    yield (
        f"conversations memory: until {CONVERSATIONS_MEMORY // MIB} MiB of conversations are kept, some 8,000 "
        "messages: at a low rate that takes longer than the warm-up"
    )
    for who, what, why in (
        ("postgres", "size", "messages, runs and their indexes are kept"),
        ("redis", "used", "windows outlive their conversation's last record by a day"),
        ("kafka", "memory", "the heap grows to its limit before it is cleaned"),
    ):
        if (found := record.trend(who, what)) is not None:
            yield f"{who} {what}: {found.start:.0f} → {found.end:.0f} MiB, {found.slope:.0f} an hour ({why})"


def plot(record: Record, path: Path) -> None:
    """One picture: what each process took, and how long people waited."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = {
        "memory of ours, MiB": [k for k in record.seen if k[1] == "memory" and k[0].partition("-")[0] in OURS],
        "memory of the rest; Redis used, database size, MiB": [
            k for k in record.seen if k[1] in ("memory", "used", "size") and k[0].partition("-")[0] not in OURS
        ],
        "open handles": [k for k in record.seen if k[1] == "handles"],
        "threads": [k for k in record.seen if k[1] == "threads"],
        "cores": [k for k in record.seen if k[1] == "cpu"],
        "lag, records": [k for k in record.seen if k[1] == "lag"],
        "milliseconds, p50 and p99": [k for k in record.seen if k[0] == "people"],
    }
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(11, 3 * len(panels)), sharex=True, layout="constrained")
    for axis, (title, keys) in zip(axes, panels.items(), strict=True):
        for who, what in sorted(keys):
            name = who if what in ("memory", "handles", "threads", "cpu", "lag") else f"{who} {what}"
            at, values = zip(*record.seen[who, what], strict=True)
            axis.plot([s / 60 for s in at], values, linewidth=1, label=name.removeprefix("people "))
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)
    axes[-1].set_xlabel("minutes")
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--rate", type=float, default=40.0, help="messages a second, one in six answered (default 40)")
    parser.add_argument("--into", type=Path, default=Path(".chorus/soak"), help="folder for what was seen")
    options = parser.parse_args()
    if not (math.isfinite(options.rate) and options.rate > 0 and options.minutes * 60 >= 3 * BLOCKS * EVERY_S / 2):
        parser.error(f"a rate above 0 and at least {3 * BLOCKS * EVERY_S / 120:g} minutes: a line needs points")
    console = Console(soft_wrap=True)
    record = Record()
    with everything(CHORUS_CONVERSATIONS_MEMORY=str(CONVERSATIONS_MEMORY)) as env:
        load = asyncio.run(soak(env, options.minutes, options.rate, record))
    options.into.mkdir(parents=True, exist_ok=True)
    record.write(options.into / "samples.csv")
    plot(record, options.into / "soak.png")

    table, wrong = judge(record, options.rate)
    if load.unanswered:
        wrong.append(f"{load.unanswered} answers never ended")
    counts = load.counts
    console.print(
        f"{options.minutes:g} minutes, {counts['messages']} messages ({options.rate:g}/s asked for), one in "
        f"{ANSWERED_ONE_IN} answered, {counts['conversations']} conversations left for new ones"
    )
    console.print(table)
    for said in by_design(record):
        console.print(f"by design  {said}")
    console.print(f"{options.into}/samples.csv, {options.into}/soak.png")
    for sentence in wrong:
        console.print(f"[red]{sentence}[/]")
    if not wrong:
        console.print("nothing grows that should not")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

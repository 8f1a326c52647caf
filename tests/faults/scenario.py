"""One scenario: people talk, something breaks, it is mended, and all is looked at."""

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from infra.settings import KafkaSettings
from tests.faults import books, money
from tests.faults.load import Load
from tests.faults.stack import FaultStack
from tests.faults.watch import LATE_S, Watch, watching

CALM_S: Final = 7.0
"""Seconds without any trouble after which a fault is over: longer than a session lasts, whose end is trouble too."""
WARM_S: Final = 3.0
FINISH_S: Final = 120.0
"""Seconds after which what is not well again will not be."""
KILL_LINE_S: Final = 10.0
RETURN_LINE_S: Final = 30.0


@dataclass(frozen=True)
class Settings:
    """How the suite runs, from the environment."""

    rate: float = 60.0
    """Messages a second, of which one in six is a question. The lines are meant at 300; 60 leaves two cores room."""
    scale: float = 1.0
    """How long faults last: 1 is what the lines say, a developer takes 0.1."""
    seed: int = 0
    random_minutes: float = 0.0
    """How long faults are drawn at random, in place of the suite; 0 for the suite."""
    report: Path | None = None
    """Where the table is written to as well: `.md` in Markdown, and `.json` beside it with all that is known."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        report = env.get("CHORUS_FAULT_REPORT")
        return cls(
            rate=float(env.get("CHORUS_FAULT_RATE") or cls.rate),
            scale=float(env.get("CHORUS_FAULT_SCALE") or cls.scale),
            seed=int(env.get("CHORUS_FAULT_SEED") or random.SystemRandom().randrange(10**6)),
            random_minutes=float(env.get("CHORUS_FAULT_RANDOM_MINUTES") or cls.random_minutes),
            report=Path(report) if report else None,
        )


@dataclass
class Outcome:
    """One line of the table."""

    scenario: str
    seed: int
    acked: int = 0
    answers: int = 0
    lost: int = 0
    doubled: int = 0
    disordered: int = 0
    unfinished: int = 0
    money: int = 0
    unexplained: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    recovery_s: float | None = None
    line: str = ""
    met: bool = False
    failed: int = 0
    attempts: int = 0
    ignored: int = 0
    resets: int = 0
    restarts: dict[str, int] = field(default_factory=dict)
    longest_silence_s: float = 0.0
    troubles: dict[str, float] = field(default_factory=dict)
    note: str = ""
    problems: list[str] = field(default_factory=list)


@dataclass
class Scene:
    """What a fault gets to work with. It sets `ended_at` where recovery counts from another moment than its return."""

    stack: FaultStack
    load: Load
    watch: Watch
    settings: Settings
    random: random.Random
    ended_at: float | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    async def lasts(self, seconds: float, *, at_least: float = 0.0, since: float | None = None) -> None:
        """The fault's own duration, scaled, from now or from `since` on."""
        wanted = max(at_least, seconds * self.settings.scale)
        await asyncio.sleep(wanted if since is None else max(0.0, since + wanted - time.monotonic()))


Fault = Callable[[Scene], Awaitable[None]]


async def play(
    name: str,
    stack: FaultStack,
    settings: Settings,
    fault: Fault,
    *,
    line_s: float | None = None,
    agent_may_fail: bool = False,
    after: Fault | None = None,
) -> Outcome:
    """Play one scenario, and say what was seen.

    Args:
        line_s: seconds within which all must be well again, from the fault's end (a kill's: from the kill).
        after: looks at more, once all is quiet.
    """
    outcome = Outcome(name, settings.seed, line=f"≤ {line_s:.0f} s" if line_s else "")
    direct = KafkaSettings.from_env(stack.direct)
    since = await books.starts(direct)
    restarts = stack.restarts()
    load = Load(
        stack.url,
        stack.gateway_urls,
        stack.direct["CHORUS_DATABASE_URL"],
        rate=settings.rate,
        answered=settings.rate / 6,
        seed=settings.seed,
    )
    try:
        await load.begin()
        async with watching(stack.bootstrap, load) as watch:
            scene = Scene(stack, load, watch, settings, random.Random(settings.seed))
            if await watch.calm(WARM_S + LATE_S, FINISH_S):
                await fault(scene)
                ended_at = scene.ended_at or time.monotonic()
                if not await watch.calm(CALM_S, FINISH_S):
                    scene.problems.append(f"not well {FINISH_S:.0f} s after the fault: {watch.seen[-1].trouble}")
                outcome.recovery_s = round(watch.recovered_after(ended_at), 1)
                if line_s is not None and outcome.recovery_s > line_s:
                    scene.notes.append(f"at last: {watch.last_trouble()}")
                outcome.troubles = watch.troubles_after(ended_at)
            else:
                scene.problems.append(f"not well before the fault: {watch.seen[-1].trouble}")
            if not await load.rest(FINISH_S):
                scene.problems.append("some messages are not acknowledged")
            found = await _look(stack, load, direct, since, agent_may_fail)
            if after is not None:
                await after(scene)
    finally:
        await load.end()
    records = load.records
    outcome.acked = len(records.acked)
    outcome.answers, outcome.failed, outcome.attempts = found.answers, found.failed, found.attempts
    outcome.lost, outcome.doubled, outcome.disordered = len(found.lost), len(found.doubled), len(found.disordered)
    outcome.unfinished, outcome.unexplained, outcome.ignored = (
        len(found.unfinished),
        len(found.unexplained),
        found.ignored,
    )
    outcome.money = len(found.money)
    outcome.refused, outcome.resets = dict(records.refused), records.resets
    outcome.longest_silence_s = round(records.longest_silence_s, 1)
    outcome.restarts = {part: n - restarts[part] for part, n in stack.restarts().items() if n > restarts[part]}
    outcome.problems = scene.problems + found.all()
    outcome.note = "; ".join(scene.notes)
    in_time = outcome.recovery_s is not None and (line_s is None or outcome.recovery_s <= line_s)
    outcome.met = not outcome.problems and in_time
    return outcome


async def _look(
    stack: FaultStack, load: Load, kafka: KafkaSettings, since: dict[int, int], agent_may_fail: bool
) -> books.Findings:
    """Look until all is as it should be, or until it will not be: answers and projections come to their end."""
    deadline = time.monotonic() + FINISH_S
    while True:
        log = await books.read_log(kafka, since, set(load.conversations))
        histories = {c: await reader.messages(c) for c, reader in load.conversations.items()}
        calls = await asyncio.to_thread(books.read_calls, stack.calls)
        found = books.compare(load, log, histories, calls, agent_may_fail=agent_may_fail)
        projects = {person.project_id for person in load.conversations.values()}
        found.money = await money.check(kafka, stack.direct["CHORUS_DATABASE_URL"], projects, log)
        if not found.all() or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1)


# -- the table --


def write(outcomes: list[Outcome], settings: Settings, seconds: float, file: Path) -> None:
    """The table in Markdown, and everything as JSON beside it."""
    lines = [
        f"{os.cpu_count()} cores, {settings.rate:.0f} messages/s, {settings.rate / 6:.0f} of them answered, "
        f"faults at {settings.scale:g} of their length, {seconds / 60:.0f} min",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + " --- |" * len(COLUMNS),
        *("| " + " | ".join(row(outcome)) + " |" for outcome in outcomes),
    ]
    file.with_suffix(".md").write_text("\n".join(lines) + "\n")
    told = {
        "rate": settings.rate,
        "scale": settings.scale,
        "seconds": seconds,
        "scenarios": [asdict(o) for o in outcomes],
    }
    file.with_suffix(".json").write_text(json.dumps(told, indent=2) + "\n")


COLUMNS: Final = (
    "scenario",
    "seed",
    "acked",
    "lost",
    "doubled",
    "out of order",
    "unfinished",
    "calls beyond",
    "money",
    "refused",
    "recovery s",
    "line",
    "met",
    "note",
)


def row(outcome: Outcome) -> list[str]:
    counts = (
        outcome.acked,
        outcome.lost,
        outcome.doubled,
        outcome.disordered,
        outcome.unfinished,
        outcome.unexplained,
        outcome.money,
    )
    recovery = "" if outcome.recovery_s is None else f"{outcome.recovery_s:.1f}"
    return [
        outcome.scenario,
        str(outcome.seed),
        *map(str, counts),
        str(sum(outcome.refused.values())),
        recovery,
        outcome.line,
        "yes" if outcome.met else "NO",
        outcome.note,
    ]


@asynccontextmanager
async def healed(scene: Scene, *parts: str) -> AsyncIterator[None]:
    """Whatever happens in the block, the network to these parts, or all, carries again afterwards."""
    try:
        yield
    finally:
        for proxy in [scene.stack.proxies[part] for part in parts or scene.stack.proxies]:
            proxy.delay_s = proxy.bytes_per_s = 0.0
            if proxy.swallows:
                proxy.swallow(False)
            await proxy.open()

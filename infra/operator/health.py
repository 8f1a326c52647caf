"""What the processes of the local stack say of themselves, as far as they answer in time."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from infra.stack import state as states

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Health:
    """One process.

    Attributes:
        not_ready: what /readyz says where it is no 200; `no answer` where it says nothing; None where it is ready.
        metrics: samples of /metrics by name and labels.
    """

    name: str
    not_ready: str | None
    metrics: dict[str, dict[Labels, float]] = field(default_factory=dict)

    def samples(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        for labels, value in self.metrics.get(name, {}).items():
            yield dict(labels), value


def parts(data: Path) -> list[states.PartState]:
    """The processes of the stack that runs from this folder and have a health address; none where none runs."""
    state = states.read(data)
    if state is None or not states.is_held(data):
        return []
    return [part for part in state.parts if part.health and part.health.endswith("/readyz")]


async def look(some: Iterable[states.PartState], within_s: float) -> list[Health]:
    """Ask each of them, all at once, and wait no longer than this for any."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(within_s)) as session:
        return list(await asyncio.gather(*(_ask(session, part) for part in some)))


async def _ask(session: aiohttp.ClientSession, part: states.PartState) -> Health:
    assert part.health is not None
    try:
        async with session.get(part.health) as answer:
            not_ready = None if answer.status == 200 else (await answer.text()).strip()
        async with session.get(part.health.removesuffix("/readyz") + "/metrics") as answer:
            metrics = samples(await answer.text())
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Health(part.name, "no answer")
    return Health(part.name, not_ready, metrics)


def samples(text: str) -> dict[str, dict[Labels, float]]:
    """Read Prometheus' text format; what of it is ours."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("chorus_"):
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found

"""What the processes of the local stack say of themselves, as far as they answer in time."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

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
    """Ask each of them, all at once; none is waited for longer than twice this."""
    return list(await asyncio.gather(*(asyncio.to_thread(_ask, part, within_s) for part in some)))


def _ask(part: states.PartState, within_s: float) -> Health:
    base = (part.health or "").removesuffix("/readyz")
    try:
        status, said = _get(f"{base}/readyz", within_s)
        _, metrics = _get(f"{base}/metrics", within_s)
    except (OSError, HTTPException):
        return Health(part.name, "no answer")
    return Health(part.name, None if status == HTTPStatus.OK else said.strip(), samples(metrics))


def _get(url: str, within_s: float) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=within_s) as answer:  # noqa: S310 - an address of the local stack's own
            return answer.status, answer.read().decode(errors="replace")
    except HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def samples(text: str) -> dict[str, dict[Labels, float]]:
    """Read Prometheus' text format; what of it is ours."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("chorus_"):
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found

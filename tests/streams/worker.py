"""A processor that writes down what it handles: `python -m tests.streams.worker INSTANCE OPTIONS`, OPTIONS as JSON.

Options: `file`, and the settings of the intake other than the instance.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from infra import process
from infra.process import Process
from infra.settings import KafkaSettings, ProcessSettings
from schemas.contract import Contract, event_type
from streams.dead_letters import DeadLetter
from streams.intake import Delivery, Intake, IntakeSettings


class Numbered(msgspec.Struct, frozen=True):
    """The `n`-th record of its key. `work_ms` is how long handling it takes."""

    type: ClassVar[str] = "chorus.test.numbered.v1"
    n: int
    work_ms: float = 0
    urgent: bool = False
    unfit: bool = False


def contract(topic: str) -> Contract[Numbered]:
    return Contract(topic, [event_type(Numbered)])


class Journal:
    """One file, to which any number of workers append a line per event."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, what: str, **facts: object) -> None:
        os.write(self._file, json.dumps({"what": what, "at": time.monotonic(), **facts}).encode() + b"\n")

    def read(self, what: str) -> Iterator[dict[str, Any]]:
        """The events of one kind in the order in which they happened."""
        for line in self._path.read_text().splitlines():
            event = json.loads(line)
            if event["what"] == what:
                yield event


class Recorder:
    """Handles `Numbered` records by waiting their time, and writes down everything that it is told."""

    def __init__(self, journal: Journal, worker: str) -> None:
        self._journal = journal
        self._worker = worker

    def _write(self, what: str, **facts: object) -> None:
        self._journal.write(what, worker=self._worker, **facts)

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        self._write("assigned", partitions=dict(partitions))

    async def revoked(self, partitions: Set[int]) -> None:
        self._write("revoked", partitions=sorted(partitions))

    def is_control(self, event: Numbered) -> bool:
        return event.urgent

    async def control(self, delivery: Delivery[Numbered]) -> None:
        self._write("control", key=delivery.key.decode(), n=delivery.event.n)

    async def handle(self, delivery: Delivery[Numbered]) -> None:
        if delivery.event.unfit:
            raise DeadLetter("it says itself that it is unfit")
        await asyncio.sleep(delivery.event.work_ms * random.uniform(0.2, 2) / 1000)
        self._write("handled", key=delivery.key.decode(), n=delivery.event.n)


def main() -> None:
    instance, options = sys.argv[1], json.loads(sys.argv[2])
    journal = Journal(Path(options.pop("file")))
    settings = IntakeSettings(instance=instance, **options)
    kafka = KafkaSettings.from_env(os.environ)

    async def work(this: Process) -> None:
        intake = Intake(settings, kafka, contract(settings.topic), Recorder(journal, instance))
        this.not_ready = intake.not_ready
        await intake.run(this.stopping)

    process.run("worker", ProcessSettings.from_env({**os.environ, "CHORUS_INSTANCE": instance}, "worker"), work)


if __name__ == "__main__":
    main()

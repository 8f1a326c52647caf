"""The quick start's self-hosted agent: SmolLM2 served over HTTP like any other OpenAI-compatible server."""

import os
import signal
import sys

from infra.stack.part import Command, Part, healthy
from infra.stack.processes import ROOT


class Model(Part):
    role = name = "model"
    title = "language model"
    death_signal = signal.SIGKILL

    def __init__(self, port: int) -> None:
        self.port = port

    def command(self) -> Command:
        env = os.environ | {"HOST": "127.0.0.1", "PORT": str(self.port)}
        return Command([sys.executable, "-m", "infra.stack.model_server"], env, cwd=ROOT)

    async def ready(self) -> bool:
        return await healthy(self.port, "/health")

    @property
    def health(self) -> str | None:
        return f"http://127.0.0.1:{self.port}/health"

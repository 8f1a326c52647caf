"""What tests get from `conftest.py`: real parts that run, as objects."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.stack import state as states
from infra.stack.child import dies_with_parent
from infra.stack.ports import free_port, free_ports

ROOT = Path(__file__).parent.parent
CHORUS = [sys.executable, "-m", "infra.command"]

# Far more than anything needs, because a machine that runs tests is busy: a test that waits this long has failed.
DEADLINE_S = 60.0


def own_settings() -> dict[str, str]:
    """This process' environment without any setting of Chorus: what a developer has set must not reach a test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CHORUS_")}


def port_settings(gateways: int = 2) -> dict[str, str]:
    """Settings that put a whole stack on ports that nobody uses."""
    return {
        "CHORUS_KAFKA": f"127.0.0.1:{free_port()}",
        "CHORUS_DATABASE_URL": f"postgresql://chorus@127.0.0.1:{free_port()}/chorus",
        "CHORUS_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "CHORUS_HTTP_PORT": str(free_port()),
        "CHORUS_WS_PORT": str(free_port()),
        "CHORUS_WS_EXTRA_PORT": str(free_ports(gateways)),
        "CHORUS_MODEL_PORT": str(free_port()),
    }


def eventually(what: str, is_so: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Wait until `is_so()` is true; fail with `what` at the deadline. Blocks: in async code use `soon`."""
    deadline = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(0.05)


async def soon(what: str, is_so: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """`eventually` for async code: the loop goes on meanwhile."""
    deadline = time.monotonic() + deadline_s
    while not await asyncio.to_thread(is_so):
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.05)


async def until(what: str, is_so: Callable[[], Awaitable[object]], deadline_s: float = DEADLINE_S) -> None:
    """`soon`, of something that is itself asked with `await`."""
    deadline = time.monotonic() + deadline_s
    while not await is_so():
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.05)


def answers_200(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def up(env: dict[str, str], *options: str) -> Iterator[None]:
    """Run `chorus up` from when it is ready until the end of the block; it never outlives the tests."""
    data = Path(env["CHORUS_DATA"])
    output = data.with_name(f"{data.name}.out")
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*CHORUS, "up", *options],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent(signal.SIGTERM),
        )

    def is_ready() -> bool:
        assert process.poll() is None, f"chorus up failed:\n{output.read_text()}"
        state = states.read(data)
        return state is not None and state.pid == process.pid and state.ready

    try:
        eventually("chorus is up", is_ready, 4 * DEADLINE_S)
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


@dataclass
class Running:
    """One process of ours, started by a test against a `Stack`."""

    role: str
    process: "subprocess.Popen[bytes]"
    health_port: int
    output: Path
    """What it printed and, as it has no log folder, its log."""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def health(self) -> str:
        """Base URL of /livez, /readyz and /metrics."""
        return f"http://127.0.0.1:{self.health_port}"

    async def ready(self) -> "Running":
        """Wait until /readyz answers 200; fails with its output where it ends instead."""

        def is_so() -> bool:
            assert self.process.poll() is None, f"{self.role} ended:\n{self.output.read_text()[-4000:]}"
            return answers_200(f"{self.health}/readyz")

        await soon(f"{self.role} is ready", is_so)
        return self

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    async def ended(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end; its exit status (negative: the signal)."""
        return await asyncio.to_thread(self.process.wait, deadline_s)

    async def stop(self) -> int:
        """SIGTERM, and wait."""
        self.kill(signal.SIGTERM)
        return await self.ended()


@dataclass
class Stack:
    """Kafka, PostgreSQL (migrated) and Redis, running on ports of their own, topics made.

    Shared by all tests of a run: use conversations, users and projects with new ids, and take nothing for empty.
    """

    env: dict[str, str]
    """The whole environment for a process of ours: addresses, secrets, and `CHORUS_LOG_DIR` unset."""
    data: Path
    started: list[Running] = field(default_factory=list)

    @property
    def kafka(self) -> str:
        """`host:port` of the broker."""
        return self.env["CHORUS_KAFKA"]

    @property
    def database_url(self) -> str:
        return self.env["CHORUS_DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        return self.env["CHORUS_REDIS_URL"]

    def start(self, package: str, role: str, *arguments: str, **settings: str) -> Running:
        """Start `python -m <package> <role> …` against these parts; `await running.ready()` waits for it.

        Args:
            settings: environment variables on top, such as `CHORUS_INSTANCE="replies-1"`.
        """
        port = free_port()
        output = self.data / "logs" / f"test-{len(self.started)}-{role}.out"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", package, role, *arguments],
                cwd=ROOT,
                env=self.env | {"CHORUS_HEALTH_PORT": str(port)} | settings,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGKILL),
            )
        running = Running(role, process, port, output)
        self.started.append(running)
        return running


@dataclass
class Chorus:
    """A whole stack as `chorus up` runs it, with the scripted agent as the default agent, and two gateways.

    Shared by all tests of a run. Whoever kills something waits for it to be ready again.
    """

    env: dict[str, str]
    """The environment that `chorus` itself was started with: settings of ports and data folder."""
    data: Path
    agent_url: str
    """The scripted agent's `/v1`."""

    def run(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run the `chorus` command against this stack."""
        return subprocess.run(
            [*CHORUS, *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            check=check,
            timeout=120,
        )

    def status(self) -> dict[str, Any]:
        """What `chorus status --json` prints."""
        shown: dict[str, Any] = json.loads(self.run("status", "--json", "--quick", check=False).stdout)
        return shown

    @property
    def url(self) -> str:
        """The web page and REST."""
        return f"http://127.0.0.1:{self.env['CHORUS_HTTP_PORT']}"

    @property
    def ws_url(self) -> str:
        """The WebSocket on the port that all gateways share."""
        return f"ws://127.0.0.1:{self.env['CHORUS_WS_PORT']}/v1/ws"

    @property
    def gateway_urls(self) -> list[str]:
        """Each gateway's WebSocket on its own port."""
        first = int(self.env["CHORUS_WS_EXTRA_PORT"])
        return [f"ws://127.0.0.1:{first + n}/v1/ws" for n in range(2)]

    def processes(self) -> dict[str, list[int]]:
        """Pids by role, of those that are ready."""
        pids: dict[str, list[int]] = {}
        for shown in self.status()["processes"]:
            pids.setdefault(shown["role"], [])
            if shown["state"] == "ready":
                pids[shown["role"]].append(shown["pid"])
        return pids

    def kill(self, role: str, number: signal.Signals = signal.SIGKILL) -> list[int]:
        """Send a signal to all processes of a role; their pids."""
        pids = self.processes()[role]
        assert pids, f"no {role} is ready"
        for pid in pids:
            os.kill(pid, number)
        return pids

    def ready_again(self, role: str, killed: list[int], deadline_s: float = DEADLINE_S) -> None:
        """Wait until the role is ready with other processes than the killed ones."""

        def is_so() -> bool:
            now = self.processes().get(role, [])
            return len(now) >= len(killed) and not set(now) & set(killed)

        eventually(f"{role} is ready again", is_so, deadline_s)

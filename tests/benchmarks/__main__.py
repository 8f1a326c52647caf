"""`make bench`: every benchmark, each against a fresh stack in a temporary folder, one after the other.

python -m tests.benchmarks [latency|connections|replies|history|replay|replay-beside|live|search|presence|money]…
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from infra.stack import secrets
from infra.stack.config import StackConfig
from infra.stack.ports import free_port
from tests.benchmarks import latency, replay_beside
from tests.running import ROOT, answers_200, eventually, own_settings, port_settings, up

RATES = (50, 300)
SECONDS = 30


@contextlib.contextmanager
def infrastructure() -> Iterator[dict[str, str]]:
    """Kafka, PostgreSQL and Redis of one's own; the environment for what uses them."""
    with tempfile.TemporaryDirectory(prefix="chorus-bench-") as folder:
        data = Path(folder, "data")
        env = own_settings() | port_settings() | {"CHORUS_DATA": str(data)}
        with up(env, "--infrastructure"):
            yield env | StackConfig.from_env(env, data).environment() | secrets.ensure(data)


@contextlib.contextmanager
def scripted() -> Iterator[list[str]]:
    """The scripted agent; the options of `chorus up` that let it answer, through two gateways."""
    port = free_port()
    agent = subprocess.Popen([sys.executable, "-m", "agents", "scripted", "--port", str(port)], cwd=ROOT)
    try:
        eventually("the scripted agent is ready", lambda: answers_200(f"http://127.0.0.1:{port}/health"))
        yield ["--agent", f"http://127.0.0.1:{port}/v1", "--model", "scripted", "--gateways", "2"]
    finally:
        agent.kill()
        agent.wait()


@contextlib.contextmanager
def everything(**settings: str) -> Iterator[dict[str, str]]:
    """All of Chorus with two gateways and the scripted agent; its settings, and these on top."""
    with scripted() as options, tempfile.TemporaryDirectory(prefix="chorus-bench-") as folder:
        env = own_settings() | port_settings() | {"CHORUS_DATA": f"{folder}/data"} | settings
        with up(env, *options):
            yield env


def _latency() -> None:
    with everything() as env:
        http = f"http://127.0.0.1:{env['CHORUS_HTTP_PORT']}"
        ws = f"ws://127.0.0.1:{env['CHORUS_WS_PORT']}/v1/ws"
        asyncio.run(latency.main(http, ws, RATES[0], 5))  # warms connections, caches and the JVM; printed all the same
        for rate in RATES:
            asyncio.run(latency.main(http, ws, rate, SECONDS))


def _replay_beside() -> None:
    with scripted() as options:
        replay_beside.main(options)


def _module(name: str, *arguments: str) -> Callable[[], None]:
    def run() -> None:
        with infrastructure() as env, tempfile.TemporaryDirectory(prefix="chorus-bench-") as scratch:
            command = [sys.executable, "-m", f"tests.benchmarks.{name}", *arguments]
            if name == "connections":
                command += ["--scratch", scratch]
            subprocess.run(command, cwd=ROOT, env=env, check=True)

    return run


SCENARIOS: dict[str, Callable[[], None]] = {
    "latency": _latency,
    "connections": _module("connections", "--count", "10000"),
    "replies": _module("replies_throughput", "--rate", "100", "--seconds", "20"),
    "history": _module("history_sink", "--facts", "100000"),
    "replay": _module("replay", "--facts", "1000000"),
    "replay-beside": _replay_beside,
    "live": _module("live_window", "--records", "20000"),
    "search": _module("search", "--messages", "1000000"),
    "presence": _module("presence", "--people", "10000"),
    "money": _module("money"),
}


def _count_s() -> float:
    """How fast a core is at this moment: machines that are rented are not the same every day."""
    began, total = time.process_time(), 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - began


def _ticks() -> tuple[int, int]:
    """Of the processors since they began, in hundredths of a second: taken by the host for others, and all."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return fields[7], sum(fields[:8])


def main() -> None:
    wanted = sys.argv[1:] or list(SCENARIOS)
    if unknown := set(wanted) - SCENARIOS.keys():
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}: choose of {', '.join(SCENARIOS)}")
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start")
    print(f"this machine's Python counts to ten million in {_count_s():.2f} s of processor time")
    for name in wanted:
        print(f"\n== {name}", flush=True)
        stolen, ticks = _ticks()
        SCENARIOS[name]()
        # A rented machine shares its processors: what others had meanwhile is in every p99 here.
        print(f"taken by the host for others: {(_ticks()[0] - stolen) / (_ticks()[1] - ticks):.1%}")


if __name__ == "__main__":
    main()

"""How many answers one replies process can carry.

Question: answers of 40 tokens at 20 ms each, from the scripted agent over HTTP, requested at a steady rate from
conversations of their own: how many end per second, and how many would, if the process had one core for itself? Needs
Kafka, PostgreSQL and Redis, and no other replies process:

    python -m tests.benchmarks.replies_throughput --rate 100 --seconds 20
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.stack.ports import free_port
from schemas.events import RunStartedReport
from tests.benchmarks.figures import Series
from tests.running import Running, Stack, answers_200, soon
from tests.stack.asking import Asker, asking

TOKENS = 40
TOKEN_MS = 20
WARM_UP = 20


@dataclass
class Throughput:
    """What one run showed; `cpu_s` is the replies process' alone."""

    answers: int
    seconds: float
    cpu_s: float
    most_in_flight: int
    beyond: Series
    """From the request to the report of its end, less the agent's own time."""

    def __str__(self) -> str:
        return (
            f"{self.answers} answers of {TOKENS} tokens in {self.seconds:.1f} s: {self.answers / self.seconds:.0f}/s, "
            f"at most {self.most_in_flight} in flight\n"
            f"  replies: {self.cpu_s / self.seconds:.2f} cores, {1000 * self.cpu_s / self.answers:.2f} ms an answer, "
            f"{self.answers / self.cpu_s:.0f} answers/s per core\n"
            f"  {self.beyond}"
        )


def _metric(running: Running, name: str) -> float:
    with urllib.request.urlopen(f"{running.health}/metrics", timeout=5) as answer:
        found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", answer.read().decode(), re.MULTILINE)
    assert found, f"no metric {name}"
    return float(found[1])


async def measure(env: Mapping[str, str], rate: float, seconds: float) -> Throughput:
    """Measure against the parts that `env` names."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(dict(env), Path(folder))
        (stack.data / "logs").mkdir()
        port = free_port()
        agent = stack.start("agents", "scripted", "--port", str(port))
        replies = stack.start("streams", "replies", CHORUS_INSTANCE="replies-0")
        try:
            await soon("the agent is ready", lambda: answers_200(f"http://127.0.0.1:{port}/health"))
            await replies.ready()
            async with asking(stack, f"http://127.0.0.1:{port}/v1") as asker:
                await _run(asker, replies, WARM_UP, WARM_UP)
                return await _run(asker, replies, round(rate * seconds), rate)
        finally:
            for running in (replies, agent):
                running.kill(signal.SIGTERM)
                await running.ended()


async def _run(asker: Asker, replies: Running, count: int, rate: float) -> Throughput:
    requests = [asker.request(f"/tokens {TOKENS} /delay {TOKEN_MS}") for _ in range(count)]
    ours = {request.run_id for request in requests}
    asked_at: dict[str, float] = {}
    beyond = Series("request → end reported, less the agent's time")
    seen = len(asker.reports)
    in_flight: set[str] = set()
    ended = most = 0

    def note() -> None:
        nonlocal seen, ended, most
        for report in asker.reports[seen:]:
            if isinstance(report, RunStartedReport):
                in_flight.add(report.run_id)
            elif report.run_id in ours:
                assert report.status == "completed", report.error
                in_flight.discard(report.run_id)
                ended += 1
                beyond.add(time.perf_counter() - asked_at[report.run_id] - TOKENS * TOKEN_MS / 1000)
        seen = len(asker.reports)
        most = max(most, len(in_flight))

    cpu = await asyncio.to_thread(_metric, replies, "process_cpu_seconds_total")
    began = time.perf_counter()
    asks: set[asyncio.Future[object]] = set()
    for n, request in enumerate(requests):
        while (wait := began + n / rate - time.perf_counter()) > 0:
            await asyncio.sleep(min(wait, 0.005))
            note()
        asked_at[request.run_id] = time.perf_counter()
        asks.add(asyncio.ensure_future(asker.ask(request)))
    while ended < count:
        await asyncio.sleep(0.005)
        note()
    took = time.perf_counter() - began
    await asyncio.gather(*asks)
    cpu = await asyncio.to_thread(_metric, replies, "process_cpu_seconds_total") - cpu
    return Throughput(count, took, cpu, most, beyond)


def main() -> None:
    parser = argparse.ArgumentParser(description="How many answers one replies process can carry.")
    parser.add_argument("--rate", type=float, default=100, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    sys.stdout.write(f"{asyncio.run(measure(os.environ, given.rate, given.seconds))}\n")


if __name__ == "__main__":
    main()

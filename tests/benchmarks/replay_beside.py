"""What people notice of a replay.

Question: how much slower a message reaches the other screen while `chorus replay history` rebuilds a long log beside
the live tables; in ratio to the same load on the same stack just before.

    python -m tests.benchmarks replay-beside
"""

import asyncio
import subprocess
import tempfile
import time
from pathlib import Path

from infra import groups
from infra.kafka import end_offsets
from infra.settings import KafkaSettings, PostgresSettings, SealingSettings
from infra.stack import secrets
from infra.stack.config import StackConfig
from schemas.topics import CONVERSATION_EVENTS, CONVERSATION_PARTITIONS
from tests.benchmarks import latency
from tests.benchmarks.latency import Measured
from tests.benchmarks.replay import fill
from tests.running import CHORUS, ROOT, own_settings, port_settings, up

FACTS = 1_000_000
RATE = 40.0
"""Messages a second: with headroom, so that it is the replay that is seen and not a queue."""
SECONDS = 60.0


def main(options: list[str]) -> None:
    """Fill a log, start everything on it with these options of `chorus up`, and measure twice."""
    with tempfile.TemporaryDirectory(prefix="chorus-bench-") as folder:
        data = Path(folder, "data")
        env = own_settings() | port_settings() | {"CHORUS_DATA": str(data)}
        with up(env, "--infrastructure"):
            settings = env | StackConfig.from_env(env, data).environment() | secrets.ensure(data)
            asyncio.run(_fill(settings))
        with up(env, *options):
            http = f"http://127.0.0.1:{env['CHORUS_HTTP_PORT']}"
            ws = f"ws://127.0.0.1:{env['CHORUS_WS_PORT']}/v1/ws"
            asyncio.run(latency.measure(http, ws, rate=RATE, seconds=10))  # warms everything
            before = asyncio.run(latency.measure(http, ws, rate=RATE, seconds=SECONDS))
            began = time.perf_counter()
            replay = subprocess.Popen([*CHORUS, "replay", "history"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL)
            try:
                beside = asyncio.run(latency.measure(http, ws, rate=RATE, seconds=SECONDS))
                ended = replay.poll()
                replay.wait()
            finally:
                replay.kill()  # does nothing where it has ended
            took = time.perf_counter() - began
    print(f"{RATE:.0f} messages/s; {FACTS:,} facts rebuilt in {took:.1f} s", end="")
    print("" if ended is None else ", which ended before the measurement did: take more facts")
    for name in ("acknowledged", "delivered", "first_delta", "delta"):
        _print(name, before, beside)


def _print(name: str, before: Measured, beside: Measured) -> None:
    alone, with_it = getattr(before, name), getattr(beside, name)
    print(f"  alone   {alone}\n  beside  {with_it}   p99 x {with_it.at(0.99) / alone.at(0.99):.2f}")


async def _fill(env: dict[str, str]) -> None:
    kafka = KafkaSettings.from_env(env)
    await fill(kafka, PostgresSettings.from_env(env), SealingSettings.from_env(env), FACTS)
    ends = await end_offsets(kafka, CONVERSATION_EVENTS.topic, set(range(CONVERSATION_PARTITIONS)))
    for group in groups.readers(CONVERSATION_EVENTS.topic):  # as if they had read it all long ago
        await groups.move(kafka, group, CONVERSATION_EVENTS.topic, ends)

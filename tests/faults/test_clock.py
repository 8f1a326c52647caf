"""A process whose clock is ten minutes ahead, or behind: tokens, deadlines and limits of runs hold."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.conftest import Play
from tests.faults.scenario import RETURN_LINE_S, Scene
from tests.running import soon

pytestmark = pytest.mark.timeout(600)

TEN_MINUTES_S = 600
ROLES = ("api", "gateway", "conversations", "replies", "history", "live")


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that moves the calendar of whatever is started with it, and leaves the monotonic clock alone."""
    if shutil.which("cc") is None:
        pytest.skip("a C compiler is needed to move a process' clock")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("seconds", [TEN_MINUTES_S, -TEN_MINUTES_S], ids=["ahead", "behind"])
async def test_clock(play: Play, shifted: Path, seconds: int) -> None:
    """One role after the other lives ten minutes away from all others, and comes back."""

    async def restart(scene: Scene, role: str) -> None:
        stopped = scene.stack.kill(role, signal.SIGTERM)
        await soon(f"{role} is ready again", lambda: scene.stack.is_ready(role, stopped))

    async def fault(scene: Scene) -> None:
        moved = {"LD_PRELOAD": str(shifted), "FAULT_CLOCK_S": str(seconds)}
        for role in ROLES:
            settings = [env for name, env in scene.stack.settings.items() if name.rpartition("-")[0] == role]
            for env in settings:
                env.update(moved)
            try:
                await restart(scene, role)
                await scene.lasts(5, at_least=3)
            finally:
                for env in settings:
                    for name in moved:
                        env.pop(name)
                await restart(scene, role)
        scene.ended_at = time.monotonic()

    await play(f"clocks 10 min {'ahead' if seconds > 0 else 'behind'}, each role", fault, line_s=RETURN_LINE_S)


def test_the_library_moves_the_calendar_alone(shifted: Path) -> None:
    """What the scenario rests on: the time of day is moved, durations are not."""
    code = "import time, datetime; print(time.time(), datetime.datetime.now().timestamp(), time.monotonic())"
    env = {**os.environ, "LD_PRELOAD": str(shifted), "FAULT_CLOCK_S": "600"}
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    calendar, also, monotonic = map(float, told.stdout.split())
    assert 590 < calendar - time.time() < 601
    assert 590 < also - time.time() < 601
    assert abs(monotonic - time.monotonic()) < 10


@pytest.mark.parametrize("seconds", [TEN_MINUTES_S, -TEN_MINUTES_S])
def test_waits_are_as_long_as_ever(shifted: Path, seconds: int) -> None:
    """A client whose threads wait until moments of the calendar, as Kafka's C library does, gives up when it should."""
    code = (
        "from confluent_kafka import KafkaException\n"
        "from confluent_kafka.admin import AdminClient\n"
        "try: AdminClient({'bootstrap.servers': '127.0.0.1:1', 'log_level': 0}).list_topics(timeout=1)\n"
        "except KafkaException: print('away')"
    )
    env = {**os.environ, "LD_PRELOAD": str(shifted), "FAULT_CLOCK_S": str(seconds)}
    began = time.monotonic()
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout == "away\n"
    assert 1 <= time.monotonic() - began < 30

"""A worker that stood still for 90 seconds, and goes on as if nothing had been: it must not be believed."""

import signal
import time

import pytest

from tests.faults.conftest import Play
from tests.faults.scenario import RETURN_LINE_S, Scene

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

PAUSE_S = 90.0
SHORT_PAUSE_S = 15.0
"""Seconds at the least, however the suite is scaled: longer than a session lasts, else nothing is tested."""


@pytest.mark.parametrize("role", ["conversations", "replies", "history", "live", "billing", "notifications"])
async def test_paused_worker(play: Play, role: str) -> None:
    """SIGSTOP, and back long after its partitions were taken away: what it still writes counts for nothing."""

    async def fault(scene: Scene) -> None:
        paused = scene.stack.kill(role, signal.SIGSTOP)
        try:
            await scene.lasts(PAUSE_S, at_least=SHORT_PAUSE_S)
        finally:
            scene.stack.kill(role, signal.SIGCONT)
        scene.ended_at = time.monotonic()
        scene.notes.append("the same process" if scene.stack.pids(role) == paused else "another process")

    await play(f"SIGSTOP {role}, {PAUSE_S:.0f} s", fault, line_s=RETURN_LINE_S)


async def test_paused_worker_with_another(play: Play) -> None:
    """The same with a second worker, which takes over meanwhile: two of them believe that they own what they write."""

    async def fault(scene: Scene) -> None:
        scene.stack.join("conversations", 1)
        assert await scene.watch.calm(10, 60), scene.watch.seen[-1].trouble
        scene.stack.kill("conversations", signal.SIGSTOP)
        try:
            await scene.lasts(PAUSE_S, at_least=SHORT_PAUSE_S)
        finally:
            scene.stack.kill("conversations", signal.SIGCONT)
        scene.ended_at = time.monotonic()
        await scene.watch.calm(5, 60)
        await scene.stack.dismiss("conversations-1")

    await play("SIGSTOP conversations, one of two", fault, line_s=RETURN_LINE_S)

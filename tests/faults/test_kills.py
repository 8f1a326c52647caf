"""`kill -9` and SIGTERM of anything, while people talk: the service is back and has no lag within ten seconds."""

import signal
import time

import pytest

from tests.faults.conftest import Play
from tests.faults.scenario import KILL_LINE_S, Scene
from tests.running import soon

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

OURS = ("gateway", "api", "conversations", "replies", "history", "live", "billing", "notifications", "outbox")
PARTS = ("redis", "postgres", "kafka")


@pytest.mark.parametrize("role", [*OURS, *PARTS])
async def test_killed(play: Play, role: str) -> None:
    """SIGKILL: nothing acknowledged is lost or doubled, and it heals by itself."""

    async def fault(scene: Scene) -> None:
        scene.ended_at = time.monotonic()
        killed = scene.stack.kill(role, signal.SIGKILL)
        await soon(f"{role} is ready again", lambda: scene.stack.is_ready(role, killed))
        scene.notes.append(f"ready after {time.monotonic() - scene.ended_at:.1f} s")

    await play(f"kill -9 {role}", fault, line_s=KILL_LINE_S, agent_may_fail=False)


@pytest.mark.parametrize("role", OURS)
async def test_stopped_in_order(play: Play, role: str) -> None:
    """SIGTERM: as a kill, and what was under way comes to its end first."""

    async def fault(scene: Scene) -> None:
        stopped = scene.stack.kill(role, signal.SIGTERM)
        await soon(f"{role} is ready again", lambda: scene.stack.is_ready(role, stopped))
        scene.ended_at = time.monotonic()

    await play(f"SIGTERM {role}", fault, line_s=KILL_LINE_S)

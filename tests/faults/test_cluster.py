"""Three brokers, each record on all of them: one at a time may go."""

import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.conftest import played
from tests.faults.scenario import KILL_LINE_S, RETURN_LINE_S, Scene, Settings
from tests.faults.stack import FaultStack, running
from tests.running import soon

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

BROKERS = 3


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FaultStack]:
    """A stack with three brokers, replication 3, and two of them needed for an acknowledgement."""
    async with running(tmp_path_factory.mktemp("cluster") / "data", brokers=BROKERS) as stack:
        yield stack


async def test_rolling_restart(cluster: FaultStack, settings: Settings) -> None:
    """Each broker is stopped in order and comes back, one after the other."""

    async def fault(scene: Scene) -> None:
        for number in range(BROKERS):
            name = f"kafka-{number}"
            stopped = scene.stack.kill(name, signal.SIGTERM)
            await soon(f"{name} is ready again", lambda n=name, s=stopped: scene.stack.is_ready(n, s))  # type: ignore[misc]
            # The next one may go when the copies are whole again, as any operator would wait for.
            await soon("all copies are there", scene.stack.is_in_sync)
        scene.ended_at = time.monotonic()

    await played("three brokers, rolling restart", cluster, settings, fault, line_s=RETURN_LINE_S)


async def test_broker_killed(cluster: FaultStack, settings: Settings) -> None:
    """One of three brokers is killed: the others take over what it led."""

    async def fault(scene: Scene) -> None:
        scene.ended_at = time.monotonic()
        scene.stack.kill("kafka-1", signal.SIGKILL)

    await played("three brokers, kill -9 of one", cluster, settings, fault, line_s=KILL_LINE_S)

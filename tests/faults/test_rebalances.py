"""Workers come and go every 20 seconds while people talk."""

import time

import pytest

from tests.faults.conftest import Play
from tests.faults.scenario import RETURN_LINE_S, Scene
from tests.faults.stack import PROCESSORS

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

ROUNDS = 3


async def test_rebalances(play: Play) -> None:
    """A second worker of each role joins, and leaves 20 s later, three times: partitions move six times."""

    async def fault(scene: Scene) -> None:
        joined: list[str] = []
        try:
            for _ in range(ROUNDS):
                for role in PROCESSORS:
                    scene.stack.join(role, 1)
                    joined.append(f"{role}-1")
                await scene.lasts(20, at_least=10)
                while joined:
                    await scene.stack.dismiss(joined.pop())
                await scene.lasts(20, at_least=5)
        finally:
            while joined:
                await scene.stack.dismiss(joined.pop())
        scene.ended_at = time.monotonic()

    await play(f"{2 * ROUNDS} rebalances of all groups", fault, line_s=RETURN_LINE_S)

"""The network breaks, swallows, is slow, and breaks in the middle of a record, for each dependency."""

import time

import pytest

from tests.faults.conftest import Play
from tests.faults.scenario import RETURN_LINE_S, Scene, healed

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

DEPENDENCIES = ("kafka", "postgres", "redis", "agent")


@pytest.mark.parametrize("part", DEPENDENCIES)
async def test_cut(play: Play, part: str) -> None:
    """Every connection breaks, five times, some of them in the middle of a record."""

    async def fault(scene: Scene) -> None:
        proxy = scene.stack.proxies[part]
        for _ in range(5):
            proxy.cut()
            await scene.lasts(2)
            proxy.breaks_next = True
            await scene.lasts(2)
        proxy.breaks_next = False
        scene.ended_at = time.monotonic()

    await play(f"{part} cut 10 times", fault, agent_may_fail=part == "agent", line_s=RETURN_LINE_S)


@pytest.mark.parametrize("part", DEPENDENCIES)
async def test_swallowed(play: Play, part: str) -> None:
    """Nothing comes through and nobody is told, for 30 seconds; then everything does, old connections too."""

    async def fault(scene: Scene) -> None:
        async with healed(scene):
            scene.stack.proxies[part].swallow(True)
            await scene.lasts(30, at_least=10)
        scene.ended_at = time.monotonic()

    await play(f"{part} swallowed, 30 s", fault, agent_may_fail=part == "agent", line_s=RETURN_LINE_S)


async def test_slow(play: Play) -> None:
    """Everything is 100 ms away: slower, and nothing else."""

    async def fault(scene: Scene) -> None:
        async with healed(scene):
            for proxy in scene.stack.proxies.values():
                proxy.delay_s = 0.05
            await scene.lasts(30)
        scene.ended_at = time.monotonic()

    await play("network slow by 100 ms, 30 s", fault, line_s=RETURN_LINE_S)


async def test_thin(play: Play) -> None:
    """64 kB/s for each connection to Kafka: what does not get through waits."""

    async def fault(scene: Scene) -> None:
        async with healed(scene):
            scene.stack.proxies["kafka"].bytes_per_s = 64_000
            await scene.lasts(30)
        scene.ended_at = time.monotonic()

    await play("Kafka at 64 kB/s, 30 s", fault, line_s=RETURN_LINE_S)

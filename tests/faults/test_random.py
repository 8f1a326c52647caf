"""Faults drawn at random, one or two at once, for as long as asked: `make test-faults RANDOM_MINUTES=n SEED=s`."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tests.faults.conftest import played
from tests.faults.scenario import RETURN_LINE_S, Scene, Settings, healed
from tests.faults.stack import PROCESSORS, FaultStack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(0)]

OURS = ("gateway", "api", "outbox", *PROCESSORS)
PARTS = ("kafka", "postgres", "redis", "agent")

Act = Callable[[Scene, str, float], Awaitable[None]]


async def kill(scene: Scene, role: str, _seconds: float) -> None:
    scene.stack.kill(role, signal.SIGKILL)


async def terminate(scene: Scene, role: str, _seconds: float) -> None:
    scene.stack.kill(role, signal.SIGTERM)


async def pause(scene: Scene, role: str, seconds: float) -> None:
    paused = scene.stack.family(role)
    scene.stack.send(paused, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        scene.stack.send(paused, signal.SIGCONT)


async def cut(scene: Scene, part: str, seconds: float) -> None:
    proxy = scene.stack.proxies[part]
    for _ in range(max(1, round(seconds / 5))):
        proxy.cut()
        await asyncio.sleep(2.5)
        proxy.breaks_next = True
        await asyncio.sleep(2.5)
    proxy.breaks_next = False


async def refuse(scene: Scene, part: str, seconds: float) -> None:
    async with healed(scene, part):
        await scene.stack.proxies[part].refuse()
        await asyncio.sleep(seconds)


async def swallow(scene: Scene, part: str, seconds: float) -> None:
    async with healed(scene, part):
        scene.stack.proxies[part].swallow(True)
        await asyncio.sleep(seconds)


async def slow(scene: Scene, part: str, seconds: float) -> None:
    async with healed(scene, part):
        scene.stack.proxies[part].delay_s = 0.05
        await asyncio.sleep(seconds)


ACTS: dict[Act, tuple[str, ...]] = {
    kill: (*OURS, *PARTS),
    terminate: OURS,
    pause: (*PROCESSORS, "postgres", "redis"),
    cut: PARTS,
    refuse: PARTS,
    swallow: PARTS,
    slow: PARTS,
}
TOGETHER = 0.4
"""Share of rounds in which two faults come at once."""


def drawn(at: random.Random) -> tuple[Act, str, float]:
    act = at.choice(list(ACTS))
    return act, at.choice(ACTS[act]), at.uniform(5, 40)


async def test_random(faults: FaultStack, settings: Settings) -> None:
    """Whatever breaks, nothing acknowledged is lost, doubled or out of order, and it heals by itself."""
    if not settings.random_minutes:
        pytest.skip("random faults are asked for with RANDOM_MINUTES=n")
    at = random.Random(settings.seed)
    until = time.monotonic() + settings.random_minutes * 60
    failed = []
    number = 0
    while time.monotonic() < until:
        number += 1
        acts = [drawn(at) for _ in range(2 if at.random() < TOGETHER else 1)]
        name = " and ".join(f"{act.__name__} {target} {seconds:.0f} s" for act, target, seconds in acts)

        async def fault(scene: Scene, acts: list[tuple[Act, str, float]] = acts) -> None:
            await asyncio.gather(*(act(scene, target, seconds * scene.settings.scale) for act, target, seconds in acts))

        try:
            await played(
                f"{number}: {name}",
                faults,
                replace(settings, seed=at.randrange(10**6)),
                fault,
                agent_may_fail=any(target == "agent" for _, target, _ in acts),
                line_s=RETURN_LINE_S,
            )
        except AssertionError as error:
            failed.append(f"{number}: {name}: {error}")
    assert not failed, "\n".join(failed)

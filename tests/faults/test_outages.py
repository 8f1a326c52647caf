"""Something that everything depends on is gone for a while, or has forgotten everything."""

import signal
import time

import pytest
from redis.asyncio import Redis

from tests.faults.conftest import Play
from tests.faults.scenario import RETURN_LINE_S, Scene, healed
from tests.faults.stack import FaultStack
from tests.running import soon

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

DRAIN_TIMES = 5.0


async def away(scene: Scene, part: str, seconds: float) -> None:
    """Kill it, and let nobody reach what the supervisor starts in its place until the time is over."""
    async with healed(scene):
        await scene.stack.proxies[part].refuse()
        killed = scene.stack.kill(part, signal.SIGKILL)
        began = time.monotonic()
        await soon(f"{part} is ready behind its closed door", lambda: scene.stack.is_ready(part, killed))
        await scene.lasts(seconds, since=began)
    scene.ended_at = time.monotonic()


async def test_broker_away(play: Play) -> None:
    """Every client is told, nothing acknowledged is lost, and all groups run again by themselves."""

    async def fault(scene: Scene) -> None:
        scene.load.records.told.clear()
        await away(scene, "kafka", 120)
        people = {window.person.user["id"] for window in scene.load.windows}
        if untold := people - scene.load.records.told:
            scene.problems.append(f"{len(untold)} of {len(people)} people were not told `unavailable`")
        if (silence := scene.load.records.longest_silence_s) > 10:
            scene.problems.append(f"somebody waited {silence:.0f} s for a word")

    await play("Kafka away, 120 s", fault, line_s=RETURN_LINE_S)


async def test_redis_flushed(play: Play, faults: FaultStack) -> None:
    """Redis loses everything: viewers miss nothing in the end."""

    async def fault(scene: Scene) -> None:
        scene.ended_at = time.monotonic()
        async with Redis.from_url(faults.direct["CHORUS_REDIS_URL"]) as redis:
            await redis.flushall()

    await play("Redis flushed", fault, line_s=RETURN_LINE_S)


async def test_redis_away(play: Play) -> None:
    """What is said is acknowledged meanwhile, and shown when Redis is back."""
    await play("Redis away, 60 s", lambda scene: away(scene, "redis", 60), line_s=RETURN_LINE_S)


async def test_postgres_away(play: Play) -> None:
    """What was said meanwhile is stored at five times the rate at which more comes."""

    async def fault(scene: Scene) -> None:
        await away(scene, "postgres", 60)

    async def after(scene: Scene) -> None:
        assert scene.ended_at is not None
        drained, came = scene.watch.drained("history", scene.ended_at)
        scene.notes.append(f"drained at {drained:.0f}/s while {came:.0f}/s came")
        if drained < DRAIN_TIMES * came:
            scene.problems.append(f"history drained at {drained:.0f}/s while {came:.0f}/s came: less than five times")

    await play("PostgreSQL away, 60 s", fault, line_s=RETURN_LINE_S, after=after)


async def test_postgres_frozen(play: Play) -> None:
    """PostgreSQL stands still: connections stay open and nobody answers."""

    async def fault(scene: Scene) -> None:
        pids = scene.stack.family("postgres")
        scene.stack.send(pids, signal.SIGSTOP)
        try:
            await scene.lasts(60, at_least=10)
        finally:
            scene.stack.send(pids, signal.SIGCONT)
        scene.ended_at = time.monotonic()

    await play("PostgreSQL frozen, 60 s", fault, line_s=RETURN_LINE_S)


async def test_agent_away(play: Play) -> None:
    """The agent is gone: its runs end as failed, each once, and people talk on."""
    await play("agent away, 30 s", lambda scene: away(scene, "agent", 30), agent_may_fail=True, line_s=RETURN_LINE_S)


async def test_agent_slow(play: Play) -> None:
    """The agent takes its time: nothing is called twice for it."""

    async def fault(scene: Scene) -> None:
        async with healed(scene):
            scene.stack.proxies["agent"].delay_s = 3.0
            await scene.lasts(30)
        scene.ended_at = time.monotonic()

    await play("agent slow by 6 s, 30 s", fault, line_s=RETURN_LINE_S)


async def test_agent_breaks_off(play: Play) -> None:
    """The agent's connections break in mid-answer, again and again: what was said stays, each run ends once."""

    async def fault(scene: Scene) -> None:
        proxy = scene.stack.proxies["agent"]
        for _ in range(20):
            proxy.cut()
            await scene.lasts(1)
            proxy.breaks_next = True
            await scene.lasts(1)
        proxy.breaks_next = False
        scene.ended_at = time.monotonic()

    await play("agent breaks off 40 times", fault, agent_may_fail=True, line_s=RETURN_LINE_S)

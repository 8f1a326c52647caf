"""What presence costs at ten thousand people.

Question: the processor time of gateways and of Redis for each change, and for people who sit still. Presence and
channels of two gateways, without sockets; every conversation is watched through both. Needs Redis from the environment.

    python -m tests.benchmarks.presence --people 10000 --in-each 5
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvloop
from redis.asyncio import Redis

from edge.fanout import Fanout
from edge.followers import Told
from edge.presence import Presence
from edge.settings import PresenceSettings
from infra import redis
from infra.deltas import conversation_channel
from infra.live import decode_live
from infra.presence import PresenceMessage
from infra.settings import RedisSettings
from schemas.ids import new_id

STILL_S = 30.0
_LINGER_S = 1.0
"""A second instead of fifteen: what is measured is the work, not the waiting."""


class Gateway:
    """A gateway's presence, and how many pushes it would have made."""

    def __init__(self, cache: Redis, settings: RedisSettings) -> None:
        self.pushes = 0
        self.presence = Presence(cache, PresenceSettings(linger_s=_LINGER_S), new_id(), self._say)
        self.channels = Fanout(settings, self._heard, lambda _channel: None)

    def _heard(self, channel: str, message: bytes) -> None:
        live = decode_live(message)
        assert isinstance(live, PresenceMessage)
        conversation_id = channel.partition(":")[2]
        self._say(conversation_id, self.presence.heard(conversation_id, live))

    def _say(self, _conversation_id: str, told: Sequence[Told]) -> None:
        self.pushes += len(told)


@dataclass
class Spent:
    """Processor seconds, and commands that Redis carried out."""

    ours: float
    redis: float
    commands: int

    def since(self, before: "Spent") -> "Spent":
        return Spent(self.ours - before.ours, self.redis - before.redis, self.commands - before.commands)


async def spent(cache: Redis) -> Spent:
    found = await cache.info()
    redis_s = found["used_cpu_user"] + found["used_cpu_sys"]
    return Spent(time.process_time(), redis_s, found["total_commands_processed"])


async def measure(people: int, in_each: int) -> list[str]:
    settings = RedisSettings.from_env(os.environ)
    cache = redis.connect(settings)
    gateways = [Gateway(cache, settings) for _ in range(2)]
    running = [asyncio.create_task(work) for g in gateways for work in (g.channels.run(), g.presence.run())]
    conversations = [new_id() for _ in range(people // in_each)]
    for gateway in gateways:
        await gateway.channels.watch(*map(conversation_channel, conversations))
        for conversation_id in conversations:
            await gateway.presence.open(conversation_id)
    users = [new_id() for _ in range(people)]
    lines = [f"{people} people, {in_each} in each of {len(conversations)} conversations, two gateways"]

    def all_look(*, away: bool) -> Callable[[], None]:
        def look() -> None:
            for n, user_id in enumerate(users):
                gateways[n % 2].presence.look(conversations[n // in_each], user_id, user_id, away=away)

        return look

    def all_leave() -> None:
        for n, user_id in enumerate(users):
            gateways[n % 2].presence.leave(conversations[n // in_each], user_id, user_id)

    for what, act in (
        ("everybody comes", all_look(away=False)),
        ("everybody looks away", all_look(away=True)),
        ("everybody goes", all_leave),
    ):
        before, began, pushes = await spent(cache), time.monotonic(), sum(g.pushes for g in gateways)
        act()
        while sum(g.pushes for g in gateways) < pushes + 2 * people:  # noqa: ASYNC110 - an event for each would be measured
            await asyncio.sleep(0.02)
        took, used = time.monotonic() - began, (await spent(cache)).since(before)
        lines.append(
            f"{what}: told to all in {took:.1f} s; for each change {used.ours / people * 1e6:.0f} µs of both gateways "
            f"and {used.redis / people * 1e6:.0f} µs of Redis"
        )
        if what == "everybody comes":
            before = await spent(cache)
            await asyncio.sleep(STILL_S)
            used = (await spent(cache)).since(before)
            lines.append(
                f"everybody sits still: {used.commands / STILL_S:.1f} commands a second, "
                f"{used.redis / STILL_S:.2%} of a core for Redis, {used.ours / STILL_S:.2%} for both gateways"
            )
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await cache.aclose()
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--in-each", type=int, default=5)
    given = parser.parse_args()
    print("\n".join(uvloop.run(measure(given.people, given.in_each))))


if __name__ == "__main__":
    main()

"""How fast the live projection tells what happens.

Question: records a second that one live worker opens, folds, writes to Redis and publishes, 500 conversations at once
as its lanes do; the same records as `history_sink` uses.

    CHORUS_… python -m tests.benchmarks.live_window --records 20000
"""

import argparse
import asyncio
import os
import random
import time

from infra import postgres
from infra import redis as our_redis
from infra.keyring import Keyring
from infra.settings import PostgresSettings, RedisSettings, SealingSettings
from schemas import events, ids
from schemas.topics import CONVERSATION_EVENTS
from streams.workers.live import IN_FLIGHT, LiveProjection
from tests.benchmarks.figures import Series, cpu_seconds
from tests.benchmarks.history_sink import exchanges
from tests.projections.conftest import delivered
from tests.projections.talk import Talk


async def measure(env: dict[str, str], records: int) -> str:
    """Tell so many records; a line that says how fast."""
    async with (
        await postgres.connect(PostgresSettings.from_env(env)) as pool,
        our_redis.connect(RedisSettings.from_env(env)) as redis,
    ):
        keyring = Keyring(pool, SealingSettings.from_env(env))
        async with pool.acquire() as connection:
            keys = [await keyring.create(connection, ids.new_id()) for _ in range(100)]
        drawn = random.Random(1)
        talks = [Talk(drawn, keys[n % len(keys)]) for n in range(IN_FLIGHT)]
        lanes: dict[str, list[bytes]] = {}
        for record in exchanges(talks, records // 3):
            lanes.setdefault(record.conversation_id, []).append(events.encode_advanced(record))
        live = LiveProjection(redis, pool, keyring, ids.new_id())
        each = Series("record → told, all lanes busy")

        async def lane(values: list[bytes]) -> None:
            for value in values:
                started = time.perf_counter()
                [delivery] = delivered([events.decode_advanced(value)])
                await live.handle(delivery)
                each.add(time.perf_counter() - started)

        started, cpu = time.perf_counter(), cpu_seconds()
        await asyncio.gather(*map(lane, lanes.values()))
        seconds = time.perf_counter() - started
        return (
            f"{len(each.values) / seconds:10,.0f} records/s, {(cpu_seconds() - cpu) / seconds:.0%} of a core here, "
            f"{CONVERSATION_EVENTS.topic}\n{each}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast the live projection tells what happens.")
    parser.add_argument("--records", type=int, default=20_000)
    print(asyncio.run(measure(dict(os.environ), parser.parse_args().records)))


if __name__ == "__main__":
    main()

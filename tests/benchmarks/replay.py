"""How fast history is replayed.

Question: facts a second that `chorus replay history` rebuilds from Kafka, indexes and all, into tables beside the live
ones; with nothing else to do. The log is that of `history_sink`: six facts, three records an exchange.

    CHORUS_… python -m tests.benchmarks.replay --facts 1000000

It publishes to the topic and writes to the tables that the settings name: give it a stack of its own.
"""

import argparse
import os
import random
import time

import uvloop

from infra import postgres
from infra.kafka import end_offsets, topic_ids
from infra.keyring import Keyring
from infra.objects import ObjectsSettings
from infra.settings import KafkaSettings, PostgresSettings, SealingSettings
from schemas import ids
from schemas.topics import CONVERSATION_EVENTS, CONVERSATION_PARTITIONS
from streams.projections.storing import SINK
from streams.replay.history import HistoryReplay
from streams.replay.log import Log
from streams.replay.pace import Pace, collect_seldom
from tests.benchmarks.figures import cpu_seconds
from tests.benchmarks.history_sink import CONVERSATIONS, FACTS_AN_EXCHANGE, Rate, exchanges, publish
from tests.projections.talk import START, Talk

PUBLISHED_AT_ONCE = 10_000


async def measure(env: dict[str, str], facts: int) -> list[Rate]:
    """Publish so many facts, and rebuild them."""
    kafka, settings, sealing = (
        KafkaSettings.from_env(env),
        PostgresSettings.from_env(env),
        SealingSettings.from_env(env),
    )
    stored = await fill(kafka, settings, sealing, facts)
    async with HistoryReplay.opened(Log(kafka, ObjectsSettings("")), settings, sealing, Pace(None)) as replay:
        await replay.give_up()
        await replay.begin(None)
        began, cpu = time.perf_counter(), cpu_seconds()
        await replay.catch_up()
        rates = [Rate("the whole log, with its indexes", stored, time.perf_counter() - began, cpu_seconds() - cpu)]
        began, cpu = time.perf_counter(), cpu_seconds()
        await replay.compare()
        rates.append(Rate("compared with the live tables", stored, time.perf_counter() - began, cpu_seconds() - cpu))
        began, cpu = time.perf_counter(), cpu_seconds()
        await replay.swap()
        print(f"swapped in {time.perf_counter() - began:.2f} s")
        return rates


async def fill(kafka: KafkaSettings, settings: PostgresSettings, sealing: SealingSettings, facts: int) -> int:
    """Publish so many facts, and have it that history has stored them; how many they are."""
    async with await postgres.connect(settings) as pool:
        async with pool.acquire() as connection:
            keyring = Keyring(pool, sealing)
            keys = [await keyring.create(connection, ids.new_id()) for _ in range(100)]
        drawn = random.Random(1)
        talks = [Talk(drawn, keys[n % len(keys)]) for n in range(CONVERSATIONS)]
        stored, encoded = 0, []
        for record in exchanges(talks, facts // FACTS_AN_EXCHANGE):
            stored += len(record.facts)
            sealed = CONVERSATION_EVENTS.encode(record, id=record.cause, source="/bench", time=START)
            encoded.append((record.conversation_id.encode(), *sealed))
            if len(encoded) == PUBLISHED_AT_ONCE:
                await publish(kafka, encoded)
                encoded = []
        await publish(kafka, encoded)
        # As if a live sink had stored them: a replay goes as far as that one is.
        topic_id = (await topic_ids(kafka, [CONVERSATION_EVENTS.topic]))[CONVERSATION_EVENTS.topic]
        ends = await end_offsets(kafka, CONVERSATION_EVENTS.topic, set(range(CONVERSATION_PARTITIONS)))
        await pool.executemany(
            "INSERT INTO sink_offsets (sink, topic_id, partition, next_offset) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (sink, topic_id, partition) DO UPDATE SET next_offset = excluded.next_offset",
            [(SINK, topic_id, partition, end) for partition, end in ends.items()],
        )
    return stored


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast history is replayed.")
    parser.add_argument("--facts", type=int, default=100_000)
    collect_seldom()
    for rate in uvloop.run(measure(dict(os.environ), parser.parse_args().facts)):
        print(rate)


if __name__ == "__main__":
    main()

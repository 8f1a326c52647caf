"""How fast history is written, and rebuilt.

Question: facts a second that one history worker stores, batch after batch of 500 records as they come from Kafka; and
when it reads the whole log again from Kafka into empty tables. People ask (200 characters) and agents answer (1,000),
in 1,000 conversations at once: three records, six facts an exchange.

    CHORUS_… python -m tests.benchmarks.history_sink --facts 100000

It publishes to the topic and writes to the tables that the settings name: give it a stack of its own.
"""

import argparse
import asyncio
import os
import random
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer

from infra import postgres
from infra.kafka import end_offsets, partition_of, topic_ids
from infra.keyring import Keyring
from infra.settings import KafkaSettings, PostgresSettings, SealingSettings
from schemas import events, ids
from schemas.contract import Headers
from schemas.sealing import DataKey
from schemas.topics import CONVERSATION_EVENTS, CONVERSATION_PARTITIONS
from streams.intake import Delivery
from streams.workers.history import SINK, HistorySink
from tests.benchmarks.figures import cpu_seconds
from tests.projections.talk import START, Talk

CONVERSATIONS = 1_000
BATCH = 500
FACTS_AN_EXCHANGE = 6


@dataclass
class Rate:
    """Facts stored in so many seconds, and how much of a core this process used meanwhile."""

    name: str
    facts: int
    seconds: float
    cpu_s: float

    def __str__(self) -> str:
        return (
            f"{self.name:<32} {self.facts / self.seconds:10,.0f} facts/s   "
            f"({self.facts:,} in {self.seconds:.1f} s, {self.cpu_s / self.seconds:.0%} of a core here)"
        )


def exchanges(talks: list[Talk], count: int) -> Iterator[events.ConversationAdvanced]:
    """A question, its answer's beginning and its end, in one conversation after the other."""
    for n in range(count):
        talk = talks[n % len(talks)]
        if talk.view is None:
            yield talk.created()
        question = talk.posted("Giá cà phê hôm nay thế nào? " * 7)
        queued = talk.queued(question.message_id)
        yield talk.record(question, queued, events.RunRequested(run_id=queued.run_id))
        yield talk.record(events.RunStarted(run_id=queued.run_id, attempt=1))
        assert talk.view is not None
        yield talk.record(*talk.ended(talk.view.runs[queued.run_id], "Giá hôm nay là một trăm nghìn đồng. " * 28))


async def measure(env: dict[str, str], facts: int) -> list[Rate]:
    """Store so many facts, then read them all again from Kafka."""
    kafka = KafkaSettings.from_env(env)
    async with await postgres.connect(PostgresSettings.from_env(env)) as pool:
        keyring = Keyring(pool, SealingSettings.from_env(env))
        async with pool.acquire() as connection:
            keys = [await keyring.create(connection, ids.new_id()) for _ in range(100)]
        records = list(exchanges(_talks(keys), facts // FACTS_AN_EXCHANGE))
        encoded = [(_key(r), *CONVERSATION_EVENTS.encode(r, id=r.cause, source="/bench", time=START)) for r in records]
        stored = sum(len(record.facts) for record in records)

        sink = HistorySink(pool, keyring, kafka, ids.new_id())
        await sink.assigned({0: 0})
        rates = [await _timed("batches of 500", stored, _store(sink, encoded))]

        partitions = set(range(CONVERSATION_PARTITIONS))
        starts = await end_offsets(kafka, CONVERSATION_EVENTS.topic, partitions)
        await publish(kafka, encoded)
        ends = await end_offsets(kafka, CONVERSATION_EVENTS.topic, partitions)
        await pool.execute("TRUNCATE conversations, messages, runs, rejections, remembered_cancels, sink_offsets")
        topic_id = (await topic_ids(kafka, [CONVERSATION_EVENTS.topic]))[CONVERSATION_EVENTS.topic]
        await pool.executemany(  # what stood in the topic before is not ours
            "INSERT INTO sink_offsets (sink, topic_id, partition, next_offset) VALUES ($1, $2, $3, $4)",
            [(SINK, topic_id, partition, start) for partition, start in starts.items()],
        )
        sink = HistorySink(pool, keyring, kafka, topic_id)
        rates.append(await _timed("the log again, from Kafka", stored, sink.assigned(ends)))
        assert await pool.fetchval("SELECT sum(position) FROM conversations") == len(records)
        return rates


async def _timed(name: str, facts: int, work: Coroutine[None, None, None]) -> Rate:
    started, cpu = time.perf_counter(), cpu_seconds()
    await work
    return Rate(name, facts, time.perf_counter() - started, cpu_seconds() - cpu)


def _talks(keys: list[DataKey]) -> list[Talk]:
    drawn = random.Random(1)
    return [Talk(drawn, keys[n % len(keys)]) for n in range(CONVERSATIONS)]


def _key(record: events.ConversationAdvanced) -> bytes:
    return record.conversation_id.encode()


async def _store(sink: HistorySink, encoded: list[tuple[bytes, bytes, Headers]]) -> None:
    for start in range(0, len(encoded), BATCH):
        batch = []
        for n, (key, value, headers) in enumerate(encoded[start : start + BATCH], start):
            event, envelope = CONVERSATION_EVENTS.decode(value, headers)
            batch.append(Delivery(event, envelope, CONVERSATION_EVENTS.topic, 0, n, key, 0))
        await sink.handle_batch(batch)


async def publish(kafka: KafkaSettings, encoded: list[tuple[bytes, bytes, Headers]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=20, max_batch_size=500_000)
    await producer.start()
    try:
        for key, value, headers in encoded:
            partition = partition_of(key.decode(), CONVERSATION_PARTITIONS)
            await producer.send(CONVERSATION_EVENTS.topic, value, key=key, headers=headers, partition=partition)
    finally:
        await producer.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast history is written, and rebuilt.")
    parser.add_argument("--facts", type=int, default=100_000)
    for rate in asyncio.run(measure(dict(os.environ), parser.parse_args().facts)):
        print(rate)


if __name__ == "__main__":
    main()

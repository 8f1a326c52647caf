"""Consumer groups, looked at and moved from outside.

With aiokafka: librdkafka 2.16 ends the process (a null pointer in its main thread) when it is asked for a group on a
broker that has never had one, which is where a restore begins.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from infra.settings import KafkaSettings
from schemas.topics import TOPICS

_FIRST_S = 20.0
"""How long a broker may take to make the topic that groups live in, in seconds, when it is asked for the first time."""


def readers(topic: str) -> list[str]:
    """The groups that read a topic: its readers, but for the one that writes it, which reads it in no group."""
    found = next(t for t in TOPICS if t.name == topic)
    return sorted(set(found.readers) - set(found.writers))


async def members(settings: KafkaSettings, groups: Sequence[str]) -> dict[str, int]:
    """How many members each group has.

    Raises:
        aiokafka.errors.KafkaError: the broker is away.
    """
    client = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await client.start()
    try:
        return {group: await _members(client, group) for group in groups}
    finally:
        await client.close()


async def _members(client: AIOKafkaAdminClient, group: str) -> int:
    deadline = monotonic() + _FIRST_S
    while True:
        try:
            # One at a time: aiokafka 0.14 reads an answer about several with a field too few.
            [answer] = await client.describe_consumer_groups([group])
        except KafkaError as error:
            if not error.retriable or monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return len(answer.groups[0][5])


async def offsets(settings: KafkaSettings, group: str, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Where a group reads next, of the partitions of which it has acknowledged anything.

    Raises:
        aiokafka.errors.KafkaError: the broker is away.
    """
    async with _outside(settings, group, topic, partitions) as consumer:
        found = {p: await consumer.committed(TopicPartition(topic, p)) for p in partitions}
    return {p: offset for p, offset in found.items() if offset is not None}


async def move(settings: KafkaSettings, group: str, topic: str, to: Mapping[int, int]) -> None:
    """Let a group that has no members read on from these offsets.

    Raises:
        aiokafka.errors.KafkaError: the broker is away, or the group has members.
    """
    async with _outside(settings, group, topic, list(to)) as consumer:
        await consumer.commit({TopicPartition(topic, p): offset for p, offset in to.items()})


@asynccontextmanager
async def _outside(
    settings: KafkaSettings, group: str, topic: str, partitions: Sequence[int]
) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, p) for p in partitions])
        yield consumer
    finally:
        await consumer.stop()

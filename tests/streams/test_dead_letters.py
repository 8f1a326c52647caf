"""What can be no record of ours, and is put aside all the same."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from tests.running import Stack
from tests.streams.conftest import MakeTopic
from tests.streams.test_intake import Gated, OnTopic, until
from tests.streams.worker import Numbered


@pytest_asyncio.fixture
async def on(stack: Stack, make_topic: MakeTopic) -> AsyncIterator[OnTopic]:
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as producer:
        yield OnTopic(stack, make_topic(1), producer)


@pytest.mark.parametrize("key", [None, b"key"])
async def test_a_record_without_a_value_is_put_aside(on: OnTopic, key: bytes | None) -> None:
    """Also one without a key, which Kafka's Python client would not write; what follows goes on."""
    other = Producer({"bootstrap.servers": on.kafka.bootstrap, "log_level": 0})
    other.produce(on.topic, value=None, key=key)
    other.flush(10)
    await on.send(Numbered(n=1))
    processor = Gated()
    processor.gate.set()
    async with on.intake(processor):
        await until("the good one is handled", lambda: processor.done == [1])
        (letter,) = await on.dead_letters(1)
    assert (letter.value, letter.key) == (None, key or b"")

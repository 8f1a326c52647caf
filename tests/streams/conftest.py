"""Topics of a test's own on the real broker."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.running import Stack

MakeTopic = Callable[[int], str]


@pytest.fixture
def make_topic(stack: Stack) -> MakeTopic:
    """`make_topic(partitions)` → the name of a new topic, its dead-letter topic made too."""

    def make(partitions: int) -> str:
        name = f"test-{uuid4().hex[:8]}"
        admin = AdminClient({"bootstrap.servers": stack.kafka})
        topics = [NewTopic(n, num_partitions=partitions, replication_factor=1) for n in (name, f"{name}-dlq")]
        for made in admin.create_topics(topics).values():
            made.result(10)
        return name

    return make

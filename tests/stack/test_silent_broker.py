"""A broker that takes connections and says nothing is away, not a bug."""

import asyncio

import pytest
from confluent_kafka import KafkaException

from infra import kafka
from infra.settings import KafkaSettings


async def test_topic_ids_says_that_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks a silent broker for topics' ids hears what can be waited for, so that no process ends of it."""
    monkeypatch.setattr(kafka, "_ADMIN_TIMEOUT_S", 1.0)
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(KafkaException):
        await kafka.topic_ids(KafkaSettings(f"127.0.0.1:{port}"), ["conversation-events"])
    server.close()

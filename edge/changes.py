"""What others have changed of accounts, heard from the log: what this process remembers of them is forgotten.

Each process reads everything that is written while it lives, in no group. Where Kafka is away it hears nothing, and
what it remembers grows old by itself.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from edge.access import Access
from infra.patience import patiently
from infra.settings import KafkaSettings
from schemas.account_events import AgentChanged, ProjectChanged
from schemas.contract import InvalidRecord
from schemas.topics import ACCOUNT_EVENTS, ACCOUNT_PARTITIONS, AGENT_EVENTS

log = structlog.get_logger(__name__)

MOST_REVISIONS: Final = 50_000
"""Things whose newest revision is remembered, to ignore what is older; about 10 MB."""
_CONTRACTS: Final = {contract.topic: contract for contract in (ACCOUNT_EVENTS, AGENT_EVENTS)}
_PARTITIONS: Final = [TopicPartition(topic, p) for topic in _CONTRACTS for p in range(ACCOUNT_PARTITIONS)]

Told = Callable[[ProjectChanged], None]


class Changes:
    """Hears of changes for as long as `run` runs.

    Args:
        told: called with each project that changed, after what was remembered of it is forgotten.
    """

    def __init__(self, settings: KafkaSettings, access: Access, told: Told = lambda _: None) -> None:
        self._settings = settings
        self._access = access
        self._told = told
        self._revisions: OrderedDict[str, int] = OrderedDict()

    async def run(self) -> None:
        """Hear until cancelled."""
        consumer = await patiently("Kafka", (KafkaError,), self._started)
        try:
            async for record in consumer:
                self._heard(record)
        finally:
            await consumer.stop()

    async def _started(self) -> "AIOKafkaConsumer[bytes, bytes]":
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.bootstrap, enable_auto_commit=False, auto_offset_reset="latest"
        )
        try:
            await consumer.start()
            consumer.assign(_PARTITIONS)
            # Where it begins is fixed now, and not at the first record that happens to come.
            await consumer.seek_to_end(*_PARTITIONS)
        except KafkaError:
            await consumer.stop()
            raise
        return consumer

    def _heard(self, record: "ConsumerRecord[bytes, bytes]") -> None:
        try:
            event, _ = _CONTRACTS[record.topic].decode(record.value, record.headers)
        except InvalidRecord as error:
            # What is remembered grows old without it; a later version's event is none of ours.
            log.warning("unreadable event", topic=record.topic, offset=record.offset, error=str(error))
            return
        match event:
            case ProjectChanged() if self._is_new(event.project_id, event.revision):
                self._access.changed([event.project_id, *(member.user_id for member in event.members)])
                self._told(event)
            case AgentChanged() if self._is_new(event.agent_id, event.revision):
                self._access.changed([event.agent_id])

    def _is_new(self, id: str, revision: int) -> bool:
        if revision <= self._revisions.get(id, 0):
            return False
        self._revisions[id] = revision
        self._revisions.move_to_end(id)
        if len(self._revisions) > MOST_REVISIONS:
            self._revisions.popitem(last=False)
        return True

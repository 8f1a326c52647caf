"""Writes what happened to PostgreSQL: `python -m streams history`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from prometheus_client import Counter

from infra import postgres
from infra.kafka import topic_ids
from infra.keyring import Keyring
from infra.patience import patiently
from infra.process import Process
from infra.process import run as run_process
from infra.settings import KafkaSettings, PostgresSettings, ProcessSettings, SealingSettings
from schemas import events
from schemas.topics import CONVERSATION_EVENTS
from streams.intake import Intake, IntakeSettings
from streams.projections.storing import SINK, open_texts, write
from streams.sinks import Read, Sink

GATHER_S = 0.04
"""Seconds that records gather at the broker: nobody waits for history as for a word."""

if TYPE_CHECKING:
    from streams.sinks import Connection, Pool

_PROJECTS = """
UPDATE messages SET project_id = c.project_id FROM conversations AS c
WHERE messages.project_id IS NULL AND c.id = conversation_id
"""

_stored = Counter("chorus_history_records_total", "Records stored in PostgreSQL")


class HistorySink(Sink[events.ConversationAdvanced]):
    """Stores records as rows."""

    def __init__(self, pool: "Pool", keyring: Keyring, kafka: KafkaSettings, topic_id: str) -> None:
        super().__init__(SINK, CONVERSATION_EVENTS, pool, kafka, topic_id)
        self._keyring = keyring

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """See `Sink.assigned`."""
        # What the version before stored; one more line of the migration, for what came after it had run.
        await patiently("PostgreSQL", postgres.AWAY, lambda: self._pool.execute(_PROJECTS))
        await super().assigned(partitions)

    async def store(self, connection: "Connection", records: Sequence[Read[events.ConversationAdvanced]]) -> None:
        """See `Sink.store`."""
        await write(
            connection,
            self._topic_id,
            await open_texts(self._keyring, [(r.event, r.partition, r.offset) for r in records]),
        )
        _stored.inc(len(records))


def main(env: Mapping[str, str]) -> None:
    """Run the history sink with settings from the environment."""
    settings = ProcessSettings.from_env(env, "history")
    kafka = KafkaSettings.from_env(env)
    postgres_settings = PostgresSettings.from_env(env)
    sealing = SealingSettings.from_env(env)

    async def work(process: Process) -> None:
        ids = await patiently("Kafka", (KafkaException,), lambda: topic_ids(kafka, [CONVERSATION_EVENTS.topic]))
        async with await postgres.connect(postgres_settings) as pool:
            sink = HistorySink(pool, Keyring(pool, sealing), kafka, ids[CONVERSATION_EVENTS.topic])
            intake = Intake(
                IntakeSettings(
                    topic=CONVERSATION_EVENTS.topic, group="history", instance=settings.instance, gather_s=GATHER_S
                ),
                kafka,
                CONVERSATION_EVENTS,
                sink,
            )
            process.not_ready = intake.not_ready
            await intake.run(process.stopping)

    run_process("history", settings, work)

"""Tells people what happened while they were not looking: `python -m streams notifications`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg
import structlog
from confluent_kafka import KafkaException
from prometheus_client import Counter
from redis.asyncio import Redis

from infra import notifications, postgres, presence
from infra import redis as our_redis
from infra.kafka import topic_ids
from infra.keyring import Keyring
from infra.mail import MailSettings
from infra.patience import patiently
from infra.process import Process
from infra.process import run as run_process
from infra.secrets import Secrets
from infra.settings import KafkaSettings, PostgresSettings, ProcessSettings, RedisSettings, SealingSettings
from infra.webhooks import WebhookSettings
from schemas import events
from schemas.notifications import Notice
from schemas.sealing import CannotUnseal
from schemas.topics import CONVERSATION_EVENTS
from streams import sinks
from streams.deliverer import Deliverer
from streams.intake import Delivery, Intake, IntakeSettings
from streams.mailer import Mailer
from streams.projections.storing import SINK as HISTORY
from streams.rules.mentions import Person
from streams.rules.notifications import Known, Needs, is_too_old, needs, notices
from streams.teller import Teller

SINK: Final = "notifications"
HISTORY_POLL_S: Final = 0.05
"""Between looks whether history has caught up: as long as history gathers a batch."""
_AGAIN: Final = (*postgres.AWAY, asyncpg.DeadlockDetectedError)

Delivered: TypeAlias = Delivery[events.ConversationAdvanced]
Records: TypeAlias = Sequence[Delivered]
Asked: TypeAlias = tuple[Delivered, Needs]

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

log = structlog.get_logger(__name__)

_stored = Counter("chorus_notifications_stored_total", "Notifications stored, by kind", ["kind"])

_MEMBERS: Final = """
SELECT m.project_id::text, u.id::text AS user_id, u.display_name, u.email
FROM project_members AS m JOIN users AS u ON u.id = m.user_id WHERE m.project_id = ANY($1::uuid[])
"""
_ASKERS: Final = "SELECT id::text, user_id::text FROM runs WHERE id = ANY($1::uuid[])"
_PASSED: Final = """
SELECT coalesce(bool_and(s.next_offset > wanted.last), false)
FROM unnest($3::integer[], $4::bigint[]) AS wanted (partition, last)
LEFT JOIN sink_offsets AS s ON s.sink = $1 AND s.topic_id = $2 AND s.partition = wanted.partition
"""


class NotificationsSink:
    """Stores what people are to be told of: what a batch tells, and how far it reaches, are one transaction.

    So a record tells once, though who is away is another matter each time it is looked at.

    Args:
        stored: called when there may be something new to tell.
    """

    def __init__(
        self,
        pool: "Pool",
        redis: Redis,
        keyring: Keyring,
        kafka: KafkaSettings,
        topic_id: str,
        stored: Callable[[], None],
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._keyring = keyring
        self._kafka = kafka
        self._topic_id = topic_id
        self._stored = stored

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Find out how far each partition was told.

        What the group has passed and the tables do not have was told before they were lost, and is not told again.

        Raises:
            streams.sinks.SinkAhead: see there.
        """
        await sinks.opened(self._pool, self._kafka, SINK, CONVERSATION_EVENTS.topic, self._topic_id, partitions)

    async def revoked(self, partitions: Set[int]) -> None:
        """Nothing is kept between batches."""

    async def handle_batch(self, deliveries: Records) -> None:
        """Store what a batch tells, however long PostgreSQL or Redis are away."""
        now = datetime.now(UTC)
        recent = [d for d in deliveries if not is_too_old(d.event, now)]
        texts = await patiently("PostgreSQL", postgres.AWAY, lambda: self._texts(recent))
        asked = [(d, needs(d.event, texts)) for d in recent]
        known = Known(
            texts=texts,
            members=await patiently("PostgreSQL", postgres.AWAY, lambda: self._members(asked)),
            askers=await self._askers(asked),
            looking=await patiently("Redis", our_redis.AWAY, lambda: self._looking(asked)),
        )
        told = [(d, notice) for d in recent for notice in notices(d.event, known)]
        for kind in await patiently("PostgreSQL", _AGAIN, lambda: self._store(deliveries, told)):
            _stored.labels(kind).inc()
        if told:
            self._stored()

    # -- what must be known --

    async def _texts(self, records: Records) -> dict[str, str]:
        """What people wrote, by the message's id; texts that cannot be opened are left out."""
        written = [
            fact
            for d in records
            for fact in d.event.facts
            if isinstance(fact, events.MessagePosted) and fact.author_id is not None
        ]
        keys = await self._keyring.keys({fact.owner_id for fact in written})
        texts = {}
        for fact in written:
            key = keys[fact.owner_id]
            try:
                if key is not None:
                    texts[fact.message_id] = key.unseal(fact.message_id, fact.content)
            except CannotUnseal as error:
                log.error("a message mentions nobody: it does not open", message_id=fact.message_id, error=str(error))
        return texts

    async def _members(self, asked: Sequence[Asked]) -> dict[str, list[Person]]:
        projects = {n.project_id for _, n in asked if n.project_id is not None}
        people: dict[str, list[Person]] = {project_id: [] for project_id in projects}
        for row in await self._pool.fetch(_MEMBERS, list(projects)) if projects else ():
            people[row["project_id"]].append(Person(row["user_id"], row["display_name"], row["email"]))
        return people

    async def _looking(self, asked: Sequence[Asked]) -> dict[str, set[str]]:
        return await presence.looking(
            self._redis, list({n.conversation_id for _, n in asked if n.conversation_id is not None})
        )

    async def _askers(self, asked: Sequence[Asked]) -> dict[str, str]:
        """Who asked for these runs, from history, which may be a little behind; unknown runs are left out."""
        runs = list({run_id for _, n in asked for run_id in n.runs})
        last = {d.partition: d.offset for d, n in asked if n.runs}

        async def look() -> tuple[bool, dict[str, str]]:
            passed = await self._pool.fetchval(_PASSED, HISTORY, self._topic_id, list(last), list(last.values()))
            found = {row["id"]: row["user_id"] for row in await self._pool.fetch(_ASKERS, runs)}
            return passed or len(found) == len(runs), found

        while runs:
            known, askers = await patiently("PostgreSQL", postgres.AWAY, look)
            if known:
                return askers
            await asyncio.sleep(HISTORY_POLL_S)
        return {}

    # -- storing --

    async def _store(self, deliveries: Records, told: Sequence[tuple[Delivered, Notice]]) -> list[str]:
        async with self._pool.acquire() as connection, connection.transaction():
            stored = await sinks.held(connection, SINK, self._topic_id, {d.partition for d in deliveries})
            new = [notice for d, notice in told if d.offset >= stored[d.partition]]
            kinds = await notifications.store(connection, new)
            reached = {d.partition: d.offset + 1 for d in deliveries if d.offset >= stored[d.partition]}
            await sinks.advance(connection, SINK, self._topic_id, reached)
        return kinds


def main(env: Mapping[str, str]) -> None:
    """Run the process with settings from the environment."""
    settings = ProcessSettings.from_env(env, "notifications")
    kafka = KafkaSettings.from_env(env)
    postgres_settings = PostgresSettings.from_env(env)
    redis_settings = RedisSettings.from_env(env)
    sealing = SealingSettings.from_env(env)
    webhooks = WebhookSettings.from_env(env)
    public_url = (env.get("CHORUS_PUBLIC_URL") or f"http://127.0.0.1:{env.get('CHORUS_HTTP_PORT') or 8080}").rstrip("/")
    mail = MailSettings.from_env(env, public_url=public_url)

    async def work(process: Process) -> None:
        topic = CONVERSATION_EVENTS.topic
        ids = await patiently("Kafka", (KafkaException,), lambda: topic_ids(kafka, [topic]))
        async with (
            await postgres.connect(postgres_settings) as pool,
            our_redis.connect(redis_settings) as redis,
            asyncio.TaskGroup() as background,
        ):
            teller, deliverer = Teller(pool, redis), Deliverer(pool, Secrets(sealing), webhooks)
            mailer = Mailer(pool, mail, public_url)
            telling = [background.create_task(work.run()) for work in (teller, deliverer, mailer)]

            def stored() -> None:
                teller.stored.set()
                deliverer.stored.set()

            sink = NotificationsSink(pool, redis, Keyring(pool, sealing), kafka, ids[topic], stored)
            intake = Intake(
                IntakeSettings(topic=topic, group=SINK, instance=settings.instance), kafka, CONVERSATION_EVENTS, sink
            )
            process.not_ready = intake.not_ready
            await intake.run(process.stopping)
            for task in telling:
                task.cancel()

    run_process("notifications", settings, work)

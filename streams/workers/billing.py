"""Settles what runs took: `python -m streams billing`.

Each run once, whatever comes twice, and however often this process dies: a batch, and how far it reaches in the topic,
are one transaction, and a run that was settled is settled for ever. While billing stands still chat goes on, within
what is held for its answers.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from prometheus_client import Counter, Gauge, Histogram

from infra import postgres
from infra.kafka import topic_ids
from infra.operator import books
from infra.patience import patiently
from infra.prices import NoSuchPrice, Prices
from infra.process import Process
from infra.process import run as run_process
from infra.settings import KafkaSettings, PostgresSettings, ProcessSettings, seconds
from infra.settling import Charge, settle
from schemas import ids
from schemas.events import AgentRef, Usage
from schemas.prices import cost_of
from schemas.topics import USAGE
from schemas.usage import RunUsed, UsageEvent
from streams.intake import Intake, IntakeSettings
from streams.sinks import Read, Sink

if TYPE_CHECKING:
    import asyncpg

    from streams.sinks import Connection

SWEEP_S = 10.0
"""Seconds between looks for what is still held for runs that are over."""

SWEPT_AFTER_S = 30.0
"""Seconds for which the topic alone is trusted to settle a run. 30: what comes over it takes less than one, and nobody
waits for what is given back later."""

SWEPT_AT_ONCE = 500

PROVE_S = 3600.0
"""Default of `CHORUS_BOOKS_PROVED_EVERY_S`: what does not add up is found within the hour, and looking costs the
database seconds."""

log = structlog.get_logger(__name__)

_settled = Counter("chorus_billing_settled_total", "Usage events settled, repeats included", ["type"])
_late_s = Histogram(
    "chorus_billing_delay_seconds",
    "From the end of an attempt to the ledger",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 60, 600, 3600),
)
_held = Gauge("chorus_reservations_open", "Runs that money is held for")
_oldest_s = Gauge("chorus_reservation_oldest_seconds", "Age of the oldest reservation that is still held")
_differences = Gauge("chorus_books_differences", "What did not add up when the books were last proved")
_proved_at = Gauge("chorus_books_proved_timestamp_seconds", "When the books were last proved")
_swept = Counter("chorus_reservations_swept_total", "Runs settled by their row, because nothing came over the topic")

_OPEN = """
SELECT count(*) AS open, coalesce(extract(epoch FROM now() - min(reserved_at)), 0)::float8 AS oldest_s
FROM reservations WHERE settled_at IS NULL
"""
_OVER = """
SELECT r.run_id::text, r.project_id::text, r.price_version, runs.conversation_id::text, runs.attempt,
    runs.user_id::text, runs.agent, runs.status, runs.finish_reason, runs.usage, runs.ended_at
FROM reservations AS r JOIN runs ON runs.id = r.run_id
WHERE r.settled_at IS NULL AND r.reserved_at < now() - make_interval(secs => $1) AND runs.ended_at IS NOT NULL
ORDER BY r.reserved_at LIMIT $2
"""

_agent = msgspec.json.Decoder(AgentRef).decode
_usage = msgspec.json.Decoder(Usage).decode


class Billing(Sink[UsageEvent]):
    """Settles usage events, by the price that each names."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", kafka: KafkaSettings, topic_id: str) -> None:
        super().__init__("billing", USAGE, pool, kafka, topic_id)
        self._prices = Prices(pool)
        self._proved: dict[int, int] = {}
        self._found = 0

    async def store(self, connection: "Connection", records: Sequence[Read[UsageEvent]]) -> None:
        """See `Sink.store`."""
        charges = [
            Charge(record.envelope.id, record.event, await self._cost(record.event), record.envelope.time)
            for record in records
        ]
        await settle(connection, charges)
        now = datetime.now(UTC)
        for charge in charges:
            _settled.labels(charge.used.type).inc()
            _late_s.observe(max(0.0, (now - charge.occurred_at).total_seconds()))

    async def _cost(self, used: UsageEvent) -> int:
        """What it took by its price, in micro-units."""
        if used.usage.price_version is None:
            return 0
        try:
            return cost_of(used.usage, await self._prices.price(used.usage.price_version))
        except NoSuchPrice as error:  # a database from before that price: what was told then is all there is
            log.error("settled as it was told", run_id=used.run_id, error=str(error))
            return used.usage.cost_micros

    async def sweep(self) -> None:
        """Look after what is held; until cancelled. Runs are looked up: time alone gives nothing back."""
        while True:
            try:
                await postgres.within(SWEEP_S, self.sweep_once())
            except postgres.AWAY as error:
                log.info("reservations are looked after later", error=repr(error))
            await asyncio.sleep(SWEEP_S)

    async def sweep_once(self, after_s: float = SWEPT_AFTER_S) -> int:
        """Settle what is held for runs that are over, as their rows say; how many. What comes over the topic afterwards
        says the same, and changes nothing.

        Args:
            after_s: seconds for which a reservation is left alone.

        Raises one of `infra.postgres.AWAY`.
        """
        rows = await self._pool.fetch(_OVER, after_s, SWEPT_AT_ONCE)
        if rows:
            log.warning("settled by their rows", runs=len(rows), first=rows[0]["run_id"])
            charges = [await self._charge(row) for row in rows]
            async with self._pool.acquire() as connection, connection.transaction():
                await settle(connection, charges)
            _swept.inc(len(rows))
        held = await self._pool.fetchrow(_OPEN)
        assert held is not None, "a count is always there"
        _held.set(held["open"])
        _oldest_s.set(held["oldest_s"])
        return len(rows)

    async def prove(self, every_s: float) -> None:
        """Prove the books and tell the result, until cancelled."""
        while True:
            try:
                await self.prove_once()
            except (*postgres.AWAY, KafkaError, OSError) as error:
                log.info("the books are proved later", error=repr(error))
            await asyncio.sleep(every_s)

    async def prove_once(self) -> int:
        """Compare the tables with one another, and with what the topic has said since the last time; how many
        differences there are. `chorus audit` compares all of the topic, and names each.

        Raises one of `infra.postgres.AWAY`, or Kafka's errors.
        """
        async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
            wrong = await books.wrong_tables(connection)
            told, self._proved = await books.wrong_since(connection, self._kafka, self._topic_id, self._proved)
        # What the topic said wrongly is looked at once, and stays wrong.
        self._found += len(told)
        for difference in (*wrong, *told):
            log.error("the books differ", kind=difference.kind, what=difference.what)
        _differences.set(len(wrong) + self._found)
        _proved_at.set_to_current_time()
        return len(wrong) + self._found

    async def _charge(self, row: "asyncpg.Record") -> Charge:
        took = Usage(price_version=row["price_version"]) if row["usage"] is None else _usage(row["usage"])
        used = RunUsed(
            project_id=row["project_id"],
            conversation_id=row["conversation_id"],
            run_id=row["run_id"],
            attempt=max(row["attempt"], 1),
            user_id=row["user_id"],
            agent=_agent(row["agent"]),
            status=row["status"],
            finish_reason=row["finish_reason"],
            usage=took,
        )
        return Charge(ids.run_used_id(used.run_id), used, await self._cost(used), row["ended_at"])


def main(env: Mapping[str, str]) -> None:
    """Run billing with settings from the environment."""
    settings = ProcessSettings.from_env(env, "billing")
    kafka = KafkaSettings.from_env(env)
    postgres_settings = PostgresSettings.from_env(env)
    every_s = seconds(env, "CHORUS_BOOKS_PROVED_EVERY_S", PROVE_S)

    async def work(process: Process) -> None:
        topics = await patiently("Kafka", (KafkaException,), lambda: topic_ids(kafka, [USAGE.topic]))
        async with await postgres.connect(postgres_settings) as pool, asyncio.TaskGroup() as background:
            billing = Billing(pool, kafka, topics[USAGE.topic])
            intake = Intake(
                IntakeSettings(topic=USAGE.topic, group="billing", instance=settings.instance), kafka, USAGE, billing
            )
            process.not_ready = intake.not_ready
            chores = [background.create_task(work) for work in (billing.sweep(), billing.prove(every_s))]
            try:
                await intake.run(process.stopping)
            finally:
                for chore in chores:
                    chore.cancel()

    run_process("billing", settings, work)

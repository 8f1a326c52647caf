"""Tells those who watch what happens, and keeps the recent past in Redis: `python -m streams live`."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence, Set
from typing import Any

import asyncpg
import msgspec
import structlog
from confluent_kafka import KafkaException
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import ResponseError, TryAgainError

from infra import growth, history, postgres
from infra import redis as our_redis
from infra.gather import Gather
from infra.kafka import epoch_of, topic_ids
from infra.keyring import Keyring
from infra.live import state_key
from infra.patience import patiently
from infra.process import Process
from infra.process import run as run_process
from infra.settings import KafkaSettings, PostgresSettings, ProcessSettings, RedisSettings, SealingSettings
from schemas import events
from schemas.conversation import ConversationView, apply
from schemas.opened import Opened, closed, opened, owners
from schemas.sealing import CannotUnseal
from schemas.topics import CONVERSATION_EVENTS
from streams.intake import Delivery, Intake, IntakeSettings
from streams.projections.live import ADVANCE, Advance, advance
from streams.projections.storing import SINK as HISTORY

IN_FLIGHT = 500
"""Conversations worked on at once: what one round trip to Redis carries under load."""

KEPT_VIEWS = 10_000
"""Conversations whose state is kept in memory: one round trip less for each of their records, about 20 MB."""

GATHER_S = 0.002
"""Seconds that records gather before Redis is asked: those that were fetched together then go together."""

HISTORY_POLL_S = 0.05
"""Between looks whether history has caught up: as long as history gathers a batch."""

log = structlog.get_logger(__name__)

_told = Counter("chorus_live_records_total", "Records told to those who watch")
_rebuilt = Counter("chorus_live_rebuilt_total", "Windows begun anew from history")


class LiveProjection:
    """Folds each record into its conversation's window and tells it.

    The state that a record follows is taken from the nearest place that has it: memory, the window, history.
    """

    def __init__(self, redis: Redis, pool: "asyncpg.Pool[asyncpg.Record]", keyring: Keyring, topic_id: str) -> None:
        self._redis = redis
        self._pool = pool
        self._keyring = keyring
        self._topic_id = topic_id
        self._epoch = epoch_of(topic_id)
        self._scripts = _Scripts(redis)
        self._views: OrderedDict[str, ConversationView] = OrderedDict()

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Nothing to prepare: each record finds the state it follows."""

    async def revoked(self, partitions: Set[int]) -> None:
        self._views.clear()

    def is_control(self, event: events.ConversationAdvanced) -> bool:
        return False

    async def control(self, delivery: Delivery[events.ConversationAdvanced]) -> None:
        raise NotImplementedError("no record of this topic passes its lane")

    async def handle(self, delivery: Delivery[events.ConversationAdvanced]) -> None:
        """Tell one record, however long Redis, PostgreSQL or history are away or behind."""
        content = await patiently("PostgreSQL", postgres.AWAY, lambda: self._opened(delivery.event))
        view = await self._view(delivery, content.record)
        step = advance(self._epoch, content, view)
        await patiently("Redis", our_redis.AWAY, lambda: self._scripts.run(step))
        if view is not None:
            self._views[view.conversation_id] = view
            self._views.move_to_end(view.conversation_id)
            if len(self._views) > KEPT_VIEWS:
                self._views.popitem(last=False)
        _told.inc()

    async def _opened(self, record: events.ConversationAdvanced) -> Opened:
        try:
            return opened(record, await self._keyring.keys(owners(record)))
        except CannotUnseal as error:
            log.error(
                "record is told without its texts",
                conversation_id=record.conversation_id,
                position=record.position,
                error=str(error),
            )
            return closed(record)

    async def _view(
        self, delivery: Delivery[events.ConversationAdvanced], record: events.ConversationAdvanced
    ) -> ConversationView | None:
        """The conversation after the record, or at a later position where the record is no news."""
        before = record.position - 1
        view = self._views.get(record.conversation_id)
        if before > 0 and (view is None or view.position < before):
            view = await patiently("Redis", our_redis.AWAY, lambda: self._in_window(record.conversation_id))
        if before > 0 and (view is None or view.position < before):
            view = await self._in_history(delivery)
        if (0 if view is None else view.position) == before:
            return apply(view, record)
        return view

    async def _in_window(self, conversation_id: str) -> ConversationView | None:
        state: list[Any] = await self._redis.hmget(state_key(conversation_id), ["epoch", "view"])
        epoch, view = state
        return _decode_view(view) if epoch == self._epoch.encode() else None

    async def _in_history(self, delivery: Delivery[events.ConversationAdvanced]) -> ConversationView | None:
        """The conversation as history has it, at the position before the record or later.

        None where history has passed the record and does not have it: it did not fit the tables.
        """
        record = delivery.event

        async def look() -> tuple[bool, ConversationView | None]:
            passed = await self._pool.fetchval(
                """
                SELECT next_offset > $4 FROM sink_offsets WHERE sink = $1 AND topic_id = $2 AND partition = $3
                """,
                HISTORY,
                self._topic_id,
                delivery.partition,
                delivery.offset,
            )
            return bool(passed), await history.load_view(self._pool, record.conversation_id)

        while True:
            passed, view = await patiently("PostgreSQL", postgres.AWAY, look)
            if view is not None and view.position >= record.position - 1:
                _rebuilt.inc()
                return view
            if passed:
                log.error(
                    "history does not know this conversation",
                    conversation_id=record.conversation_id,
                    position=record.position,
                )
                return None
            await asyncio.sleep(HISTORY_POLL_S)


# A script that Redis refuses in the middle says so in its text only.
_REFUSALS = ("OOM ", "READONLY ", "MISCONF ")


class _Scripts:
    """Runs scripts, those that were asked for at about the same time together."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._together = Gather(self._send, GATHER_S)

    async def run(self, step: Advance) -> None:
        """Run one.

        Raises:
            redis.exceptions.RedisError: it may or may not have run.
        """
        answer = await self._together.one(step)
        if isinstance(answer, ResponseError) and any(word in str(answer) for word in _REFUSALS):
            raise TryAgainError(str(answer))
        if isinstance(answer, Exception):
            raise answer

    async def _send(self, steps: Sequence[Advance]) -> list[object]:
        pipeline = self._redis.pipeline(transaction=False)
        for step in steps:
            pipeline.eval(ADVANCE, len(step.keys), *step.keys, *step.arguments)
        answers: list[object] = await pipeline.execute(raise_on_error=False)
        return answers


_decode_view = msgspec.json.Decoder(ConversationView).decode


def main(env: Mapping[str, str]) -> None:
    """Run the live projection with settings from the environment."""
    settings = ProcessSettings.from_env(env, "live")
    kafka = KafkaSettings.from_env(env)
    postgres_settings = PostgresSettings.from_env(env)
    redis_settings = RedisSettings.from_env(env)
    sealing = SealingSettings.from_env(env)

    async def work(process: Process) -> None:
        ids = await patiently("Kafka", (KafkaException,), lambda: topic_ids(kafka, [CONVERSATION_EVENTS.topic]))
        async with (
            await postgres.connect(postgres_settings) as pool,
            our_redis.connect(redis_settings) as redis,
            asyncio.TaskGroup() as background,
        ):
            # Here, because no other process reaches all three.
            watching = background.create_task(growth.watch(pool, kafka, redis))
            intake = Intake(
                IntakeSettings(
                    topic=CONVERSATION_EVENTS.topic,
                    group="live",
                    instance=settings.instance,
                    max_in_flight=IN_FLIGHT,
                ),
                kafka,
                CONVERSATION_EVENTS,
                LiveProjection(redis, pool, Keyring(pool, sealing), ids[CONVERSATION_EVENTS.topic]),
            )
            process.not_ready = intake.not_ready
            await intake.run(process.stopping)
            watching.cancel()

    run_process("live", settings, work)

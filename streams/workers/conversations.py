"""The one owner of every conversation: `python -m streams conversations`.

For each command, in this order: the record of what follows from it, the state, the requests, the decision. Whatever is
cut off in between is made up for when the command comes again.
"""

import asyncio
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra import history, postgres
from infra import redis as our_redis
from infra.kafka import Publisher, partition_of, topic_ids
from infra.keyring import Keyring
from infra.live import decisions_channel
from infra.patience import patiently
from infra.process import Process
from infra.process import run as run_process
from infra.settings import (
    BadSetting,
    KafkaSettings,
    PostgresSettings,
    ProcessSettings,
    RedisSettings,
    SealingSettings,
)
from infra.tracing import child_of
from schemas import events, ids
from schemas.conversation import DELETED_KEPT_S, RunStatus, running
from schemas.dead_letters import Disposition
from schemas.topics import AGENT_REQUESTS, CONVERSATION_COMMANDS, CONVERSATION_EVENTS, CONVERSATION_PARTITIONS, USAGE
from schemas.usage import RunUsed, UsageEvent
from streams.dead_letters import DeadLetter
from streams.intake import Delivery, Intake, IntakeSettings
from streams.rules import context
from streams.rules.conversation import Outcome, decide
from streams.rules.state import State
from streams.workers.facts import FactLog
from streams.workers.states import States
from streams.workers.stored import open_since

if TYPE_CHECKING:
    import asyncpg

log = structlog.get_logger(__name__)

IN_FLIGHT = 10_000
"""Commands of different conversations handled at once. Many, because those that wait for PostgreSQL must not keep
those that need nothing from it waiting; each is a small task."""

TELL_S = 0.5
"""Longest wait for Redis, in seconds: a decision that is not told can be asked for again."""

CLOSE_S = 1.0
"""How long the producer has to close, in seconds."""

LOOK_S = 2.0
"""Seconds between looks at how far history is, and at runs that are open for too long."""

PURGE_LOOK_S = 60.0
"""Seconds between looks for what was deleted long enough ago. 60: nobody waits for it, and it has taken 30 days."""

PURGES_AT_ONCE = 200
"""Conversations purged after one look: the others' commands go between them."""

_MOST_TO_PURGE = 10_000
"""Looked at in one look, oldest first: those of other workers' partitions among them."""

_decided = Counter("chorus_conversations_commands_total", "Commands decided, by what followed", ["outcome"])
_warm = Gauge("chorus_conversations_warm", "Conversations in memory")
_tail_bytes = Gauge("chorus_conversations_tail_bytes", "Records in memory that history has not stored yet")
_purges = Counter("chorus_conversations_purges_total", "Purges asked for, of conversations deleted long enough ago")
_asked_again = Counter("chorus_conversations_asked_again_total", "Runs requested again after their time limit")


@dataclass(frozen=True)
class ConversationsSettings:
    memory_bytes: int = 256 * 2**20
    """Bytes for conversations in memory, roughly: 256 MiB are some 50,000 of ten messages."""
    run_limit_s: int = 660
    """Seconds after which a run that has not ended is requested again: what an answer may take as a whole (600 s) and
    a minute. A shorter one does no harm, since a request that is being answered is not answered twice."""
    deleted_kept_s: int = DELETED_KEPT_S
    """Seconds for which a deleted conversation can be restored; then nothing of it is kept. 30 days."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "ConversationsSettings":
        try:
            return cls(
                memory_bytes=int(env.get("CHORUS_CONVERSATIONS_MEMORY") or cls.memory_bytes),
                run_limit_s=int(env.get("CHORUS_RUN_LIMIT_S") or cls.run_limit_s),
                deleted_kept_s=int(env.get("CHORUS_DELETED_KEPT_S") or cls.deleted_kept_s),
            )
        except ValueError as error:
            raise BadSetting(
                f"CHORUS_CONVERSATIONS_MEMORY, CHORUS_RUN_LIMIT_S or CHORUS_DELETED_KEPT_S: {error}"
            ) from error


class Conversations:
    """Decides the commands of its partitions' conversations, one after the other for each.

    Args:
        background: where the looks run while partitions are ours; one that fails ends the process.
    """

    def __init__(
        self,
        *,
        states: States,
        pool: "asyncpg.Pool[asyncpg.Record]",
        redis: Redis,
        publisher: Publisher,
        run_limit_s: int,
        background: asyncio.TaskGroup,
        deleted_kept_s: float = DELETED_KEPT_S,
    ) -> None:
        self._states = states
        self._pool = pool
        self._redis = redis
        self._publisher = publisher
        self._facts = FactLog(publisher)
        self._run_limit = timedelta(seconds=run_limit_s)
        self._deleted_kept_s = deleted_kept_s
        self._background = background
        self._partitions: Set[int] = frozenset()
        self._looking: asyncio.Task[None] | None = None
        self._asked_again: dict[str, datetime] = {}
        self._purged_at = -PURGE_LOOK_S

    # -- partitions --

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Learn what history does not know yet, and where each partition ends."""
        await self._facts.settled()
        self._facts.open(await self._states.open(partitions.keys()))
        self._partitions = frozenset(partitions)
        self._looking = self._background.create_task(self._look())

    async def revoked(self, partitions: Set[int]) -> None:
        """Forget everything: whoever has the partitions next may write to them."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._partitions = frozenset()
        self._facts.close()
        self._states.close()

    # -- commands --

    def is_control(self, event: events.ConversationCommand) -> bool:
        """None is: the order of commands is the conversation's."""
        return False

    async def control(self, delivery: Delivery[events.ConversationCommand]) -> None:
        await self.handle(delivery)

    async def handle(self, delivery: Delivery[events.ConversationCommand]) -> None:
        """Decide one command, and return when everything that follows from it is delivered.

        Raises:
            DeadLetter: it is not where, or not called what, any of our writers would have put it.
        """
        command, cause = delivery.event, delivery.envelope.id
        _must_be_ours(delivery)
        state = await self._states.get(delivery.partition, command.conversation_id)
        outcome = decide(state, command, cause, datetime.now(UTC), deleted_kept_s=self._deleted_kept_s)
        trace = child_of(delivery.envelope.traceparent)
        if outcome.record is not None:
            offset = await self._facts.append(delivery.partition, outcome.record, trace)
            state = self._states.remember(delivery.partition, offset, state, outcome.record)
        if state is not None and outcome.answer is not None:
            await self._request(delivery.partition, state, outcome.answer, trace)
        if outcome.stop is not None:
            await self._request_stop(command.conversation_id, outcome.stop, trace)
        if outcome.used is not None:
            await self._tell_use(outcome.used, delivery.envelope.time, trace)
        if isinstance(command, events.Command) and command.ask is not None:
            await self._tell(command.ask, _decision(state, command, cause, outcome))
        _decided.labels(outcome.code or ("recorded" if outcome.record else "known")).inc()

    async def _request(self, partition: int, state: State, run_id: str, trace: str | None) -> None:
        await self._states.complete(partition, state, run_id)
        if run_id not in state.view.runs:
            return  # it ended meanwhile, which only a look, beside the conversation's commands, can meet
        await self._publisher.publish(
            AGENT_REQUESTS,
            context.request(state, run_id),
            key=state.view.conversation_id,
            id=ids.request_id(run_id),
            traceparent=trace,
        )

    async def _request_stop(self, conversation_id: str, run_id: str, trace: str | None) -> None:
        await self._publisher.publish(
            AGENT_REQUESTS,
            events.CancelRequested(conversation_id=conversation_id, run_id=run_id),
            key=conversation_id,
            id=ids.cancel_request_id(run_id),
            traceparent=trace,
        )

    async def _tell_use(self, used: UsageEvent, at: datetime, trace: str | None) -> None:
        whole = isinstance(used, RunUsed)
        await self._publisher.publish(
            USAGE,
            used,
            key=used.project_id,
            id=ids.run_used_id(used.run_id) if whole else ids.attempt_used_id(used.run_id, used.attempt),
            time=at,
            traceparent=trace,
        )

    async def _tell(self, ask: str, decision: events.Decision) -> None:
        try:
            async with asyncio.timeout(TELL_S):
                await self._redis.publish(decisions_channel(ask), msgspec.json.encode(decision))
        except (RedisError, OSError, TimeoutError) as error:
            log.info("a decision was not told; it can be asked for again", error=repr(error))

    # -- looks --

    async def _look(self) -> None:
        while True:
            try:
                await self._states.follow_history()
                late = await open_since(self._pool, datetime.now(UTC) - self._run_limit)
                await self._purge_what_is_due()
            except postgres.AWAY:
                late = []
            warm = list(self._states.warm)
            _warm.set(len(warm))
            _tail_bytes.set(self._states.tail_bytes)
            for conversation_id in {*late, *(s.view.conversation_id for s in warm if s.view.runs)}:
                partition = partition_of(conversation_id, CONVERSATION_PARTITIONS)
                if partition in self._partitions:
                    await self._ask_again_if_late(partition, conversation_id)
            await asyncio.sleep(LOOK_S)

    async def _purge_what_is_due(self) -> None:
        """Ask ourselves to purge what was deleted long enough ago. Asking twice is deciding once.

        Raises one of `infra.postgres.AWAY`.
        """
        now = asyncio.get_running_loop().time()
        if now - self._purged_at < PURGE_LOOK_S:
            return
        due = await history.to_purge(self._pool, self._deleted_kept_s, _MOST_TO_PURGE)
        self._purged_at = now
        ours = [d for d in due if partition_of(d[0], CONVERSATION_PARTITIONS) in self._partitions][:PURGES_AT_ONCE]
        for conversation_id, deleted_at in ours:
            await self._publisher.publish(
                CONVERSATION_COMMANDS,
                events.PurgeConversation(conversation_id=conversation_id, deleted_at=deleted_at),
                key=conversation_id,
                id=ids.purge_id(conversation_id, deleted_at),
            )
        _purges.inc(len(ours))

    async def _ask_again_if_late(self, partition: int, conversation_id: str) -> None:
        """Request a run again that should have ended. Where it has, nothing comes of it."""
        state = await self._states.look_at(partition, conversation_id)
        run = None if state is None else running(state.view)
        if state is None or run is None or run.requested_at is None:
            return
        now = datetime.now(UTC)
        if now < self._asked_again.get(run.run_id, run.requested_at) + self._run_limit:
            return
        self._asked_again = {r: at for r, at in self._asked_again.items() if at + self._run_limit > now}
        self._asked_again[run.run_id] = now
        _asked_again.inc()
        log.warning("a run is open for too long: requested again", run_id=run.run_id, requested_at=run.requested_at)
        await self._request(partition, state, run.run_id, None)
        if run.status == RunStatus.CANCELLING:
            await self._request_stop(conversation_id, run.run_id, None)


def _must_be_ours(delivery: Delivery[events.ConversationCommand]) -> None:
    conversation_id = delivery.event.conversation_id
    if delivery.key != conversation_id.encode():
        raise DeadLetter("the key is not the conversation's id", Disposition.VALIDATION)
    if delivery.partition != partition_of(conversation_id, CONVERSATION_PARTITIONS):
        raise DeadLetter("this is not the partition of its key", Disposition.VALIDATION)
    try:
        known = ids.canonical(delivery.envelope.id) == delivery.envelope.id
    except ValueError:
        known = False
    if not known:
        raise DeadLetter("the command's id is no canonical UUID", Disposition.VALIDATION)


def _decision(state: State | None, command: events.Command, cause: str, outcome: Outcome) -> events.Decision:
    return events.Decision(
        command_id=cause,
        conversation_id=command.conversation_id,
        position=0 if state is None else state.view.position,
        code=outcome.code,
        status=outcome.status,
        run_id=outcome.run_id,
    )


def main(env: Mapping[str, str]) -> None:
    """Run the conversations processor with settings from the environment."""
    process_settings = ProcessSettings.from_env(env, "conversations")
    settings = ConversationsSettings.from_env(env)
    kafka = KafkaSettings.from_env(env)
    postgres_settings = PostgresSettings.from_env(env)
    redis_settings = RedisSettings.from_env(env)
    sealing = SealingSettings.from_env(env)

    async def work(process: Process) -> None:
        topics = await patiently("Kafka", (KafkaException,), lambda: topic_ids(kafka, [CONVERSATION_EVENTS.topic]))
        publisher = Publisher(kafka, "/streams/conversations")
        await patiently("Kafka", (KafkaError,), publisher.start)
        async with (
            await postgres.connect(postgres_settings) as pool,
            our_redis.connect(redis_settings, timeout_s=TELL_S) as redis,
            asyncio.TaskGroup() as background,
        ):
            states = States(
                kafka, pool, Keyring(pool, sealing), topics[CONVERSATION_EVENTS.topic], settings.memory_bytes
            )
            conversations = Conversations(
                states=states,
                pool=pool,
                redis=redis,
                publisher=publisher,
                run_limit_s=settings.run_limit_s,
                deleted_kept_s=settings.deleted_kept_s,
                background=background,
            )
            intake = Intake(
                IntakeSettings(
                    topic=CONVERSATION_COMMANDS.topic,
                    group="conversations",
                    instance=process_settings.instance,
                    max_in_flight=IN_FLIGHT,
                ),
                kafka,
                CONVERSATION_COMMANDS,
                conversations,
            )
            process.not_ready = intake.not_ready
            await intake.run(process.stopping)
        # Whatever was not delivered by now is not acknowledged either: with Kafka away there is nothing to wait for.
        await asyncio.wait([asyncio.ensure_future(publisher.stop())], timeout=CLOSE_S)

    run_process("conversations", process_settings, work)

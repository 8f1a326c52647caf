"""Answers runs: `python -m streams replies`.

From one request to exactly one accepted end. What was reported is the only memory: it is read back whenever partitions
come, and further back whenever a request is older than what was read.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog
from aiokafka.errors import KafkaError
from msgspec import Struct

from agents.answering import MAX_ANSWER_BYTES
from agents.catalog import Catalog
from agents.openai_http import http_session
from infra import postgres
from infra import redis as our_redis
from infra.deltas import Deltas
from infra.kafka import Publisher
from infra.keyring import Keyring
from infra.patience import patiently
from infra.prices import Prices
from infra.process import Process
from infra.process import run as run_process
from infra.secrets import Secrets
from infra.settings import (
    AgentSettings,
    BadSetting,
    KafkaSettings,
    PostgresSettings,
    ProcessSettings,
    RedisSettings,
    SealingSettings,
)
from schemas.conversation import RunStatus
from schemas.events import AgentRef, AgentRequest, AnswerRequested, CancelRequested, RunEndedReport, RunError
from schemas.frames import ErrorCode
from schemas.ids import Uuid
from schemas.topics import AGENT_REQUESTS
from streams.dead_letters import Record
from streams.intake import Delivery, Intake, IntakeSettings
from streams.rules.replies import EndUncalled, Join, Memory, Repeat, decide, is_ours_alone, overtaken
from streams.workers.calls import Call, Fenced, Means, Overtaken, Reports
from streams.workers.purse import Purse
from streams.workers.recall import Recall
from streams.workers.telling import Teller

RETURN_S = 5.0
"""Seconds after a rebalance for a partition to come back before its calls are somebody else's. 5: two rebalances follow
each other when a worker is replaced, and a call that is ended for nothing is paid for twice."""

PAUSE_S = 3.0
"""Seconds that this process may stand still before it must ask whether it still owns what it owned. 3: half of the
session timeout, after which the broker gives its partitions away."""

CLOSE_S = 2.0
"""Seconds for the last reports to reach the broker when the process ends."""

KEPT_RUNS = 100_000
"""Runs remembered at most, in all partitions, about 50 MB; older ones are read from the log again when asked for."""

log = structlog.get_logger(__name__)

_UNREADABLE = RunError(code=ErrorCode.INTERNAL, message="Something about this question could not be read.")


@dataclass(frozen=True)
class RepliesSettings:
    """How replies is run."""

    max_calls: int = 1_000
    """Calls at once. 1,000: they wait for agents nearly all the time; what bounds them is the work per word."""

    drain_s: float = 15.0
    """Seconds that calls may go on at SIGTERM; what has not ended then is answered by another attempt. 15: most answers
    end within it, and `chorus down` promises 20."""

    max_answer_bytes: int = MAX_ANSWER_BYTES
    """Longest answer, in bytes of UTF-8; it then ends with `length`."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "RepliesSettings":
        try:
            return cls(
                max_calls=int(env.get("CHORUS_REPLIES_CALLS") or cls.max_calls),
                drain_s=float(env.get("CHORUS_REPLIES_DRAIN_S") or cls.drain_s),
                max_answer_bytes=int(env.get("CHORUS_REPLIES_ANSWER_BYTES") or cls.max_answer_bytes),
            )
        except ValueError as error:
            raise BadSetting(f"a CHORUS_REPLIES_… setting is no number: {error}") from error


class Replies:
    """Handles requests, one at a time per conversation; cancels at once.

    Args:
        memories: of the partitions that are ours; kept here, and told of each report that is made.
        calls: where calls run: they outlive the handling of the request that began them.
        pause_s: see `PAUSE_S`.
    """

    def __init__(
        self,
        recall: Recall,
        means: Means,
        memories: dict[int, Memory],
        calls: asyncio.TaskGroup,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._recall = recall
        self._means = means
        self._memories = memories
        self._group = calls
        self._pause_s = pause_s
        self._calls: dict[str, Call] = {}
        self._reading = asyncio.Lock()
        self._return: asyncio.TimerHandle | None = None
        self._awake_at = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Notice when the process has stood still; until cancelled."""
        while True:
            self._notice_a_pause()
            await asyncio.sleep(self._pause_s / 3)

    def _notice_a_pause(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._awake_at > self._pause_s:
            log.warning("stood still: reports are read again", seconds=now - self._awake_at)
            for memory in self._memories.values():
                memory.doubt()
        self._awake_at = now

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Remember what was reported, and let go of what has been done elsewhere meanwhile."""
        for partition in partitions:
            self._memories[partition] = Memory()
        await patiently("Kafka", (KafkaError,), lambda: self._recall.at_assignment(partitions, self._memories))
        for call in list(self._calls.values()):
            memory = self._memories.get(call.partition)
            if memory is not None and overtaken(call.attempt, memory.known(call.request.run_id)):
                self._abandon(call)
        self._return = asyncio.get_running_loop().call_later(RETURN_S, self._abandon_strangers)

    async def revoked(self, partitions: Set[int]) -> None:
        """Calls go on: their partitions usually come back in a moment, and the requests join them.

        Not those whose beginning does not stand in the log yet: whoever has the partition next could not know of them.
        """
        if self._return is not None:
            self._return.cancel()
        for call in list(self._calls.values()):
            if call.partition in partitions and call.begun_at is None:
                self._abandon(call)
        for partition in partitions:
            self._memories.pop(partition, None)

    def _abandon_strangers(self) -> None:
        for call in list(self._calls.values()):
            if call.partition not in self._memories:
                self._abandon(call)

    def _abandon(self, call: Call) -> None:
        log.info("call left to others", run_id=call.request.run_id, attempt=call.attempt)
        del self._calls[call.request.run_id]
        call.task.cancel()

    def abandon_all(self) -> None:
        """The process ends: what is still running is answered by another attempt."""
        for call in list(self._calls.values()):
            self._abandon(call)

    def is_control(self, event: AgentRequest) -> bool:
        return isinstance(event, CancelRequested)

    async def control(self, delivery: Delivery[AgentRequest]) -> None:
        """Stop a run, or remember that it is to be stopped when its request comes."""
        run_id = delivery.event.run_id
        self._memories[delivery.partition].note_cancel(run_id, delivery.timestamp_ms)
        if (running := self._calls.get(run_id)) is not None:
            running.stop()

    async def handle(self, delivery: Delivery[AgentRequest]) -> None:
        request = delivery.event
        assert isinstance(request, AnswerRequested), "cancels are control records"
        memory, run_id = self._memories[delivery.partition], request.run_id
        await self._remember(memory, delivery.partition, request)
        match decide(memory.known(run_id), running=run_id in self._calls, cancelled=memory.is_cancelled(run_id)):
            case Repeat(offset):
                await self._repeat(delivery.partition, offset)
                return
            case Join():
                call = self._calls[run_id]
            case decision:
                call = Call(
                    self._means,
                    request,
                    decision.attempt,
                    delivery.partition,
                    delivery.envelope.traceparent,
                    partial(self._prove, memory, asyncio.get_running_loop().time()),
                )
                if isinstance(decision, EndUncalled):
                    call.stop()
                self._start(call)
        # Not `await call.task`: a revoke cancels this handling, and must not end the call with it.
        await asyncio.wait({call.task})
        if (dead_letter := call.task.result()) is not None:
            raise dead_letter

    def _start(self, call: Call) -> None:
        def ended(_: object) -> None:
            if self._calls.get(call.request.run_id) is call:
                del self._calls[call.request.run_id]

        self._forget()
        self._calls[call.request.run_id] = call
        call.task = self._group.create_task(call.run())
        call.task.add_done_callback(ended)

    async def _remember(self, memory: Memory, partition: int, request: AnswerRequested, *, beyond: int = -1) -> None:
        """Read the reports that a run can have, unless they are known, and all up to those `beyond` this offset.

        What was read while the process stood still is read again: the run may have ended since. Many that wait for the
        same partition wait for one reading.
        """
        run_id, requested_ms = request.run_id, int(request.requested_at.timestamp() * 1000)

        def is_known() -> bool:
            return memory.covers(run_id, requested_ms) and memory.read_to > beyond

        self._notice_a_pause()
        while not is_known():
            async with self._reading:
                if not is_known():
                    log.info("reading reports back", partition=partition, run_id=run_id)
                    await patiently(
                        "Kafka", (KafkaError,), lambda: self._recall.back_to(requested_ms, partition, memory)
                    )
            self._notice_a_pause()

    async def _prove(self, memory: Memory, decided_at: float, call: Call) -> None:
        """Prove that nobody else has begun the same call, or ended the run, before it is made.

        A first attempt that was decided a moment ago is proof enough. Later, others may own the partition, and have
        said so in the log; and whoever made the attempt before may have lived on, and ended it since the log was read.

        Raises:
            Overtaken: the run has ended.
            Fenced: somebody has begun the same call.
        """
        moment = asyncio.get_running_loop().time() - decided_at < self._pause_s
        if call.begun_at is None or (moment and call.attempt == 1):
            return
        await self._remember(memory, call.partition, call.request, beyond=call.begun_at)
        known = memory.known(call.request.run_id)
        if known.end is not None:
            raise Overtaken
        if not is_ours_alone(call.attempt, call.begun_at, known):
            raise Fenced(f"another worker answers run {call.request.run_id}")

    def _forget(self) -> None:
        """Keep memory bounded; not while what is read must stay complete."""
        if not self._reading.locked():
            surplus = sum(map(len, self._memories.values())) - KEPT_RUNS
            for memory in self._memories.values():
                if surplus > 0:
                    surplus -= (count := min(surplus, len(memory)))
                    memory.forget(count)

    async def _repeat(self, partition: int, offset: int) -> None:
        said = await patiently("Kafka", (KafkaError,), lambda: self._recall.report_at(partition, offset))
        if said is None:
            log.error("a report has left its topic before it was asked for", partition=partition, offset=offset)
        else:
            await self._means.reports.again(said)

    async def dead_letter(self, record: Record) -> None:
        """A request that nobody can handle ends its run, where it says which, so that no conversation stays busy."""
        try:
            ids = _ids(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        known = self._memories[record.partition].known(ids.run_id)
        if known.end is not None:
            return
        asked = _asked(record.value or b"")
        await self._means.reports.ended(
            RunEndedReport(
                conversation_id=ids.conversation_id,
                run_id=ids.run_id,
                attempt=known.attempts + 1,
                last_seq=0,
                status=RunStatus.FAILED,
                finish_reason="error",
                content="",
                error=_UNREADABLE,
                user_id=asked.user_id,
                agent=asked.agent,
            ),
            None,
        )


class _Ids(Struct):
    conversation_id: Uuid
    run_id: Uuid


class _Asked(Struct):
    user_id: Uuid | None = None
    agent: AgentRef | None = None


_ids = msgspec.json.Decoder(_Ids).decode
_who = msgspec.json.Decoder(_Asked).decode


def _asked(value: bytes) -> _Asked:
    """Who asked whom, as far as that can be read: without it nobody is told what the run took, which is nothing."""
    try:
        return _who(value)
    except msgspec.DecodeError:
        return _Asked()


def main(env: Mapping[str, str]) -> None:
    """Run replies with settings from the environment."""
    process_settings = ProcessSettings.from_env(env, "replies")
    settings = RepliesSettings.from_env(env)
    kafka = KafkaSettings.from_env(env)
    postgres_settings = PostgresSettings.from_env(env)
    redis_settings = RedisSettings.from_env(env)
    sealing = SealingSettings.from_env(env)
    platform = AgentSettings.from_env(env)

    async def work(process: Process) -> None:
        async with (
            await postgres.connect(postgres_settings) as pool,
            our_redis.connect(redis_settings) as redis,
            http_session() as http,
            http_session(public_only=not platform.private_addresses) as outside,
            publishing(kafka) as publisher,
            asyncio.TaskGroup() as calls,
        ):
            memories: dict[int, Memory] = {}
            teller = Teller(Deltas(redis))
            means = Means(
                catalog=Catalog(pool, http, platform, outside=outside, secrets=Secrets(sealing)),
                keyring=Keyring(pool, sealing),
                teller=teller,
                reports=Reports(publisher, memories),
                purse=Purse(pool, Prices(pool)),
                max_answer_bytes=settings.max_answer_bytes,
            )
            replies = Replies(Recall(kafka), means, memories, calls)
            intake = Intake(
                IntakeSettings(
                    topic=AGENT_REQUESTS.topic,
                    group="replies",
                    instance=process_settings.instance,
                    max_in_flight=settings.max_calls,
                    drain_s=settings.drain_s,
                    revoke_drain_s=0,
                ),
                kafka,
                AGENT_REQUESTS,
                replies,
                replies.dead_letter,
            )
            process.not_ready = intake.not_ready
            helpers = [calls.create_task(work) for work in (teller.run(), replies.run())]
            try:
                await intake.run(process.stopping)
            finally:
                replies.abandon_all()
                for helper in helpers:
                    helper.cancel()

    run_process("replies", process_settings, work)


@asynccontextmanager
async def publishing(kafka: KafkaSettings) -> AsyncIterator[Publisher]:
    publisher = Publisher(kafka, "/streams/replies")
    await patiently("Kafka", (KafkaError,), publisher.start)
    try:
        yield publisher
    finally:
        # Not for ever: where the broker is away, what it does not have is reported by another attempt.
        await asyncio.wait([asyncio.ensure_future(publisher.stop())], timeout=CLOSE_S)

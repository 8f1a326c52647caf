"""One attempt at a run: open what was asked, report the beginning, call, tell, report the end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import structlog
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import ConsumerRecord, RecordMetadata
from prometheus_client import Counter, Gauge, Histogram

from agents.answering import Answering
from agents.awake import AwakeClock
from agents.catalog import Agent, Catalog
from agents.estimates import with_most_output
from agents.prompts import chat_messages
from agents.provider import ChatMessage, Prompt, ProviderError
from agents.usage import usage_of
from infra import postgres
from infra.kafka import Publisher
from infra.keyring import Keyring
from infra.ledger import Refusal
from infra.patience import patiently
from infra.prices import NoSuchPrice
from infra.tracing import child_of
from schemas import ids
from schemas.conversation import RunStatus
from schemas.dead_letters import Disposition
from schemas.events import AnswerRequested, RunEndedReport, RunError, RunStartedReport, Usage
from schemas.frames import ErrorCode
from schemas.sealing import CannotUnseal, owner_of
from schemas.topics import CONVERSATION_COMMANDS
from streams.dead_letters import DeadLetter
from streams.rules.replies import Ended, Memory, Started
from streams.rules.titles import title_of
from streams.workers.purse import REFUSALS, Hold, Purse
from streams.workers.telling import Teller

log = structlog.get_logger(__name__)

_in_flight = Gauge("chorus_agent_calls_in_flight", "Runs that are being answered")
_outcomes = Counter("chorus_agent_calls_total", "Attempts that ended, by outcome", ["outcome"])
_first_token_s = Histogram(
    "chorus_agent_first_token_seconds",
    "From asking an agent to its first words",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)

_ASKER_GONE: Final = RunError(code=ErrorCode.NOT_FOUND, message="Whoever asked has been deleted, and the question too.")
_PRICE_GONE: Final = RunError(code=ErrorCode.INTERNAL, message="What this answer costs is not known any more.")
_QUESTION_GONE: Final = RunError(code=ErrorCode.NOT_FOUND, message="The question has been deleted.")


_KAFKA_AWAY: Final = (
    KafkaConnectionError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    UnknownTopicOrPartitionError,
)
"""The producer itself tries again for as long as the broker is away. These come before a record is in its hands; any
other error is final for the producer, and the process must begin anew."""


class Reports:
    """Says to the conversation, and to its own memory, what becomes of runs.

    Args:
        memories: of the partitions that are ours; changed by their owner.
    """

    def __init__(self, publisher: Publisher, memories: Mapping[int, Memory]) -> None:
        self._publisher = publisher
        self._memories = memories

    async def started(self, request: AnswerRequested, attempt: int, traceparent: str | None) -> int:
        """Returns its offset once the report is safe, however long that takes."""
        report = RunStartedReport(conversation_id=request.conversation_id, run_id=request.run_id, attempt=attempt)
        return await self._publish(report, ids.started_id(request.run_id, attempt), traceparent)

    async def ended(self, report: RunEndedReport, traceparent: str | None) -> None:
        """Returns once the report is safe, however long that takes."""
        await self._publish(report, ids.ended_id(report.run_id, report.attempt), traceparent)

    async def again(self, report: "ConsumerRecord[bytes, bytes]") -> None:
        """Make a report that was made before, byte for byte."""
        send = self._publisher.producer.send_and_wait
        await patiently(
            "Kafka",
            _KAFKA_AWAY,
            lambda: send(report.topic, report.value, key=report.key, headers=list(report.headers)),
        )

    async def _publish(self, report: RunStartedReport | RunEndedReport, id: str, traceparent: str | None) -> int:
        now = datetime.now(UTC)
        place: RecordMetadata = await patiently(
            "Kafka",
            _KAFKA_AWAY,
            lambda: self._publisher.publish(
                CONVERSATION_COMMANDS,
                report,
                key=report.conversation_id,
                id=id,
                time=now,
                traceparent=child_of(traceparent),
            ),
        )
        if (memory := self._memories.get(place.partition)) is not None:
            if place.offset < 0:  # sent twice by the producer, and the broker has forgotten where it stands
                memory.doubt()
            else:
                kind = Started if isinstance(report, RunStartedReport) else Ended
                memory.note(report.run_id, place.offset, kind(report.attempt), place.timestamp)
        return int(place.offset)


class Fenced(RuntimeError):
    """Another worker answers this run: this one has lost its partitions and not heard of it yet."""


class Overtaken(Exception):
    """The run has ended as an attempt of another worker's, which was thought to be gone."""


@dataclass(frozen=True)
class Means:
    """What a call needs."""

    catalog: Catalog
    keyring: Keyring
    teller: Teller
    reports: Reports
    purse: Purse
    max_answer_bytes: int
    clock: AwakeClock = field(default_factory=AwakeClock)


class Stopped(Exception):
    """A person wants no more of this answer."""


@dataclass
class Ending:
    """How an attempt ended. `content` is what its deltas add up to."""

    status: RunStatus
    finish_reason: str
    content: str = ""
    last_seq: int = 0
    usage: Usage | None = None
    error: RunError | None = None
    title: str | None = None


class Unanswerable(Exception):
    """There is nobody to answer, or nothing to be answered."""

    def __init__(self, why: RunError) -> None:
        super().__init__(why.message)
        self.why = why


CANCELLED: Final = Ending(RunStatus.CANCELLED, "cancelled")


def failed(error: RunError) -> Ending:
    return Ending(RunStatus.FAILED, "error", error=error)


class Call:
    """One attempt, from the request to the delivered report of its end. Cancelling its task ends it unreported.

    Attributes:
        partition: of the request; the reports have the same.
        begun_at: the offset of the report that it began; None before.
        task: runs `run`; set by whoever starts it.
    """

    task: "asyncio.Task[DeadLetter | None]"

    def __init__(
        self,
        means: Means,
        request: AnswerRequested,
        attempt: int,
        partition: int,
        traceparent: str | None,
        proven: "Callable[[Call], Awaitable[None]]",
    ) -> None:
        self.request = request
        self.attempt = attempt
        self.partition = partition
        self._means = means
        self._traceparent = traceparent
        self._proven = proven
        self.begun_at: int | None = None
        self._stop_asked = False
        self._can_stop = False

    def stop(self) -> None:
        """A person cancels: the connection to the agent closes now, and the run ends with what has been said."""
        if not self._stop_asked:
            self._stop_asked = True
            if self._can_stop:
                self.task.cancel()

    async def run(self) -> DeadLetter | None:
        """Do it all. What is returned says why the request is none."""
        outcome = "abandoned"
        with _in_flight.track_inprogress():
            try:
                ending = await self._ending()
                await self._report(ending)
                outcome = ending.status
            except DeadLetter as error:
                outcome = "dead_letter"
                return error
            except Overtaken:
                outcome = "overtaken"
            finally:
                _outcomes.labels(outcome).inc()
        return None

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Where a person's cancel takes effect at once, as `Stopped`; elsewhere it waits for the next such place."""
        if self._stop_asked:
            raise Stopped
        self._can_stop = True
        try:
            yield
        except asyncio.CancelledError:
            if not self._stop_asked or self.task.uncancel() > 0:  # cancelled by others too: it is to end unreported
                raise
            raise Stopped from None
        finally:
            self._can_stop = False

    async def _ending(self) -> Ending:
        means, request = self._means, self.request
        try:
            with self._stoppable():
                agent = await patiently("PostgreSQL", postgres.AWAY, lambda: means.catalog.agent(request.agent))
                context = await patiently("PostgreSQL", postgres.AWAY, self._opened)
        except Stopped:
            return CANCELLED
        except Unanswerable as error:
            return failed(error.why)
        except ProviderError as error:
            log.warning("run without an agent", run_id=request.run_id, error=str(error))
            return failed(error.for_people)
        config = agent.config
        messages = chat_messages(config.system_prompt, context, config.context_tokens)
        prompt = Prompt(messages=messages, params=config.params)
        try:
            with self._stoppable():
                hold = await means.purse.hold(request, config, prompt, means.max_answer_bytes)
        except Stopped:
            return CANCELLED
        except NoSuchPrice as error:
            log.error("run without its price", run_id=request.run_id, error=str(error))
            return failed(_PRICE_GONE)
        if isinstance(hold, Refusal):
            log.info("nothing is held for a run", run_id=request.run_id, why=hold)
            return failed(REFUSALS[hold])
        await self._begin()
        return await self._called(agent, prompt, hold)

    async def _opened(self) -> list[ChatMessage]:
        """The context in plain text. What was sealed by somebody who has been deleted is left out."""
        request = self.request
        try:
            owners = [owner_of(message.content) for message in request.context]
            keys = await self._means.keyring.keys([request.user_id, *owners])
            if keys[request.user_id] is None:
                raise Unanswerable(_ASKER_GONE)
            context = [
                ChatMessage(message.role, key.unseal(message.message_id, message.content))
                for message, owner in zip(request.context, owners, strict=True)
                if (key := keys[owner]) is not None
            ]
        except CannotUnseal as error:
            raise DeadLetter(str(error), Disposition.VALIDATION) from error
        if not context or context[-1].role != "user":
            raise Unanswerable(_QUESTION_GONE)
        return context

    async def _begin(self) -> None:
        self.begun_at = await self._means.reports.started(self.request, self.attempt, self._traceparent)
        await self._proven(self)

    async def _called(self, agent: Agent, prompt: Prompt, hold: Hold | None) -> Ending:
        request = self.request
        paid = None if hold is None else hold.most_output
        if paid is not None:
            prompt = with_most_output(prompt, paid)
        telling = self._means.teller.begin(request.conversation_id, request.run_id, self.attempt)
        answering = Answering(telling.say, self._means.max_answer_bytes, self._means.clock, paid)
        asked_at = self._means.clock.now()
        ending = Ending(RunStatus.COMPLETED, "stop")
        try:
            with self._stoppable():
                await answering.run(agent.provider, prompt, agent.config.timeouts)
            ending.finish_reason = answering.finish_reason or "stop"
            if paid is not None and ending.finish_reason == "length":  # the model was told of no more than is paid for
                ending.finish_reason = "budget_exhausted"
        except Stopped:
            ending = replace(CANCELLED)
        except ProviderError as error:
            log.warning("agent failed", run_id=request.run_id, agent_id=request.agent.agent_id, error=str(error))
            ending = failed(error.for_people)
        except asyncio.CancelledError:
            telling.forgotten = True
            raise
        if answering.first_at is not None:
            _first_token_s.observe(answering.first_at - asked_at)
        ending.content = await telling.finish()
        ending.last_seq = len(telling.deltas)
        if self.request.untitled and ending.content:
            ending.title = title_of(prompt.messages[-1].content, ending.content)
        took = usage_of(answering.usage, prompt.messages, ending.content, began=answering.first_at is not None)
        ending.usage = took if hold is None else hold.priced(took)
        return ending

    async def _report(self, ending: Ending) -> None:
        request = self.request
        if self.attempt > 1 and self.begun_at is None:
            await self._begin()  # the text of the attempt before is not this one's, so clients must forget it
        content, title = "", None
        if ending.content or ending.status == RunStatus.COMPLETED:
            key = await patiently("PostgreSQL", postgres.AWAY, lambda: self._means.keyring.key(request.user_id))
            if key is None:
                ending = replace(failed(_ASKER_GONE), usage=ending.usage)
            else:
                content = key.seal(request.message_id, ending.content)
                title = None if ending.title is None else key.seal(request.conversation_id, ending.title)
        report = RunEndedReport(
            conversation_id=request.conversation_id,
            run_id=request.run_id,
            attempt=self.attempt,
            last_seq=ending.last_seq,
            status=ending.status,
            finish_reason=ending.finish_reason,
            content=content,
            usage=ending.usage,
            error=ending.error,
            title=title,
            user_id=request.user_id,
            agent=request.agent,
        )
        await self._means.reports.ended(report, self._traceparent)

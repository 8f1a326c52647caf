"""Following one answer from wherever a reader got to, to its end.

What is published in Redis only wakes us; the text is always read from the attempt's list, from the number after the
last one told. So there is nothing to merge, and a message that was missed is made up for by the next.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import structlog
from redis.asyncio.client import PubSub

from edge.errors import Refused
from edge.rest.services import Services
from edge.tokens import Principal
from infra import history
from infra.deltas import DeltaMessage, Deltas, conversation_channel
from infra.history import StoredRun
from infra.live import LiveRecord, decode_live, read_window
from infra.redis import AWAY
from schemas import events, frames

log = structlog.get_logger(__name__)

HEARTBEAT_S: Final = 15.0
"""Seconds of silence after which something is said, so that no proxy takes the connection for dead."""
_LOOK_S: Final = 1.0
"""Seconds without news after which PostgreSQL is asked: Redis tells nothing twice."""

_WRITTEN_WITHIN_S: Final = 10.0
"""Seconds that an end may be known before history has it; after them the reader is left to come back."""
_POLL_S: Final = 0.1
_NO_RECORDS: Final = 2**53
"""A position after which there are none: only the state is wanted."""

Told = frames.RunDelta | frames.RunRestarted | frames.RunFinished | None
"""None says that there is nothing new: the connection is alive."""


def finished(run: StoredRun) -> frames.RunFinished | None:
    """How a run ended, if it did."""
    if run.ended_at is None:
        return None
    return frames.RunFinished(
        run_id=run.run_id,
        conversation_id=run.conversation_id,
        attempt=run.attempt,
        last_seq=run.last_seq,
        status=run.status,
        finish_reason=run.finish_reason or "",
        usage=run.usage,
        error=run.error,
    )


class Following:
    """One reader of one run, as long as this person may read it and the sign-in goes on.

    `attempt` and `seq` are what it has; attempt 0 means the newest, whichever that is.
    """

    def __init__(self, services: Services, caller: Principal, run: StoredRun, attempt: int, seq: int) -> None:
        self._services = services
        self._user_id = caller.user_id
        self._sign_in_id = caller.sign_in_id
        self._deltas = Deltas(services.redis)
        self._run = run
        self._told_attempt, self._told_seq = attempt, seq
        self._attempt = run.attempt
        self._end = finished(run)

    async def told(self) -> AsyncIterator[Told]:
        """What the reader does not have yet, as it comes, up to and including the run's end.

        Where Redis or PostgreSQL is away it ends early: the reader comes back and says how far it got. So it does for
        one who may not read it any longer.
        """
        try:
            async with self._services.redis.pubsub() as channel:
                await channel.subscribe(conversation_channel(self._run.conversation_id))
                await self._look()
                quiet_s = 0.0
                checked_at = time.monotonic()
                while not self._services.stopping.is_set():
                    if time.monotonic() >= checked_at + _LOOK_S:
                        checked_at = time.monotonic()
                        await self._services.revocations.check(self._sign_in_id)
                    await self._services.access.present_conversation(self._user_id, self._run.conversation_id)
                    async for news in self._news():
                        quiet_s = 0.0
                        yield news
                    if self._end is not None:
                        return
                    if not await self._woken(channel):
                        quiet_s += _LOOK_S
                        await self._look()
                    if quiet_s >= HEARTBEAT_S:
                        quiet_s = 0.0
                        yield None
        except (*AWAY, Refused) as error:
            log.warning("stopped following a run", run_id=self._run.run_id, error=repr(error))

    async def _news(self) -> AsyncIterator[Told]:
        """What is there now that the reader does not have."""
        run_id, conversation_id = self._run.run_id, self._run.conversation_id
        if self._attempt > self._told_attempt:
            if self._told_attempt:
                self._told_seq = 0
                yield frames.RunRestarted(run_id=run_id, conversation_id=conversation_id, attempt=self._attempt)
            self._told_attempt = self._attempt
        texts = await self._deltas.read(run_id, self._told_attempt, self._told_seq) if self._told_attempt else []
        if texts:
            yield self._delta(self._told_seq + 1, self._told_seq + len(texts), "".join(texts))
        if self._end is None:
            return
        is_short = self._end.attempt == self._told_attempt and self._told_seq < self._end.last_seq
        if is_short and (text := await self._whole()) is not None:
            yield self._delta(1, self._end.last_seq, text)
        yield self._end

    def _delta(self, from_seq: int, seq: int, text: str) -> frames.RunDelta:
        self._told_seq = seq
        return frames.RunDelta(
            run_id=self._run.run_id,
            conversation_id=self._run.conversation_id,
            attempt=self._told_attempt,
            from_seq=from_seq,
            seq=seq,
            text=text,
        )

    async def _whole(self) -> str | None:
        """The whole text of the ended answer, once history has written it; None where it was not kept."""
        async with asyncio.timeout(_WRITTEN_WITHIN_S):
            while True:
                async with self._services.database() as connection:
                    run = await history.run(connection, self._run.conversation_id, self._run.run_id)
                if run is not None and run.ended_at is not None:
                    return await content(self._services, run)
                await asyncio.sleep(_POLL_S)

    async def _woken(self, channel: PubSub) -> bool:
        """Wait for the next message, and see what it says of this run; False where none came."""
        message = await channel.get_message(ignore_subscribe_messages=True, timeout=_LOOK_S)
        if message is None:
            return False
        told = decode_live(message["data"])
        match told:
            case DeltaMessage(run_id=self._run.run_id):
                self._attempt = max(self._attempt, told.attempt)
            case LiveRecord():
                for fact in told.record.facts:
                    self._learn(fact)
        return True

    def _learn(self, fact: events.AnyFact) -> None:
        match fact:
            case events.RunStarted(run_id=self._run.run_id):
                self._attempt = max(self._attempt, fact.attempt)
            case events.RunEnded(run_id=self._run.run_id):
                self._attempt = max(self._attempt, fact.attempt)
                self._end = frames.RunFinished(
                    run_id=fact.run_id,
                    conversation_id=self._run.conversation_id,
                    attempt=fact.attempt,
                    last_seq=fact.last_seq,
                    status=fact.status,
                    finish_reason=fact.finish_reason,
                    usage=fact.usage,
                    error=fact.error,
                )

    async def _look(self) -> None:
        """See how the run is, where no message said so. A PostgreSQL that is away says nothing; Redis goes on."""
        window = await read_window(self._services.redis, self._run.conversation_id, _NO_RECORDS)
        if window is not None and (open_run := window.view.runs.get(self._run.run_id)) is not None:
            self._attempt = max(self._attempt, open_run.attempt)
        try:
            async with self._services.database() as connection:
                run = await history.run(connection, self._run.conversation_id, self._run.run_id)
        except Refused:
            return
        if run is not None:
            self._attempt = max(self._attempt, run.attempt)
            self._end = self._end or finished(run)


async def content(services: Services, run: StoredRun) -> str | None:
    """The whole text of an answer that has ended; None where it was not kept, or is not written yet."""
    async with services.database() as connection:
        stored = await history.message(connection, run.conversation_id, run.message_id)
    return None if stored is None else stored.message.content

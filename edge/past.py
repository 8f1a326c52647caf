"""What was said before: the window in Redis, and PostgreSQL where that is not enough.

A client that comes back, and a feed that finds a hole, read here. The window is always at least as new as what was told
live; history may be a moment behind it, and is then waited for.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from edge.errors import Refused
from edge.rows import records_of_rows
from infra import history, live, postgres, redis
from infra.deltas import Deltas
from infra.history import StoredRun
from infra.live import LiveRecord, LiveWindow
from schemas import events, frames, ids, shown
from schemas.conversation import ConversationView
from schemas.frames import ErrorCode

MOST_MESSAGES: Final = 500
"""Messages that a reply recovers at most; who missed more starts anew."""
MOST_BYTES: Final = 1024 * 1024
"""Bytes of messages in one reply, for the same reason."""
SNAPSHOT_MESSAGES: Final = 50
"""Messages of a conversation that is shown anew."""
HISTORY_WITHIN_S: Final = 2.0
"""Seconds that history is waited for; it is commonly a few milliseconds behind."""
READ_WITHIN_S: Final = 5.0
"""Seconds for everything that one `subscribe` reads; then it is told `unavailable`, to be asked again."""
_POLL_S: Final = 0.03
_TOP: Final = 2**52
"""Above every position: asks for the state of a window without its records."""


class CannotResume(Exception):
    """The log was made anew, or too much was missed: whoever watches has to start anew."""


@dataclass(frozen=True, slots=True)
class Missed:
    """What a client missed: messages, its own refused ones, and the runs that ended.

    Where `recovered` is false it is shown the newest messages instead, and forgets what it had.
    """

    recovered: bool
    messages: list[frames.Message]
    runs: list[frames.Run]
    rejected: list[frames.Rejected]


@dataclass(slots=True)
class _Found:
    """What stands between two positions, each list oldest first."""

    messages: list[frames.Message] = field(default_factory=list)
    ended: list["_Ended"] = field(default_factory=list)
    rejected: list[frames.Rejected] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Ended:
    run_id: str
    status: str
    attempt: int
    last_seq: int
    agent_id: str | None = None
    question_id: str | None = None


class Past:
    """Reads what was said before.

    Args:
        epoch: the epoch of the log, for conversations that Redis does not know.
    """

    def __init__(self, redis: Redis, pool: "asyncpg.Pool[asyncpg.Record]", epoch: str) -> None:
        self._redis = redis
        self._pool = pool
        self._deltas = Deltas(redis)
        self._epoch = epoch

    async def newest(self, conversation_id: str) -> tuple[str, ConversationView]:
        """Epoch and newest known state of a conversation.

        Raises:
            Refused: `not_found`; `unavailable` where neither Redis nor PostgreSQL answers.
        """
        window = await self._window(conversation_id, _TOP)
        if window is not None:
            return window.epoch, window.view
        try:
            view = await postgres.within(READ_WITHIN_S, history.load_view(self._pool, conversation_id))
        except postgres.AWAY as error:
            raise Refused(ErrorCode.UNAVAILABLE) from error
        if view is None:
            raise Refused(ErrorCode.NOT_FOUND)
        return self._epoch, view

    async def deltas(self, run_id: str, attempt: int, after_seq: int) -> list[str]:
        """The deltas of an attempt after `after_seq`; none where Redis is away."""
        try:
            return await self._deltas.read(run_id, attempt, after_seq)
        except redis.AWAY:
            return []

    # -- for a feed with a hole --

    async def since(
        self,
        conversation_id: str,
        epoch: str,
        position: int,
        *,
        open_runs: Collection[str],
        user_ids: Iterable[str],
        reaching: int = 0,
    ) -> list[LiveRecord | ConversationView]:
        """What happened after a position, for `Feed.caught_up`; empty where nothing is known of it.

        Args:
            open_runs: the runs that were open at the position.
            user_ids: whose refused messages are looked for.
            reaching: a position that somebody has seen, though live may not have come so far.

        Raises:
            CannotResume: see there.
            one of `infra.postgres.AWAY`: it is not in the window, and PostgreSQL is away.
        """
        window = await self._window(conversation_id, position)
        if window is not None and window.epoch != epoch:
            raise CannotResume
        if window is not None and window.top < reaching:
            window = None
        if window is not None and window.base <= position:
            return [*window.records, window.view] if window.top > position else []
        if window is not None:
            await self._history_at(conversation_id, window.base)
        view = await history.load_view(self._pool, conversation_id)
        if view is None or view.position <= position:
            return []
        messages = await history.messages(
            self._pool, conversation_id, after=position, before=view.position + 1, limit=MOST_MESSAGES + 1
        )
        runs = await history.runs_ended(self._pool, conversation_id, position)
        if len(messages) > MOST_MESSAGES:
            raise CannotResume
        rejected = {u: await history.rejections(self._pool, conversation_id, u, position) for u in set(user_ids)}
        told = records_of_rows(view, epoch, position, messages, runs, rejected, open_runs)
        if window is None:
            return [*told, view]
        return [*told, view, *(r for r in window.records if r.record.position > view.position), window.view]

    # -- for a client that comes --

    async def missed(
        self,
        conversation_id: str,
        user_id: str,
        *,
        after: int | None,
        upto: int,
        named: Mapping[str, frames.RunCursor],
    ) -> Missed:
        """What happened after position `after` (None: nothing is known to the client), up to and with `upto`.

        Args:
            named: how far the client got in runs.

        Raises:
            Refused: `unavailable` where what is asked for cannot be read now.
        """
        if after is not None and after == upto:
            return Missed(True, [], [], [])
        try:
            return await postgres.within(READ_WITHIN_S, self._missed(conversation_id, user_id, after, upto, named))
        except postgres.AWAY as error:
            raise Refused(ErrorCode.UNAVAILABLE) from error

    async def _missed(
        self,
        conversation_id: str,
        user_id: str,
        after: int | None,
        upto: int,
        named: Mapping[str, frames.RunCursor],
    ) -> Missed:
        found = None if after is None else await self._between(conversation_id, user_id, after, upto)
        if found is not None and _fits(found.messages):
            runs = [await self._ended_run(conversation_id, run, found.messages, named) for run in found.ended]
            return Missed(True, found.messages, runs, found.rejected)
        newest = await self._newest_messages(conversation_id, upto)
        return Missed(False, newest, [], [] if found is None else found.rejected)

    async def _between(self, conversation_id: str, user_id: str, after: int, upto: int) -> _Found:
        window = await self._window(conversation_id, after)
        if window is None or window.top < upto:
            base, records = upto, []
        else:
            base, records = max(after, window.base), window.records
        found = _Found()
        if base > after:
            await self._history_at(conversation_id, base)
            found.messages = [
                message
                for _, message in await history.messages(
                    self._pool, conversation_id, after=after, before=base + 1, limit=MOST_MESSAGES + 1
                )
            ]
            runs = await history.runs_ended(self._pool, conversation_id, after)
            found.ended = [_ended_row(run) for run in runs if (run.ended_position or 0) <= base]
            rejections = await history.rejections(self._pool, conversation_id, user_id, after)
            found.rejected = [rejected for position, rejected in rejections if position <= base]
        for record in records:
            if record.record.position <= upto:
                _add(found, record, user_id)
        return found

    async def _newest_messages(self, conversation_id: str, upto: int) -> list[frames.Message]:
        window = await self._window(conversation_id, 0)
        found = _Found()
        if window is None or window.top < upto:
            base = upto
        else:
            base = window.base
            for record in window.records:
                if record.record.position <= upto:
                    _add(found, record, "")
        newest = found.messages[-SNAPSHOT_MESSAGES:]
        if base and len(newest) < SNAPSHOT_MESSAGES:
            await self._history_at(conversation_id, base)
            older = await history.messages(
                self._pool, conversation_id, before=base + 1, limit=SNAPSHOT_MESSAGES - len(newest), newest=True
            )
            newest = [*(message for _, message in older), *newest]
        while len(newest) > 1 and not _fits(newest):
            newest = newest[1:]
        return newest

    async def _ended_run(
        self,
        conversation_id: str,
        run: _Ended,
        messages: list[frames.Message],
        named: Mapping[str, frames.RunCursor],
    ) -> frames.Run:
        answer = next((m for m in messages if m.run_id == run.run_id), None)
        agent_id = run.agent_id or (answer.agent_id if answer is not None else None)
        question_id = run.question_id or (answer.parent_message_id if answer is not None else None)
        if agent_id is None and (row := await history.run(self._pool, conversation_id, run.run_id)) is not None:
            agent_id, question_id = row.agent.agent_id, row.question_id
        content = None if answer is None else answer.content
        cursor = named.get(run.run_id)
        has, text = 0, None
        if cursor is not None and cursor.attempt == run.attempt and 0 < cursor.seq <= run.last_seq:
            rest = await self.deltas(run.run_id, run.attempt, cursor.seq) if cursor.seq < run.last_seq else []
            if len(rest) == run.last_seq - cursor.seq:
                has, text = cursor.seq, "".join(rest)
        if text is None:
            text = content if content is not None else "".join(await self.deltas(run.run_id, run.attempt, 0))
        return frames.Run(
            run_id=run.run_id,
            message_id=ids.answer_id(run.run_id),
            agent_id=agent_id or "",
            status=run.status,
            attempt=run.attempt,
            from_seq=has + 1,
            seq=run.last_seq,
            text=text,
            question_id=question_id,
        )

    # -- the two sources --

    async def _window(self, conversation_id: str, after: int) -> LiveWindow | None:
        try:
            return await live.read_window(self._redis, conversation_id, after)
        except (*redis.AWAY, RedisError):
            return None

    async def _history_at(self, conversation_id: str, position: int) -> None:
        deadline = asyncio.get_running_loop().time() + HISTORY_WITHIN_S
        while await history.position(self._pool, conversation_id) < position:
            if asyncio.get_running_loop().time() > deadline:
                raise Refused(ErrorCode.UNAVAILABLE)
            await asyncio.sleep(_POLL_S)


def _fits(messages: list[frames.Message]) -> bool:
    return len(messages) <= MOST_MESSAGES and sum(len(msgspec.json.encode(m)) for m in messages) <= MOST_BYTES


def _add(found: _Found, live: LiveRecord, user_id: str) -> None:
    for fact in live.record.facts:
        match fact:
            case events.MessagePosted():
                found.messages.append(shown.message(fact, live.gone))
            case events.RunEnded():
                found.ended.append(
                    _Ended(run_id=fact.run_id, status=fact.status, attempt=fact.attempt, last_seq=fact.last_seq)
                )
            case events.MessageRejected() if fact.user_id == user_id:
                found.rejected.append(
                    frames.Rejected(
                        message_id=fact.message_id, client_message_id=fact.client_message_id, code=fact.code
                    )
                )
            case _:
                pass


def _ended_row(run: StoredRun) -> _Ended:
    return _Ended(
        run_id=run.run_id,
        status=run.status,
        attempt=run.attempt,
        last_seq=run.last_seq,
        agent_id=run.agent.agent_id,
        question_id=run.question_id,
    )

"""The running text of answers: a list in Redis for each attempt, and a message to whoever is watching.

An answer is cut into deltas, numbered 1, 2, 3 … for each attempt. Element i (from 0) of the list
`deltas:{run_id}:{attempt}` is the text of delta i + 1, so the list's length is the number of the last delta. Redis can
lose the list at any time: a write checks that the list ends where the writer believes, else the whole attempt is
written again. So what a reader finds is never garbled, at worst short.
"""

from collections.abc import Awaitable, Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from infra import effects

WHILE_RUNNING_S: Final = 24 * 60 * 60
"""Seconds a list is kept while its run may still go on: a day is longer than any run."""

AFTER_THE_END_S: Final = 60 * 60
"""Seconds a list is kept after its run's end: whoever was reading finishes; then the message itself has the text."""


class DeltaMessage(Struct, frozen=True, kw_only=True, tag_field="kind", tag="delta"):
    """Deltas `from_seq` … `seq` of an attempt, their texts joined; published on the conversation's channel.

    A reader that misses some, or that has seen a part of these, reads on from the list (`Deltas.read`).
    """

    run_id: str
    attempt: int
    from_seq: int
    seq: int
    text: str


class Written(Struct, frozen=True, kw_only=True):
    """What a run has said so far, to be written to Redis.

    Attributes:
        deltas: all of the attempt's deltas; the first is number 1.
        from_seq: the first that is not known to be in Redis.
        last: whether the attempt says no more.
    """

    conversation_id: str
    run_id: str
    attempt: int
    from_seq: int
    deltas: Sequence[str]
    last: bool = False


def deltas_key(run_id: str, attempt: int) -> str:
    return f"deltas:{run_id}:{attempt}"


def conversation_channel(conversation_id: str) -> str:
    """The channel of everything that is live in a conversation."""
    return f"conversation:{conversation_id}"


# KEYS: list. ARGV: from_seq, seconds to live, channel, message (empty where nothing is new), the new deltas.
# Answers 0, having done nothing, where the list does not end at from_seq - 1.
_APPEND = b"""
if redis.call('LLEN', KEYS[1]) ~= tonumber(ARGV[1]) - 1 then return 0 end
for i = 5, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return 1
"""

# The same arguments, but with all of the attempt's deltas.
_REWRITE = b"""
redis.call('DEL', KEYS[1])
for i = 5, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return 1
"""


class Deltas:
    """Reads and writes the running text of answers.

    The scripts are sent whole (EVAL): they are short, Redis keeps them compiled, and there is no cache of scripts that
    a restarted Redis could have lost.
    """

    def __init__(self, redis: Redis) -> None:
        effects.check("telling deltas")
        self._redis = redis

    async def append_many(self, batch: Sequence[Written]) -> None:
        """Write what is new of many runs and publish it: one round trip, a second where Redis had lost something.

        Raises:
            redis.exceptions.RedisError: any of it may or may not be written; write it all again, from the same
                `from_seq`.
        """
        answers = await self._evaluate(_APPEND, batch, whole=False)
        if lost := [written for written, answer in zip(batch, answers, strict=True) if not answer]:
            await self._evaluate(_REWRITE, lost, whole=True)

    async def _evaluate(self, script: bytes, batch: Sequence[Written], *, whole: bool) -> list[int]:
        pipeline = self._redis.pipeline(transaction=False)
        for w in batch:
            new = w.deltas[w.from_seq - 1 :]
            message = DeltaMessage(
                run_id=w.run_id, attempt=w.attempt, from_seq=w.from_seq, seq=len(w.deltas), text="".join(new)
            )
            pipeline.eval(
                script,  # type: ignore[arg-type]
                1,
                deltas_key(w.run_id, w.attempt),
                w.from_seq,
                AFTER_THE_END_S if w.last else WHILE_RUNNING_S,
                conversation_channel(w.conversation_id),
                msgspec.json.encode(message) if new else b"",
                *(w.deltas if whole else new),
            )
        return await pipeline.execute()

    async def read(self, run_id: str, attempt: int, after_seq: int = 0) -> list[str]:
        """The texts of the deltas after number `after_seq`, as far as Redis has them.

        Raises:
            redis.exceptions.RedisError: Redis is away.
        """
        asked = cast(Awaitable[list[Any]], self._redis.lrange(deltas_key(run_id, attempt), after_seq, -1))
        return [text.decode() for text in await asked]

"""What conversations decided about the commands that somebody in this process waits for.

The processor publishes a decision once its fact is delivered, on the channel that the command names. Redis forgets what
nobody heard, so a waiter asks again by publishing the same command again: that changes nothing and is answered again.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from infra.live import decisions_channel
from schemas.events import Decision
from schemas.ids import new_id

log = structlog.get_logger(__name__)

_RECONNECT_S = 0.2
"""Seconds between two tries to reach Redis: short against the 2 s after which a waiter asks again."""

_POLL_S = 10.0
READY_WITHIN_S = 1.0
"""Seconds that a command waits for the channel: longer than a reconnect; without it, it would be asked again anyway."""

_decode = msgspec.json.Decoder(Decision).decode


class Decisions:
    """Hears the decisions addressed to this process and hands each to who waits for it.

    Attributes:
        ask: what a command carries so that its decision comes here; new with each process.
    """

    def __init__(self, redis: Redis) -> None:
        self.ask = new_id()
        self._redis = redis
        self._listening = asyncio.Event()
        self._waiting: dict[str, set[asyncio.Future[Decision]]] = {}

    async def ready(self) -> None:
        """Wait a little until decisions are heard here: one that is told before is told to nobody."""
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await self._listening.wait()
        except TimeoutError:
            pass

    @contextmanager
    def expect(self, command_id: str) -> Iterator["asyncio.Future[Decision]"]:
        """A future for the next decision about this command. Enter before the command is published."""
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(command_id, set()).add(future)
        try:
            yield future
        finally:
            waiting = self._waiting[command_id]
            waiting.discard(future)
            if not waiting:
                del self._waiting[command_id]

    async def run(self) -> None:
        """Listen until cancelled; while Redis is away, try again."""
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(decisions_channel(self.ask))
                    while True:
                        message = await channel.get_message(timeout=_POLL_S)
                        if message is None:
                            continue
                        if message["type"] == "subscribe":
                            self._listening.set()
                        elif message["type"] == "message":
                            self._decided(_decode(message["data"]))
            except (RedisError, OSError) as error:
                self._listening.clear()
                log.warning("decisions not heard: redis is away", error=str(error))
                await asyncio.sleep(_RECONNECT_S)

    def _decided(self, decision: Decision) -> None:
        for future in self._waiting.get(decision.command_id, ()):
            if not future.done():
                future.set_result(decision)

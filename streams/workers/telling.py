"""Tells what agents say, as they say it: gathers words into deltas and writes those of all runs together."""

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog
from prometheus_client import Histogram
from redis.exceptions import RedisError

from infra.deltas import Deltas, Written

GATHER_S: Final = 0.025
"""Seconds that words are gathered before they are told. Under 40 nobody sees words come in pairs; it halves the work of
everybody on the way. The first word of an answer is told at once."""

LAST_S: Final = 1.0
"""Seconds that the last words may take to be told before the end is reported without them; the message has them."""

_AWAY_PAUSE_S: Final = 0.25

log = structlog.get_logger(__name__)

_flushed = Histogram(
    "chorus_delta_flush_runs", "Runs whose deltas went to Redis together", buckets=(1, 3, 10, 30, 100, 300, 1000)
)


class Telling:
    """One attempt, told while it goes on.

    Attributes:
        deltas: the text so far, as it is numbered, from 1.
        over: nothing more will be said.
        forgotten: nothing more will be written.
    """

    def __init__(self, teller: "Teller", conversation_id: str, run_id: str, attempt: int) -> None:
        self._teller = teller
        self._conversation_id = conversation_id
        self._run_id = run_id
        self._attempt = attempt
        self._gathered: list[str] = []
        self._written = 0
        self._told = asyncio.Event()
        self.deltas: list[str] = []
        self.over = False
        self.forgotten = False

    def say(self, text: str) -> None:
        if not self._gathered:
            self._teller.tell(self, at_once=not self.deltas)
        self._gathered.append(text)

    def next(self) -> Written:
        """Number what was gathered; what is to be written now. Nothing is numbered while that is being done."""
        self._number()
        return Written(
            conversation_id=self._conversation_id,
            run_id=self._run_id,
            attempt=self._attempt,
            from_seq=self._written + 1,
            deltas=self.deltas,
            last=self.over,
        )

    def written(self, what: Written) -> None:
        self._written = len(what.deltas)
        if what.last:
            self._told.set()

    async def finish(self) -> str:
        """Nothing more will be said: the whole text, told if Redis is there."""
        self.over = True
        if self.deltas or self._gathered:
            self._teller.tell(self, at_once=True)
            try:
                async with asyncio.timeout(LAST_S):
                    await self._told.wait()
            except TimeoutError:
                self.forgotten = True
                self._number()
        return "".join(self.deltas)

    def _number(self) -> None:
        if self._gathered:
            self.deltas.append("".join(self._gathered))
            self._gathered.clear()


class Teller:
    """Writes the deltas of all runs, one round trip at a time."""

    def __init__(self, deltas: Deltas) -> None:
        self._deltas = deltas
        self._ready: dict[Telling, None] = {}
        self._gathering: dict[Telling, None] = {}
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, conversation_id: str, run_id: str, attempt: int) -> Telling:
        return Telling(self, conversation_id, run_id, attempt)

    def tell(self, telling: Telling, *, at_once: bool) -> None:
        """This one has something to say, now or after gathering."""
        if at_once:
            self._ready[telling] = None
            self._wake.set()
            return
        self._gathering[telling] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._gathered)

    def _gathered(self) -> None:
        self._timer = None
        self._ready |= self._gathering
        self._gathering = {}
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled. While Redis is away, answers go on, and are written when it is back."""
        away = False
        while True:
            await self._wake.wait()
            self._wake.clear()
            tellings = [one for one in self._ready if not one.forgotten]
            self._ready = {}
            if not tellings or await self._write(tellings):
                away = False
                continue
            if not away:
                log.warning("Redis is away: answers go on, and are not seen while they are written")
                away = True
            self._ready = dict.fromkeys(tellings) | self._ready
            await asyncio.sleep(_AWAY_PAUSE_S)
            self._wake.set()

    async def _write(self, telling: Iterable[Telling]) -> bool:
        batch = [(one, one.next()) for one in telling]
        _flushed.observe(len(batch))
        try:
            await self._deltas.append_many([what for _, what in batch])
        except (RedisError, OSError):
            return False
        for one, what in batch:
            one.written(what)
        return True

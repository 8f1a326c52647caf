"""Running what was read, by key or in batches. A `Work` lives as long as its partitions are held without a break."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic
from typing import Generic, TypeVar

from streams.lanes import Lanes

T = TypeVar("T")

_CANCEL_S = 1.0
"""How long cancelled work has to end, in seconds. It has nothing left to wait for; more is a bug."""


class WorkIgnoredCancel(RuntimeError):
    """Work went on after it was cancelled: its keys cannot be given to anybody else."""


class Work(ABC, Generic[T]):
    """Takes items, runs them, and says how each has ended.

    Attributes:
        closed: nothing more is started; what was running is, or has been, drained.

    Args:
        finished: hears of each item that ended well.
        failed: hears what any other one raised. Nothing is swallowed, and nothing is tried again here.
    """

    def __init__(self, finished: Callable[[T], None], failed: Callable[[BaseException], None]) -> None:
        self._finished = finished
        self._failed = failed
        self._running: dict[asyncio.Future[None], float] = {}
        self.closed = False

    @abstractmethod
    def put(self, key: bytes, item: T) -> None:
        """Run this item when its turn comes."""

    def start(self, work: Awaitable[None], ended: Callable[[], None]) -> None:
        """Run this at once, past every turn and limit; `ended` is called only if it returns."""
        task = asyncio.ensure_future(work)
        self._running[task] = monotonic()
        task.add_done_callback(partial(self._settle, ended))

    def _settle(self, ended: Callable[[], None], task: asyncio.Future[None]) -> None:
        del self._running[task]
        if task.cancelled():
            if not self.closed:  # by whom? Not by us: its record would stay unfinished for good.
                self._failed(RuntimeError("a processor was cancelled from within"))
        elif (error := task.exception()) is not None:
            self._failed(error)
        else:
            ended()

    @property
    def in_flight(self) -> int:
        """How many items, or batches, are running."""
        return len(self._running)

    def oldest_s(self) -> float:
        """For how many seconds the longest-running one has been running; 0 when none is."""
        for started in self._running.values():  # in the order in which they were started
            return monotonic() - started
        return 0.0

    async def drain(self, within_s: float) -> None:
        """Start nothing more, give what runs this many seconds, and cancel the rest.

        Raises:
            WorkIgnoredCancel: something did not end when it was cancelled.
        """
        self.closed = True
        if self._running and within_s > 0:
            await asyncio.wait(self._running, timeout=within_s)
        if self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running, timeout=_CANCEL_S)
        if self._running:
            raise WorkIgnoredCancel(f"{len(self._running)} did not end within {_CANCEL_S} s of being cancelled")


class KeyedWork(Work[T]):
    """One item at a time per key, at most `limit` at once."""

    def __init__(
        self,
        limit: int,
        run: Callable[[T], Awaitable[None]],
        finished: Callable[[T], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(finished, failed)
        self._lanes: Lanes[bytes, T] = Lanes(limit)
        self._run = run

    def put(self, key: bytes, item: T) -> None:
        self._lanes.put(key, item)
        self._start_more()

    def _start_more(self) -> None:
        while not self.closed and (taken := self._lanes.start()) is not None:
            key, item = taken
            self.start(self._run(item), partial(self._ended, key, item))

    def _ended(self, key: bytes, item: T) -> None:
        self._finished(item)
        self._lanes.finish(key)
        self._start_more()


class BatchWork(Work[T]):
    """One batch at a time.

    Args:
        size: most items in a batch; a batch that has them starts without waiting.
        within_s: how long an item waits for others to join it, in seconds.
    """

    def __init__(
        self,
        size: int,
        within_s: float,
        run: Callable[[Sequence[T]], Awaitable[None]],
        finished: Callable[[T], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        super().__init__(finished, failed)
        self._size = size
        self._within_s = within_s
        self._run = run
        self._waiting: deque[T] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, _key: bytes, item: T) -> None:
        self._waiting.append(item)
        self._start_or_wait()

    def _start_or_wait(self) -> None:
        if self.closed or self._running or not self._waiting:
            return
        if len(self._waiting) >= self._size or self._within_s == 0:
            self._start_batch()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._within_s, self._start_batch)

    def _start_batch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.closed:
            batch = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
            self.start(self._run(batch), partial(self._ended, batch))

    def _ended(self, batch: Sequence[T]) -> None:
        for item in batch:
            self._finished(item)
        self._start_or_wait()

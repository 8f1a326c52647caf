"""One process' event loop, turned by hand: one callback at a time, and it may die between any two.

What leaves the process (a record for the broker, a statement for PostgreSQL) takes two more turns: one in which it
takes effect out there, one in which the answer comes back. So a process can die before, after, and without ever hearing
of it.
"""

import asyncio
import contextvars
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class Gone(BaseException):
    """The process that asks is dead: whatever it still does while it is taken apart reaches nobody."""


@dataclass
class Clock:
    """The time of everybody, in seconds since 1970."""

    now: float


class Loop(asyncio.AbstractEventLoop):
    """As much of an event loop as tasks, timers and locks need."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: deque[asyncio.Handle] = deque()
        self._network: list[tuple[object, Callable[[], None]]] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._failed: BaseException | None = None
        self.dead = False

    # -- turning --

    def turn(self, *, network_first: bool = False, overtaking: bool = False) -> bool:
        """Run one callback; says whether there was one.

        Args:
            network_first: rather something on the network than what the process could do by itself.
            overtaking: what goes another way passes what is longest on the network.
        """
        self._fire()
        if self._network and (network_first or not self._ready):
            self._run(self._network.pop(self._passing() if overtaking else 0)[1])
        elif self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                self._run(handle._run)
        else:
            return False
        if self._failed is not None and not self.dead:
            raise self._failed
        return True

    def _passing(self) -> int:
        return next((n for n, (way, _) in enumerate(self._network) if way != self._network[0][0]), 0)

    def next_timer(self) -> float | None:
        """When the next timer is due."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def kill(self) -> None:
        """Nothing of it reaches anybody any more. What is left is unwound, as no real process would be, so that
        nothing of it lingers in this one."""
        self.dead = True
        self._network.clear()
        for _ in range(50):
            tasks = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            while self._ready:
                self._run(self._ready.popleft()._run)
            while self._timers:
                heapq.heappop(self._timers)
        raise AssertionError(f"cannot be unwound: {tasks}")

    def _fire(self) -> None:
        while (due := self.next_timer()) is not None and due <= self._clock.now:
            self._ready.append(heapq.heappop(self._timers)[2])

    def _run(self, act: Callable[[], object]) -> None:
        events._set_running_loop(self)
        try:
            act()
        finally:
            events._set_running_loop(None)

    # -- the world --

    def post(self, act: Callable[[], T], way: object = None) -> "asyncio.Future[T]":
        """Have something done out there. What goes the same way is done in the order in which it was posted."""
        if self.dead:
            raise Gone
        answer: asyncio.Future[T] = self.create_future()

        def there() -> None:
            try:
                result = act()
            except AssertionError:
                raise  # a promise is broken: that is for the test, not for the process
            except Exception as error:
                failure = error
                self._network.append((way, lambda: answer.done() or answer.set_exception(failure)))
            else:
                self._network.append((way, lambda: answer.done() or answer.set_result(result)))

        self._network.append((way, there))
        return answer

    def hear(self, news: Callable[[], None]) -> None:
        """Something comes in from outside, behind what is on its way already."""
        if not self.dead:
            self._network.append((None, news))

    # -- what asyncio asks of a loop --

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def time(self) -> float:
        return self._clock.now

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[T]":
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # A task that nobody asked for its end says so when it is thrown away, which may be at any time.
        if not self.dead and "handle" in context:
            self._failed = error or AssertionError(context["message"])

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

"""Asking for many things in one round trip, without waiting for company."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Gather(Generic[Q, A]):
    """Questions that come while others are on their way go together in the next round trip.

    One that comes alone leaves at once; under load a round trip carries as many as came during the one before, so a
    store is asked as often as it answers and no oftener.

    Args:
        ask: answers a batch, in its order; what it raises, everybody in the batch gets.
        pause_s: how long questions are waited for before each round trip, in seconds; 0 where each leaves at once.
    """

    def __init__(self, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], pause_s: float = 0) -> None:
        self._ask = ask
        self._pause_s = pause_s
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def one(self, question: Q) -> A:
        """The answer to this question. Whoever is cancelled meanwhile cancels nobody else's."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
            batch, self._waiting = self._waiting, []
            try:
                answers = await self._ask([question for question, _ in batch])
            except Exception as error:  # theirs to handle, each by its own means
                for _, waiting in batch:
                    if not waiting.done():
                        waiting.set_exception(error)
            else:
                for (_, waiting), answer in zip(batch, answers, strict=True):
                    if not waiting.done():
                        waiting.set_result(answer)
        self._asking = None

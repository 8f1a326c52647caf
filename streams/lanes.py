"""Who may start next: one record at a time per key, a bounded number of keys at once. Pure: no I/O, no clock."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Lanes(Generic[K, T]):
    """One queue per key, first in first out; it exists only while it has something waiting or running.

    Keys take turns: one whose item has finished goes behind all others that wait, so a busy key starves none.

    Args:
        limit: how many items run at once, over all keys.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lanes: dict[K, deque[T]] = {}
        self._startable: deque[K] = deque()
        self.running = 0

    def put(self, key: K, item: T) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = deque((item,))
            self._startable.append(key)
        else:
            lane.append(item)

    def start(self) -> tuple[K, T] | None:
        """Take the next item that may run, or None when nothing waits or no more may run. Ends with `finish`."""
        if self.running == self._limit or not self._startable:
            return None
        key = self._startable.popleft()
        self.running += 1
        return key, self._lanes[key].popleft()

    def finish(self, key: K) -> None:
        """The running item of this key has ended, one way or another."""
        self.running -= 1
        if self._lanes[key]:
            self._startable.append(key)
        else:
            del self._lanes[key]

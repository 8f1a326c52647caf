"""Many things that are due at some time, looked at only then. Pure: the clock is passed in.

Ten thousand timers of their own would cost more than all the pings that they are for.
"""

import math
from collections import defaultdict
from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Holds what is due, each thing once.

    Args:
        turn_s: seconds from one turn to the next: how late something may come.
    """

    def __init__(self, turn_s: float, now: float) -> None:
        self._turn_s = turn_s
        self._turned = math.floor(now / turn_s)
        self._turn_of: dict[T, int] = {}
        self._hanging: defaultdict[int, list[T]] = defaultdict(list)

    def put(self, item: T, due: float) -> None:
        """Hang something on the wheel; a place that it had before counts no more."""
        turn = max(math.ceil(due / self._turn_s), self._turned + 1)
        self._turn_of[item] = turn
        self._hanging[turn].append(item)

    def __contains__(self, item: T) -> bool:
        return item in self._turn_of

    def remove(self, item: T) -> None:
        self._turn_of.pop(item, None)

    def turn(self, now: float) -> list[T]:
        """Take off everything that is due."""
        due: list[T] = []
        until = math.floor(now / self._turn_s)
        for turn in range(self._turned + 1, until + 1):
            for item in self._hanging.pop(turn, ()):
                if self._turn_of.get(item) == turn:
                    del self._turn_of[item]
                    due.append(item)
        self._turned = max(self._turned, until)
        return due

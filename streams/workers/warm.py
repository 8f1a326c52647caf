"""The conversations that are kept in memory: those that were busy last. Pure: no I/O, no clock."""

from collections import OrderedDict
from collections.abc import Iterator

from streams.rules.state import State


class Warm:
    """States by conversation; beyond the limit, the one that was used longest ago goes first.

    Args:
        max_bytes: how much they may take together, roughly.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._states: OrderedDict[str, tuple[State, int]] = OrderedDict()
        self._size = 0

    def get(self, conversation_id: str) -> State | None:
        found = self._states.get(conversation_id)
        if found is None:
            return None
        self._states.move_to_end(conversation_id)
        return found[0]

    def put(self, state: State) -> None:
        """Keep this state; the only one of its conversation from now on."""
        conversation_id, size = state.view.conversation_id, state.size
        _, before = self._states.pop(conversation_id, (state, 0))
        self._states[conversation_id] = (state, size)
        self._size += size - before
        while self._size > self._max_bytes and len(self._states) > 1:
            _, (_, dropped) = self._states.popitem(last=False)
            self._size -= dropped

    def clear(self) -> None:
        self._states.clear()
        self._size = 0

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[State]:
        return (state for state, _ in list(self._states.values()))

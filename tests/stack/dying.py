"""Runs a processor that dies, or stops, at a chosen point of one command: `python -m tests.stack.dying conversations`.

`DIE_ON` is the id of the command, `DIE_AFTER` one of the steps below, `DIE_BY` the number of the signal.
"""

import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from streams.workers import conversations
from streams.workers.conversations import Conversations
from streams.workers.facts import FactLog
from streams.workers.states import States

STEPS = ("nothing", "fact", "state", "request", "stop", "decision")
"""What a command leads to, in order."""

_at_the_command: ContextVar[bool] = ContextVar("at the command", default=False)


def _die() -> None:
    os.kill(os.getpid(), int(os.environ["DIE_BY"]))


def _patch(owner: type, name: str, step: str, *, before: bool = False) -> None:
    original: Callable[..., Any] = getattr(owner, name)
    chosen = os.environ["DIE_AFTER"] == step

    async def awaited(*arguments: Any) -> Any:
        if before and chosen and _at_the_command.get():
            _die()
        result = await original(*arguments)
        if not before and chosen and _at_the_command.get():
            _die()
        return result

    def called(*arguments: Any) -> Any:
        result = original(*arguments)
        if chosen and _at_the_command.get():
            _die()
        return result

    setattr(owner, name, called if name == "remember" else awaited)


def _watch_for_the_command() -> None:
    handle = Conversations.handle

    async def watched(self: Conversations, delivery: Any) -> None:
        _at_the_command.set(delivery.envelope.id == os.environ["DIE_ON"])
        await handle(self, delivery)

    Conversations.handle = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    assert sys.argv[1:] == ["conversations"]
    assert os.environ["DIE_AFTER"] in STEPS
    _patch(FactLog, "append", "nothing", before=True)
    _patch(FactLog, "append", "fact")
    _patch(States, "remember", "state")
    _patch(Conversations, "_request", "request")
    _patch(Conversations, "_request_stop", "stop")
    _patch(Conversations, "_tell", "decision")
    _watch_for_the_command()
    conversations.main(os.environ)

"""The scripted agent, inside the process: for tests, demonstrations and agents of kind `scripted`."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator

from agents import script
from agents.provider import Chunk, Prompt, ProviderError, Trouble

_REFUSALS = {429: Trouble.BUSY, 413: Trouble.TOO_LONG}


def stamp() -> str:
    """The time, as a token that `/stamp` asks for."""
    return f"@{time.monotonic_ns() // 1000} "


class Refusals:
    """Which calls are refused; remembers how often a flaky one was tried."""

    def __init__(self) -> None:
        self._tried: Counter[str] = Counter()

    def status_of(self, asked: script.Script) -> int | None:
        """The HTTP status of a refusal, or None where the call is answered."""
        if asked.flaky:
            self._tried[asked.key] += 1
            if self._tried[asked.key] <= asked.flaky:
                return 503
        return asked.refuse


class Scripted:
    """Says what the last message directs; see `agents.script`."""

    def __init__(self, manner: script.Manner) -> None:
        self._manner = manner
        self._refusals = Refusals()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """See `Provider.stream`."""
        asked = script.script_of(prompt.messages, self._manner)
        if (status := self._refusals.status_of(asked)) is not None:
            trouble = _REFUSALS.get(status, Trouble.DOWN if status >= 500 else Trouble.REFUSED)
            raise ProviderError(trouble, f"scripted {status}")
        finished = False
        at = asyncio.get_running_loop().time()
        for step in asked.steps:
            match step:
                case script.Say():
                    at += step.after_ms / 1000
                    await asyncio.sleep(at - asyncio.get_running_loop().time())
                    yield Chunk(text=stamp() if step.stamped else step.text)
                case script.Count():
                    yield Chunk(usage=step.tokens)
                case script.Finish():
                    if not finished:
                        finished = True
                        yield Chunk(finish_reason=step.reason)
                case script.BreakOff():
                    raise ProviderError(Trouble.BROKEN_OFF, "scripted")
                case script.Garble():
                    raise ProviderError(Trouble.UNREADABLE, "scripted")
                case script.Hang():
                    await asyncio.get_running_loop().create_future()

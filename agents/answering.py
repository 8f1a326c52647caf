"""One call of an agent, from the question to the last word: time limits, retries and the longest answer."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from agents.awake import AwakeClock
from agents.provider import TROUBLES, Prompt, Provider, ProviderError, TimeLimits, TokenCount, Trouble
from agents.usage import Spoken

MAX_ANSWER_BYTES: Final = 256_000
"""Longest answer, in bytes of UTF-8: sealed it still fits every record, the broker's limit being 1 MiB."""

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 2.0


@dataclass
class Answering:
    """What has been said so far, and how it ended; readable at any time, also after a failure or a cancellation.

    Attributes:
        say: called with each piece of text, as it comes.
        size: of the text, in bytes of UTF-8.
        paid_tokens: how many tokens of output are paid for; None where the answer may become what it likes.
        clock: what time limits count by; shared between answers, it ticks for all of them.
        first_at: when the provider first gave anything, by that clock.
    """

    say: Callable[[str], None]
    max_bytes: int = MAX_ANSWER_BYTES
    clock: AwakeClock = field(default_factory=AwakeClock)
    paid_tokens: int | None = None
    size: int = field(default=0, init=False)
    _spoken: Spoken = field(default_factory=Spoken, init=False)
    first_at: float | None = field(default=None, init=False)
    finish_reason: str | None = field(default=None, init=False)
    usage: TokenCount | None = field(default=None, init=False)

    async def run(self, provider: Provider, prompt: Prompt, limits: TimeLimits) -> None:
        """Call until the answer is complete; then `finish_reason` is set.

        Raises:
            ProviderError: the provider failed or took too long; what it has said stands.
        """
        start = self.clock.now()
        try:
            async with self.clock.limit(start + min(limits.first_token_s, limits.whole_s)) as limit:
                await self._until_it_answers(provider, prompt, limits, limit, start)
        except TimeoutError as error:
            if self.finish_reason is None:
                raise self._too_slow(limits, self.clock.now() - start) from error
        except ProviderError:
            if self.finish_reason is None:  # else only the count of tokens is missing
                raise

    def _too_slow(self, limits: TimeLimits, took_s: float) -> ProviderError:
        if took_s >= limits.whole_s:
            return ProviderError(Trouble.ENDLESS, f"not finished after {limits.whole_s} s")
        if self.first_at is None:
            return ProviderError(Trouble.SILENT, f"nothing came in {limits.first_token_s} s")
        return ProviderError(Trouble.STALLED, f"nothing more came in {limits.between_tokens_s} s")

    async def _until_it_answers(
        self, provider: Provider, prompt: Prompt, limits: TimeLimits, limit: asyncio.Timeout, start: float
    ) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await self._call(provider, prompt, limits, limit, start + limits.whole_s)
            except ProviderError as error:
                wait = max(pause, error.retry_after_s)
                over = self.clock.now() + wait > start + limits.retry_s
                if self.first_at is not None or over or not TROUBLES[error.trouble].passing:
                    raise
            await asyncio.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _call(
        self, provider: Provider, prompt: Prompt, limits: TimeLimits, limit: asyncio.Timeout, end: float
    ) -> None:
        now = self.clock.now
        # Moving a timer costs as much as reading a chunk, so it is moved only when a tenth of its time is over.
        slack = limits.between_tokens_s / 10
        moved = float("-inf")
        async with aclosing(provider.stream(prompt)) as chunks:
            async for chunk in chunks:
                if self.first_at is None:
                    self.first_at = now()
                if chunk.usage is not None:
                    self.usage = chunk.usage
                if chunk.text and not self._take(chunk.text):
                    self.finish_reason = "length"
                    return
                if chunk.finish_reason is None and self._is_paid_out():
                    self.finish_reason = "budget_exhausted"
                    return
                if chunk.finish_reason is not None:
                    self.finish_reason = chunk.finish_reason
                    self.clock.move(limit, min(end, now() + limits.usage_s))
                elif self.finish_reason is None and (at := now()) > moved + slack:
                    self.clock.move(limit, min(end, at + limits.between_tokens_s + slack))
                    moved = at

    def _is_paid_out(self) -> bool:
        """Whether the next word would be the first that nobody pays for, by the provider's count or by ours."""
        if self.paid_tokens is None or self.finish_reason is not None:
            return False
        if self.usage is not None and self.usage.output >= self.paid_tokens:
            return True
        return self._spoken.reaches(self.paid_tokens)

    def _take(self, text: str) -> bool:
        """Say `text`, or as much of it as still fits; false where not all of it did."""
        size = len(text) if text.isascii() else len(text.encode())
        room = self.max_bytes - self.size
        if size <= room:
            self.size += size
            if self.paid_tokens is not None:
                self._spoken.add(text)
            self.say(text)
            return True
        if fitting := text.encode()[:room].decode(errors="ignore"):
            self.size += len(fitting.encode())
            self.say(fitting)
        return False

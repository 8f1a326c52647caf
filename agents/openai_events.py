"""The events of an OpenAI-compatible stream, without the network.

They are Server-Sent Events with one JSON object in each `data:` line, read by hand: an answer arrives as tens of
small pieces, each worth microseconds, and a general parser would cost several times as much.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from agents.provider import Chunk, ProviderError, TokenCount, Trouble

_MAX_LINE_BYTES: Final = 1_048_576
"""Longest line; nothing that a model says between two tokens is near it."""

_FINISH_REASONS: Final = {"length": "length", "max_tokens": "length", "content_filter": "content_filter"}
"""All others (`stop`, `tool_calls`, a server's own) mean that the model had said what it wanted."""


class _Delta(Struct):
    content: str | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _CachedTokens(Struct):
    cached_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _CachedTokens | None = None


class _Event(Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_event = msgspec.json.Decoder(_Event).decode


class EventReader:
    """Takes the bytes of one response and gives chunks.

    Attributes:
        done: the stream has said that it is over; what follows means nothing.
    """

    def __init__(self) -> None:
        self.done = False
        self._finished = False
        self._rest = b""
        self._trouble: ProviderError | None = None

    def feed(self, data: bytes) -> Chunk | None:
        """One chunk for what came in one piece, whatever number of events it holds.

        Raises:
            ProviderError: it is no such stream, or the server reports a failure in it. What was said before, in the
                same piece, is given first; the error then comes with the next piece or the end.
        """
        if self._trouble is not None:
            raise self._trouble
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _MAX_LINE_BYTES:
            raise ProviderError(Trouble.UNREADABLE, f"a line of more than {_MAX_LINE_BYTES} bytes")
        text = ""
        reason: str | None = None
        usage: TokenCount | None = None
        for line in lines:
            if not line.startswith(b"data:"):  # empty lines, comments that keep the connection open, other fields
                continue
            payload = line[5:].strip()
            if payload == b"[DONE]":
                self.done = True
                if not self._finished:
                    self._finished = True
                    reason = "stop"
                break
            try:
                event = _decoded(payload)
            except ProviderError as error:
                if not text:
                    raise
                self._trouble = error
                break
            if event.usage is not None:
                usage = _count(event.usage) or usage
            if self._finished or not event.choices:
                continue
            choice = event.choices[0]
            if choice.delta is not None and choice.delta.content:
                text += choice.delta.content
            if choice.finish_reason is not None:
                self._finished = True
                reason = _FINISH_REASONS.get(choice.finish_reason, "stop")
        if not text and reason is None and usage is None:
            return None
        if "\x00" in text:  # PostgreSQL stores no such text
            text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        return Chunk(text=text, finish_reason=reason, usage=usage)

    def end(self) -> None:
        """The response is over.

        Raises:
            ProviderError: the answer was not.
        """
        if self._trouble is not None:
            raise self._trouble
        if not self._finished:
            raise ProviderError(Trouble.BROKEN_OFF, "the stream ended before the answer did")


def _decoded(payload: bytes) -> _Event:
    try:
        event = _event(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProviderError(Trouble.UNREADABLE, f"an event of {len(payload)} bytes: {type(error).__name__}") from error
    if event.error is not None:
        raise ProviderError(Trouble.DOWN, "an error event in the stream")
    return event


def _count(usage: _Usage) -> TokenCount | None:
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    return TokenCount(input=usage.prompt_tokens, output=usage.completion_tokens, cached_input=cached or 0)

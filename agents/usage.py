"""What an answer took: what the provider says, else an estimate that says so."""

from collections.abc import Iterable

from agents.provider import ChatMessage, TokenCount
from schemas.events import Usage

BYTES_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
"""What a chat template puts around each message."""


def estimated_tokens(text: str) -> int:
    """Roughly how many tokens a text is. Bytes, not characters: what is rare in a tokenizer's data (Vietnamese marks,
    Chinese characters) takes more of both."""
    return tokens_of(len(text.encode()))


def tokens_of(size: int) -> int:
    """Roughly how many tokens a text of so many bytes is."""
    return -(-size // BYTES_PER_TOKEN)


def message_tokens(message: ChatMessage) -> int:
    return _TOKENS_PER_MESSAGE + estimated_tokens(message.content)


_MOST_TOKENS = 10**9


def _credible(count: int) -> int:
    """No call takes fewer than none or a billion tokens: a provider that says so must not stop the books."""
    return min(max(count, 0), _MOST_TOKENS)


def usage_of(said: TokenCount | None, prompt: Iterable[ChatMessage], answer: str, *, began: bool) -> Usage:
    """The usage of a call.

    Args:
        said: what the provider counted last, zeros included; nothing is added to it.
        began: whether the provider gave anything at all; what failed before that took nothing.
    """
    if said is not None:
        return Usage(
            input_tokens=_credible(said.input),
            output_tokens=_credible(said.output),
            cached_input_tokens=_credible(said.cached_input),
            source="provider",
        )
    if not began:
        return Usage()
    return Usage(input_tokens=sum(map(message_tokens, prompt)), output_tokens=estimated_tokens(answer))

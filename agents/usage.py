"""What an answer took: what the provider says, else a count of our own, which says that it is an estimate."""

from collections.abc import Iterable
from typing import Final

from rs_bpe.bpe import openai

from agents.provider import ChatMessage, TokenCount
from schemas.events import Usage

_TOKENIZER: Final = openai.o200k_base()
"""The vocabulary of OpenAI's newer models, for whatever model: ADR 0040 says why one is enough for an estimate."""

_TOKENS_PER_MESSAGE: Final = 4
"""What a chat template puts around each message."""

BYTES_PER_TOKEN: Final = 4
"""Of most languages, and roughly: for what has a size and no text yet."""


def estimated_tokens(text: str) -> int:
    """How many tokens a text is, as a tokenizer counts that need not be the provider's."""
    count: int = _TOKENIZER.count(text)
    return count


class Spoken:
    """A text that grows, and whether it is so many tokens yet.

    Pieces that are counted one by one come to more than their whole, so the whole is counted when they come to the
    limit. Counting it at each piece would take the square of the text's length.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._most = 0

    def add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._most += estimated_tokens(piece)

    def reaches(self, tokens: int) -> bool:
        if self._most >= tokens:
            self._pieces = ["".join(self._pieces)]
            self._most = estimated_tokens(self._pieces[0])
        return self._most >= tokens


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

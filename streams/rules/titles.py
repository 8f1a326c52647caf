"""What a conversation is called after its first exchange. Pure: the same words give the same title."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

LONGEST: Final = 60
"""Characters at most: a line in a narrow list."""
_FEWEST_WORDS: Final = 3
"""A question of fewer words ("Hello!", "and now?") says less of what it is about than its answer."""

_FENCE: Final = re.compile(r"^\s*(```|~~~)")
_BLOCK_MARK: Final = re.compile(r"^\s*(?:#{1,6}\s+|>\s?|[-*+]\s+|\d{1,3}[.)]\s+)+")
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_INLINE_MARK: Final = re.compile(r"[*`~]+|(?<!\w)_+|_+(?!\w)")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])\s|(?<=[。！？])")
_EDGES: Final = " \t.,:;-–—…。、"


def title_of(question: str, answer: str) -> str | None:
    """The first sentence of the question, or of its answer where only that says enough; None where neither says
    anything in words."""
    asked, answered = _first_sentence(question), _first_sentence(answer)
    chosen = next((said for said in (asked, answered) if _says_enough(said)), asked or answered)
    return _shortened(chosen) or None


def _first_sentence(text: str) -> str:
    for line in _lines(text):
        plain = _INLINE_MARK.sub("", _LINK.sub(r"\1", _BLOCK_MARK.sub("", line)))
        plain = " ".join("".join(c if _is_shown(c) else " " for c in plain).split())
        if any(character.isalnum() for character in plain):
            return _SENTENCE_END.split(plain, maxsplit=1)[0].strip(_EDGES)
    return ""


def _lines(text: str) -> Iterator[str]:
    """The lines outside of code; code where there is nothing else."""
    inside, code = False, []
    found = False
    for line in text.splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif inside:
            code.append(line)
        else:
            found = found or any(character.isalnum() for character in line)
            yield line
    if not found:
        yield from code


def _is_shown(character: str) -> bool:
    """Neither a control character nor one that turns the direction of what follows; joiners hold emoji together."""
    return character in "\u200c\u200d" or unicodedata.category(character)[0] != "C"


def _says_enough(text: str) -> bool:
    if len(text.split()) >= _FEWEST_WORDS:
        return True
    # Chinese and Japanese are written without spaces between words.
    return len(text) >= _FEWEST_WORDS + 1 and any(unicodedata.east_asian_width(c) == "W" and c.isalpha() for c in text)


def _shortened(text: str) -> str:
    """At most `LONGEST` characters, cut between words where there is a place to."""
    text = unicodedata.normalize("NFC", text)
    if len(text) <= LONGEST:
        return text
    cut = text[: LONGEST - 1]
    head = cut.rpartition(" ")[0]
    return (head if len(head) >= LONGEST // 2 else cut).rstrip(_EDGES) + "…"

"""Who is mentioned in a text: `@` and somebody's name as it is shown, or their e-mail address.

A name counts whole, in any case, whatever the spaces in it are; the longest that fits does. Where two people have one
name, both are meant: one notification too many is the lesser evil, and an address means one person alone.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct


class Person(Struct, frozen=True):
    """Somebody who can be mentioned; `email` is None where they have none."""

    user_id: str
    display_name: str
    email: str | None


_SPACES = re.compile(r"\s+")
_AT = re.compile(r"(?<!\w)@(?=\S)")
_GOES_ON = re.compile(r"\w|[.@-]\w")
"""What follows a name that was only the beginning of another word or address."""


def mentioned(text: str, people: Iterable[Person]) -> set[str]:
    """The ids of those who are mentioned."""
    if "@" not in text:
        return set()
    named: defaultdict[str, set[str]] = defaultdict(set)
    for person in people:
        for name in (person.display_name, person.email):
            if name is not None:
                named[_folded(name)].add(person.user_id)
    lengths = sorted({len(name) for name in named}, reverse=True)
    said = _folded(text)
    found: set[str] = set()
    for at in _AT.finditer(said):
        for length in lengths:
            end = at.end() + length
            if (who := named.get(said[at.end() : end])) and not _GOES_ON.match(said, end):
                found |= who
                break
    return found


def _folded(text: str) -> str:
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text).casefold())

"""Where each message of a conversation stands among others like it. Pure.

Answers to one question are siblings, and so are questions with one parent: what was regenerated, and what was said
differently. The newest path leads from the newest question back to the first, each with its newest answer: what an
agent is shown, and what people are shown first.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Line: TypeAlias = tuple[str, str, str | None]
"""A message's id, its role (`user` or `assistant`), and its parent's id: the question for an answer, the question
before for a question."""


@dataclass(frozen=True, slots=True)
class Place:
    """`number` of `siblings` in the order in which they were said; 1 of 1 where there is no other."""

    number: int
    siblings: int
    on_newest_path: bool


def newest_path(lines: Sequence[Line]) -> list[str]:
    """The ids of the newest path, from its first message on. `lines` stand in the order in which they were said."""
    newest_answer = {parent: id for id, role, parent in lines if role != "user"}
    parents = {id: parent for id, role, parent in lines if role == "user"}
    question = next((id for id, role, _ in reversed(lines) if role == "user"), None)
    path = []
    while question is not None:
        if (answer := newest_answer.get(question)) is not None:
            path.append(answer)
        path.append(question)
        question = parents.get(question)
    return path[::-1]


def places(lines: Sequence[Line]) -> dict[str, Place]:
    """The place of each message, by its id."""
    path = set(newest_path(lines))
    siblings = Counter((role, parent) for _, role, parent in lines)
    said: Counter[tuple[str, str | None]] = Counter()
    found = {}
    for id, role, parent in lines:
        said[role, parent] += 1
        found[id] = Place(said[role, parent], siblings[role, parent], id in path)
    return found

"""Texts of people in events: seen as sealed, or opened with the keys of those they belong to. Pure: no I/O."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from schemas import events, ids
from schemas.sealing import CannotUnseal, DataKey, owner_of

Show = Callable[[str, str], str]
"""What to show of a text, by the id of the thing it belongs to and its sealed form."""

_SEALED = re.compile(rb"1\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.([0-9A-Za-z_=-]+)")


def with_texts(event: Any, show: Show) -> Any:
    """The event with every text of a person replaced by what `show` makes of it."""
    match event:
        case events.ConversationAdvanced():
            return replace(event, facts=[_fact(event.conversation_id, fact, show) for fact in event.facts])
        case events.SendMessage():
            return replace(event, content=show(event.message_id, event.content))
        case events.RunEndedReport() if event.content:
            title = event.title and show(event.conversation_id, event.title)
            return replace(event, content=show(ids.answer_id(event.run_id), event.content), title=title)
        case events.CreateConversation() | events.UpdateConversation() if event.title:
            return replace(event, title=show(event.conversation_id, event.title))
        case events.AnswerRequested():
            return replace(event, context=[replace(m, content=show(m.message_id, m.content)) for m in event.context])
        case _:
            return event


def _fact(conversation_id: str, fact: events.AnyFact, show: Show) -> events.AnyFact:
    match fact:
        case events.MessagePosted():
            return replace(fact, content=show(fact.message_id, fact.content))
        case events.ConversationCreated() | events.ConversationUpdated() if fact.title:
            return replace(fact, title=show(conversation_id, fact.title))
        case _:
            return fact


def owners(event: Any) -> set[str]:
    """Whose keys open the event's texts."""
    found: set[str] = set()

    def note(_thing_id: str, sealed: str) -> str:
        try:
            found.add(owner_of(sealed))
        except CannotUnseal:
            pass  # it is shown as what it is
        return sealed

    with_texts(event, note)
    return found


def sealed(_thing_id: str, text: str) -> str:
    """That there is a text, and how long it is about: the sealed form is longer than what is in it."""
    return f"<sealed, {len(text)} bytes>"


class Opener:
    """Opens texts with these keys, None where one was destroyed.

    `deleted` holds the ids of the things whose key is gone: their text is empty.
    """

    def __init__(self, keys: Mapping[str, DataKey | None]) -> None:
        self._keys = keys
        self.deleted: list[str] = []

    def __call__(self, thing_id: str, text: str) -> str:
        """The text; what cannot be opened stays sealed."""
        try:
            key = self._keys[owner_of(text)]
            if key is not None:
                return key.unseal(thing_id, text)
        except CannotUnseal:
            return text
        self.deleted.append(thing_id)
        return ""

    def quoted(self, thing_id: str, text: str) -> str:
        """The text for a person: in quotes, so that what only stands for a text is not taken for one."""
        before = len(self.deleted)
        plain = self(thing_id, text)
        if len(self.deleted) > before:
            return "<deleted>"
        return "<does not open>" if plain == text else f'"{plain}"'


def shortened(value: bytes) -> bytes:
    """A record's value with the long sealed forms cut down to what they are."""
    return _SEALED.sub(lambda found: sealed("", found[0].decode()).encode(), value)

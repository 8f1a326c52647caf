"""A record with its texts opened: what projections store and tell, and what an audit compares."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from schemas import events
from schemas.sealing import DataKey, owner_of

_TITLED = (events.ConversationCreated, events.ConversationUpdated)


@dataclass(frozen=True, slots=True)
class Opened:
    """A record whose texts are plain.

    Attributes:
        gone: ids of the things (messages; the conversation, for its title) whose key was destroyed: such a content is
            empty, such a title is null.
    """

    record: events.ConversationAdvanced
    gone: frozenset[str] = frozenset()


def owners(record: events.ConversationAdvanced) -> Iterator[str]:
    """Whose keys open this record's texts.

    Raises:
        schemas.sealing.CannotUnseal: a text is not in sealed form.
    """
    for fact in record.facts:
        if isinstance(fact, events.MessagePosted):
            yield owner_of(fact.content)
        elif isinstance(fact, _TITLED) and fact.title:
            yield owner_of(fact.title)


def opened(record: events.ConversationAdvanced, keys: Mapping[str, DataKey | None]) -> Opened:
    """Open a record's texts. `keys` knows all its `owners`, None where a key was destroyed.

    Raises:
        schemas.sealing.CannotUnseal: a text does not open with the key of its owner.
    """
    gone: set[str] = set()
    facts = list(record.facts)
    for n, fact in enumerate(facts):
        if isinstance(fact, events.MessagePosted):
            content = _text(fact.content, fact.message_id, keys)
            if content is None:
                gone.add(fact.message_id)
            facts[n] = replace(fact, content=content or "")
        elif isinstance(fact, _TITLED) and fact.title:
            title = _text(fact.title, record.conversation_id, keys)
            if title is None:
                gone.add(record.conversation_id)
            facts[n] = replace(fact, title=title)
    return Opened(replace(record, facts=facts), frozenset(gone))


def closed(record: events.ConversationAdvanced) -> Opened:
    """The record as if every key that sealed its texts were destroyed."""
    gone: set[str] = set()
    facts = list(record.facts)
    for n, fact in enumerate(facts):
        if isinstance(fact, events.MessagePosted):
            gone.add(fact.message_id)
            facts[n] = replace(fact, content="")
        elif isinstance(fact, _TITLED) and fact.title:
            gone.add(record.conversation_id)
            facts[n] = replace(fact, title=None)
    return Opened(replace(record, facts=facts), frozenset(gone))


def _text(sealed: str, thing_id: str, keys: Mapping[str, DataKey | None]) -> str | None:
    key = keys[owner_of(sealed)]
    return None if key is None else key.unseal(thing_id, sealed)

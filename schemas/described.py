"""The events as JSON Schema (draft 2020-12): what an outside reader of a topic needs besides a Kafka client."""

from typing import Any

import msgspec

from schemas import events
from schemas.contract import EventType

Schema = dict[str, Any]

UNKNOWN_FACT = "UnknownFact"
"""Title of the member that stands for the facts of later versions: a union that has it is open."""


def schema_of(kind: EventType[Any]) -> Schema:
    """The schema of one type of event, complete in itself."""
    if kind.event is events.ConversationAdvanced:
        return {"$schema": _DIALECT, "title": kind.name, **_advanced("#/$defs/{name}")}
    [reference], definitions = msgspec.json.schema_components([kind.event], ref_template="#/$defs/{name}")
    return {"$schema": _DIALECT, "title": kind.name, **reference, "$defs": definitions}


def components_of(types: list[type], ref_template: str) -> dict[str, Schema]:
    """The schemas of structs and all they are made of, by name, for a document that holds many.

    Args:
        ref_template: where `{name}` is to be found in that document.
    """
    plain = [t for t in types if t is not events.ConversationAdvanced]
    _, definitions = msgspec.json.schema_components([*plain, events.KnownAdvanced], ref_template=ref_template)
    return _opened(definitions)


_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _advanced(ref_template: str) -> Schema:
    _, definitions = msgspec.json.schema_components([events.KnownAdvanced], ref_template=ref_template)
    name = events.ConversationAdvanced.__name__
    return {"$ref": ref_template.format(name=name), "$defs": _opened(definitions)}


def _opened(definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Readers accept facts that they do not know, so the schema says so."""
    record = definitions.pop(events.KnownAdvanced.__name__)
    record["title"] = events.ConversationAdvanced.__name__
    record["description"] = events.ConversationAdvanced.__doc__
    known = record["properties"]["facts"]["items"]
    known.pop("discriminator", None)  # it would have no place for the facts to come
    known["anyOf"].append(
        {
            "title": UNKNOWN_FACT,
            "description": "A fact of a later version: keep it, and let it change nothing.",
            "type": "object",
            "properties": {"fact": {"type": "string", "not": {"enum": sorted(map(str, events.KNOWN_TAGS))}}},
            "required": ["fact"],
        }
    )
    return {**definitions, events.ConversationAdvanced.__name__: record}

"""Whether two versions of an event's schema understand each other, both ways.

A replay reads the oldest record there is with the newest code, and while a deployment rolls out, old code reads new
records. So a later version may add fields that need not be there, and members of open unions; nothing else. Every
version is held against every earlier one (full, transitive).
"""

from typing import Any, NamedTuple

from schemas.described import UNKNOWN_FACT, Schema

_MEANING = (
    "type",
    "enum",
    "const",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "default",
    "contentEncoding",
)
"""Keywords whose every change narrows or widens what is written, or gives an old record another meaning."""


def breaks(old: Schema, new: Schema) -> list[str]:
    """What of `new` does not go together with `old`, a sentence each; empty where they understand each other."""
    return _compare(old, new, _Documents(old, new), "event", frozenset())


class _Documents(NamedTuple):
    """The two whole schemas, where references lead."""

    old: Schema
    new: Schema


def _follow(schema: Schema, document: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _compare(old: Schema, new: Schema, documents: _Documents, path: str, seen: frozenset[tuple[int, int]]) -> list[str]:
    old, new = _follow(old, documents.old), _follow(new, documents.new)
    pair = (id(old), id(new))
    if pair in seen:  # a type that holds itself
        return []
    seen |= {pair}
    if "anyOf" in old or "anyOf" in new:
        return _compare_unions(old, new, documents, path, seen)
    found = [
        f"{path}: {keyword} was {old.get(keyword, 'absent')!r} and is {new.get(keyword, 'absent')!r}"
        for keyword in _MEANING
        if old.get(keyword, ...) != new.get(keyword, ...)
    ]
    found += _compare_objects(old, new, documents, path, seen)
    for keyword in ("items", "additionalProperties"):
        before, after = old.get(keyword), new.get(keyword)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _compare(before, after, documents, f"{path}[]", seen)
        elif before != after:
            found.append(f"{path}: {keyword} was {before!r} and is {after!r}")
    return found


def _compare_objects(
    old: Schema, new: Schema, documents: _Documents, path: str, seen: frozenset[tuple[int, int]]
) -> list[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    had_to, has_to = set(old.get("required", ())), set(new.get("required", ()))
    found = [f"{path}.{name}: removed" for name in before if name not in after]
    for name, schema in after.items():
        if name not in before:
            if name in has_to:
                found.append(f"{path}.{name}: added as required, but old records do not have it")
            continue
        if (name in had_to) != (name in has_to):
            found.append(f"{path}.{name}: {'was' if name in had_to else 'is'} required, and is not in the other")
        found += _compare(before[name], schema, documents, f"{path}.{name}", seen)
    return found


def _compare_unions(
    old: Schema, new: Schema, documents: _Documents, path: str, seen: frozenset[tuple[int, int]]
) -> list[str]:
    before = _members(old, documents.old)
    after = _members(new, documents.new)
    is_open = UNKNOWN_FACT in before and UNKNOWN_FACT in after
    found = [f"{path}: can no longer be {name}" for name in before if name not in after]
    if not is_open:
        found += [f"{path}: can now be {name}" for name in after if name not in before]
    if old.get("default", ...) != new.get("default", ...):
        found.append(f"{path}: default was {old.get('default', 'absent')!r} and is {new.get('default', 'absent')!r}")
    for name in before:
        if name in after and name != UNKNOWN_FACT:  # what is unknown shrinks by what becomes known
            found += _compare(before[name], after[name], documents, f"{path}<{name}>", seen)
    return found


def _members(schema: Schema, document: Schema) -> dict[str, Schema]:
    """The members of a union by what tells them apart: a tag, a title, or the plain type."""
    members = [_follow(member, document) for member in schema.get("anyOf", [schema])]
    return {_name(member): member for member in members}


def _name(member: Schema) -> str:
    for schema in member.get("properties", {}).values():
        if len(schema.get("enum", ())) == 1:
            return str(schema["enum"][0])
    return str(member.get("title") or member.get("type"))

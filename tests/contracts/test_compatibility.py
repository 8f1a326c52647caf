"""A change that old or new readers would not understand is refused: each kind is seen to be."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from schemas.compatibility import breaks
from schemas.generate import ROOT, VERSIONS, Incompatible, generated, versions

Change = Callable[[dict[str, Any]], None]

SCHEMA: dict[str, Any] = {
    "$ref": "#/$defs/Said",
    "$defs": {
        "Said": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "pattern": "^[0-9]+$"},
                "note": {"type": "string", "default": ""},
                "by": {"anyOf": [{"$ref": "#/$defs/Person"}, {"type": "null"}], "default": None},
                "facts": {
                    "type": "array",
                    "items": {
                        "anyOf": [
                            {"$ref": "#/$defs/Posted"},
                            {"title": "UnknownFact", "type": "object", "properties": {"fact": {"not": {"enum": []}}}},
                        ]
                    },
                },
                "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            },
            "required": ["id", "facts"],
        },
        "Person": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "Posted": {
            "type": "object",
            "properties": {"fact": {"enum": ["posted"]}, "text": {"type": "string"}, "reply": {"$ref": "#/$defs/Said"}},
            "required": ["fact", "text"],
        },
    },
}


def said(schema: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"]["Said"]["properties"]  # type: ignore[no-any-return]


def posted(schema: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"]["Posted"]["properties"]  # type: ignore[no-any-return]


def add_an_optional_field(s: dict[str, Any]) -> None:
    said(s)["later"] = {"type": "integer", "default": 0}


def add_a_fact(s: dict[str, Any]) -> None:
    s["$defs"]["Pinned"] = {"type": "object", "properties": {"fact": {"enum": ["pinned"]}}, "required": ["fact"]}
    said(s)["facts"]["items"]["anyOf"].insert(0, {"$ref": "#/$defs/Pinned"})
    said(s)["facts"]["items"]["anyOf"][-1]["properties"]["fact"]["not"]["enum"].append("pinned")


def say_it_better(s: dict[str, Any]) -> None:
    s["$defs"]["Said"]["description"] = "What was said."


def remove_a_field(s: dict[str, Any]) -> None:
    del said(s)["note"]


def add_a_required_field(s: dict[str, Any]) -> None:
    said(s)["later"] = {"type": "integer"}
    s["$defs"]["Said"]["required"].append("later")


def require_a_field(s: dict[str, Any]) -> None:
    s["$defs"]["Said"]["required"].append("note")


def require_a_field_no_more(s: dict[str, Any]) -> None:
    s["$defs"]["Said"]["required"].remove("id")


def change_a_type(s: dict[str, Any]) -> None:
    said(s)["note"]["type"] = "integer"


def widen_a_type(s: dict[str, Any]) -> None:
    said(s)["note"] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": ""}


def narrow_a_type(s: dict[str, Any]) -> None:
    said(s)["by"] = {"$ref": "#/$defs/Person"}


def tighten_a_pattern(s: dict[str, Any]) -> None:
    said(s)["id"]["pattern"] = "^[1-9]+$"


def limit_a_length(s: dict[str, Any]) -> None:
    said(s)["note"]["maxLength"] = 10


def change_a_default(s: dict[str, Any]) -> None:
    said(s)["note"]["default"] = "none"


def change_a_tag(s: dict[str, Any]) -> None:
    posted(s)["fact"]["enum"] = ["message"]


def remove_a_fact(s: dict[str, Any]) -> None:
    del said(s)["facts"]["items"]["anyOf"][0]


def change_inside_a_fact(s: dict[str, Any]) -> None:
    posted(s)["text"]["type"] = "integer"


def change_inside_a_nullable(s: dict[str, Any]) -> None:
    s["$defs"]["Person"]["properties"]["name"]["type"] = "integer"


def change_the_values_of_a_map(s: dict[str, Any]) -> None:
    said(s)["counts"]["additionalProperties"]["type"] = "string"


def close_the_facts(s: dict[str, Any]) -> None:
    del said(s)["facts"]["items"]["anyOf"][-1]


@pytest.mark.parametrize("change", [add_an_optional_field, add_a_fact, say_it_better])
def test_what_everybody_understands_is_allowed(change: Change) -> None:
    """Fields that need not be there, facts that readers pass over, and prose may be added."""
    new = deepcopy(SCHEMA)
    change(new)

    assert new != SCHEMA
    assert breaks(SCHEMA, new) == []


@pytest.mark.parametrize(
    ("change", "at"),
    [
        (remove_a_field, "event.note: removed"),
        (add_a_required_field, "event.later: added as required"),
        (require_a_field, "event.note: is required"),
        (require_a_field_no_more, "event.id: was required"),
        (change_a_type, "event.note: type was 'string' and is 'integer'"),
        (widen_a_type, "event.note: can now be null"),
        (narrow_a_type, "event.by: can no longer be null"),
        (tighten_a_pattern, "event.id: pattern"),
        (limit_a_length, "event.note: maxLength"),
        (change_a_default, "event.note: default"),
        (change_a_tag, "event.facts[]: can no longer be posted"),
        (remove_a_fact, "event.facts[]: can no longer be posted"),
        (change_inside_a_fact, "event.facts[]<posted>.text: type"),
        (change_inside_a_nullable, "name: type"),
        (change_the_values_of_a_map, "event.counts[]: type"),
        (close_the_facts, "event.facts[]: can no longer be UnknownFact"),
    ],
)
def test_what_somebody_would_not_understand_is_refused(change: Change, at: str) -> None:
    """Each kind of breaking change is found, and the sentence says where."""
    new = deepcopy(SCHEMA)
    change(new)

    found = breaks(SCHEMA, new)

    assert any(at in sentence for sentence in found), found


FOLDERS = sorted(path for path in (ROOT / VERSIONS).glob("*/*") if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_version_goes_together_with_every_earlier_one(folder: Path) -> None:
    """Full and transitive: a replay reads the oldest record there is."""
    schemas = [json.loads(path.read_text()) for path in versions(folder)]

    assert schemas
    for n, old in enumerate(schemas):
        for new in schemas[n + 1 :]:
            assert breaks(old, new) == []


def test_the_generator_refuses_a_breaking_change(tmp_path: Path) -> None:
    """Against a committed version that says otherwise, nothing is generated, and the reason names version and field."""
    folder = VERSIONS / "conversation-commands" / "chorus.message.send.v1"
    committed = versions(ROOT / folder)[-1]
    schema = json.loads(committed.read_text())
    schema["$defs"]["SendMessage"]["properties"]["priority"] = {"type": "integer"}
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "0001.json").write_text(json.dumps(schema))

    with pytest.raises(Incompatible, match=r"0001\.json:\n  event\.priority: removed"):
        generated(tmp_path)


def test_the_generator_adds_a_version_beside_the_earlier_ones(tmp_path: Path) -> None:
    """Where the code has a field more than the last version, the next version says so, and the last one stays."""
    folder = VERSIONS / "conversation-commands" / "chorus.message.send.v1"
    schema = json.loads(versions(ROOT / folder)[-1].read_text())
    del schema["$defs"]["SendMessage"]["properties"]["when_busy"]
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "0001.json").write_text(json.dumps(schema))

    files = generated(tmp_path)

    assert folder / "0002.json" in files
    assert folder / "0001.json" not in files

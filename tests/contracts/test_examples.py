"""The examples beside the schemas are true, and nothing is without one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas import events
from schemas.contract import Contract, InvalidRecord
from schemas.conversation import ConversationView, apply
from schemas.generate import ROOT, VERSIONS, versions
from schemas.opened import opened, owners
from schemas.sealing import DataKey
from schemas.topics import CONVERSATION_EVENTS, TOPICS

EXAMPLES = ROOT / "schemas" / "examples"
EXAMPLE_KEY = bytes(range(32))
"""The data key of every person in the examples, as their README says."""

CONTRACTS: dict[str, Contract[Any]] = {topic.name: topic.contract for topic in TOPICS if topic.contract}
KEYS = {topic.name: topic.key for topic in TOPICS}
TYPES = [(topic, name) for topic, contract in CONTRACTS.items() for name in contract.types]


@dataclass(frozen=True)
class Example:
    topic: str
    type: str
    situation: str
    record: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.type}/{self.situation}"

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        return [(name, value.encode()) for name, value in self.record["headers"].items()]

    @property
    def value(self) -> bytes:
        return json.dumps(self.record["value"]).encode()

    def decoded(self) -> Any:
        event, _ = CONTRACTS[self.topic].decode(self.value, self.headers)
        return event


def _read(path: Path) -> Example:
    topic, kind, file = path.relative_to(EXAMPLES).parts
    return Example(topic, kind, file.removesuffix(".json"), json.loads(path.read_text()))


ALL = [_read(path) for path in sorted(EXAMPLES.glob("*/*/*.json"))]
each_example = pytest.mark.parametrize("example", ALL, ids=str)
each_type = pytest.mark.parametrize(("topic", "name"), TYPES)


@each_type
def test_every_type_has_examples_of_several_situations(topic: str, name: str) -> None:
    """No event type is without at least two examples."""
    assert len([e for e in ALL if (e.topic, e.type) == (topic, name)]) >= 2


def test_no_example_and_no_schema_is_of_a_type_that_is_not_there() -> None:
    """Whatever stands in the folders belongs to a contract; a type that was written once is never removed."""
    examples = {(e.topic, e.type) for e in ALL}
    described = {path.relative_to(ROOT / VERSIONS).parts[:2] for path in (ROOT / VERSIONS).glob("*/*/*.json")}

    assert examples == set(TYPES)
    assert described == set(TYPES)


def test_every_fact_has_an_example() -> None:
    """Each kind of fact stands in some example, and one that no reader knows does too."""
    facts = {fact["fact"] for e in ALL if e.topic == "conversation-events" for fact in e.record["value"]["facts"]}

    assert facts > {str(tag) for tag in events.KNOWN_TAGS}


@each_example
def test_an_example_is_read_and_written_as_it_is(example: Example) -> None:
    """Decoding and encoding an example gives the same value and headers: nothing is lost, and nothing made up but the
    defaults of fields that are younger than the example."""
    contract = CONTRACTS[example.topic]
    event, envelope = contract.decode(example.value, example.headers)
    value, headers = contract.encode(
        event, id=envelope.id, source=envelope.source, time=envelope.time, traceparent=envelope.traceparent
    )

    assert _within(example.record["value"], json.loads(value)) == example.record["value"]
    assert contract.decode(value, headers)[0] == event
    assert dict(headers) == dict(example.headers)
    assert example.record["headers"]["ce_type"] == example.type
    assert example.record["key"] == getattr(event, KEYS[example.topic])


def _within(old: Any, new: Any) -> Any:
    """Of the new value what the old one has a place for."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: _within(old.get(name), inner) for name, inner in new.items() if name in old}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_within(*both) for both in zip(old, new, strict=True)]
    return new


@each_example
def test_an_example_is_what_every_version_of_its_schema_says(example: Example) -> None:
    """Readers of every version that ever was can read it."""
    for path in versions(ROOT / VERSIONS / example.topic / example.type):
        jsonschema.validate(example.record["value"], json.loads(path.read_text()))


def _added_to_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {**{name: _added_to_all(inner) for name, inner in value.items()}, "field_of_a_later_version": [1, {}]}
    return [_added_to_all(inner) for inner in value] if isinstance(value, list) else value


@each_example
def test_unknown_fields_are_accepted(example: Example) -> None:
    """A field of a later version, at any place, changes nothing for today's reader."""
    grown = Example(
        example.topic, example.type, "", {**example.record, "value": _added_to_all(example.record["value"])}
    )
    event = grown.decoded()
    if isinstance(event, events.ConversationAdvanced):
        event = _without_unknown(event)
        assert event == _without_unknown(example.decoded())
    else:
        assert event == example.decoded()
    for path in versions(ROOT / VERSIONS / example.topic / example.type):
        jsonschema.validate(grown.record["value"], json.loads(path.read_text()))


def _without_unknown(record: events.ConversationAdvanced) -> list[events.AnyFact]:
    return [fact for fact in record.facts if not isinstance(fact, events.UnknownFact)]


@each_example
def test_a_field_of_another_type_is_refused(example: Example) -> None:
    """What is not what its type says is no record of the topic."""
    key = KEYS[example.topic]
    wrong = {**example.record["value"], key: 7}
    with pytest.raises(InvalidRecord, match=key):
        Example(example.topic, example.type, "", {**example.record, "value": wrong}).decoded()


def test_unknown_facts_are_kept_and_change_nothing() -> None:
    """A fact of a later version comes out as it went in, and the fold goes on past it."""
    [example] = [e for e in ALL if e.situation == "with_a_fact_of_a_later_version"]
    record = example.decoded()
    [fact] = record.facts

    assert isinstance(fact, events.UnknownFact)
    assert fact.fact == "message.pinned"
    value, _ = CONVERSATION_EVENTS.encode(record, id="x", source="/test", time=record.at)
    assert json.loads(value) == example.record["value"]


def test_the_texts_of_the_examples_open() -> None:
    """Whoever writes a reader can try it on the examples: all their texts open with the key that the README names,
    and the records of the conversation fold into it."""
    records = sorted((e.decoded() for e in ALL if e.topic == "conversation-events"), key=lambda r: r.position)
    assert isinstance(records[0], events.ConversationAdvanced)
    view: ConversationView | None = None
    texts = []
    for record in records:
        plain = opened(record, {owner: DataKey.of(owner, EXAMPLE_KEY) for owner in owners(record)}).record
        view = apply(view, plain)
        texts += [fact.content for fact in plain.facts if isinstance(fact, events.MessagePosted)]

    assert view is not None
    assert (view.deleted, view.purged, view.archived, view.title) == (True, True, False, None)
    assert "Giá cà phê ở Đắk Lắk hôm nay thế nào?" in texts
    for example in ALL:
        event = example.decoded()
        if isinstance(event, events.SendMessage):
            key = DataKey.of(event.user_id, EXAMPLE_KEY)
            said = key.unseal(event.message_id, event.content)
            assert key.digest(said if event.edits is None else f"{said}\0{event.edits}") == event.digest

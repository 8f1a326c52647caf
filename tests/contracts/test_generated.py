"""What is generated from the words is committed, complete, and fits together."""

from typing import Any, get_args

import jsonschema
import pytest
import yaml

from schemas import frames
from schemas.asyncapi import document
from schemas.generate import ASYNCAPI, ROOT, generated
from schemas.topics import TOPICS


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ASYNCAPI).read_text())
    return found


def test_the_generated_files_are_up_to_date() -> None:
    """`python -m schemas.generate` would change nothing."""
    files = generated(ROOT)

    stale = [
        str(path) for path, text in files.items() if not (ROOT / path).exists() or (ROOT / path).read_text() != text
    ]

    assert stale == [], "run python -m schemas.generate"


def resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [r for value in node.values() for r in references(value)]
    return [r for item in node for r in references(item)] if isinstance(node, list) else []


def test_every_reference_leads_somewhere(published: dict[str, Any]) -> None:
    """No `$ref` of the document is broken."""
    found = references(published)

    assert len(found) > 100
    for reference in found:
        assert resolve(published, reference) is not None


def test_the_document_has_what_asyncapi_3_asks_for(published: dict[str, Any]) -> None:
    """Version, info, channels with addresses and messages, operations on messages of their own channel."""
    assert published["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= published["info"].keys()
    for server in published["servers"].values():
        assert {"host", "protocol"} <= server.keys()
    for name, channel in published["channels"].items():
        assert channel["address"], name
        assert channel["messages"], name
        assert all(resolve(published, s["$ref"])["protocol"] for s in channel["servers"])
    for name, operation in published["operations"].items():
        assert operation["action"] in ("send", "receive"), name
        own = operation["channel"]["$ref"] + "/messages/"
        for message in operation.get("messages", []):
            assert message["$ref"].startswith(own), name
        for message in operation.get("reply", {}).get("messages", []):
            assert message["$ref"].startswith(operation["reply"]["channel"]["$ref"] + "/messages/"), name
    for name, schema in published["components"]["schemas"].items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            pytest.fail(f"{name}: {error.message}")
    for name, message in published["components"]["messages"].items():
        assert "payload" in message or name == "dead-letter"


def test_every_topic_is_in_it(published: dict[str, Any]) -> None:
    """Each topic and its dead letters, with every event type, partitions, retention, and who writes and reads it."""
    for topic in TOPICS:
        channel = published["channels"][topic.name]
        assert channel["messages"].keys() == (topic.contract.types.keys() if topic.contract else set())
        assert channel["bindings"]["kafka"]["partitions"] == topic.partitions
        assert channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] == topic.retention_ms
        assert topic.dead_letters in published["channels"]
        for process in topic.writers:
            assert published["operations"][f"{process}-writes-{topic.name}"]["action"] == "send"
        for process in topic.readers:
            assert published["operations"][f"{process}-reads-{topic.name}"]["action"] == "receive"


def tags(structs: tuple[Any, ...]) -> set[str]:
    return {struct.__struct_config__.tag for struct in structs}


def test_every_frame_is_in_it(published: dict[str, Any]) -> None:
    """Each command with its reply, and each push."""
    messages = published["channels"]["websocket"]["messages"]
    commands = get_args(frames.ClientFrames)

    assert set(frames.REPLIES) == set(commands)
    for command in commands:
        operation = published["operations"][f"gateway-answers-{command.__struct_config__.tag}"]
        answers = [message["$ref"].rpartition("/")[2] for message in operation["reply"]["messages"]]
        assert answers == [frames.REPLIES[command].__name__, "ErrorReply"]
    assert tags(commands) <= messages.keys()
    assert {f"push.{tag}" for tag in tags(frames.PUSHES)} <= messages.keys()
    pushed = {
        struct for struct in vars(frames).values() if isinstance(struct, type) and issubclass(struct, frames.Push)
    }
    assert pushed - {frames.Push} == set(frames.PUSHES)


def test_every_code_is_in_it(published: dict[str, Any]) -> None:
    """Each error code with its HTTP status, each close code with whether the client reconnects."""
    assert published["x-error-codes"].keys() == {code.value for code in frames.ErrorCode}
    for code, meaning in frames.ERRORS.items():
        assert published["x-error-codes"][code.value]["status"] == meaning.status
        assert published["x-error-codes"][code.value]["retryable"] == meaning.retryable
    assert published["x-close-codes"].keys() == {int(code) for code in frames.CloseCode}
    for code in frames.CloseCode:
        assert published["x-close-codes"][int(code)]["reconnect"] == (code < 4500)


def test_a_broken_document_would_be_seen() -> None:
    """The check of references fails where one leads nowhere."""
    broken = document()
    del broken["components"]["schemas"]["AgentRef"]

    with pytest.raises(KeyError, match="AgentRef"):
        [resolve(broken, reference) for reference in references(broken)]

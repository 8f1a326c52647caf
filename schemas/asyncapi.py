"""The topics and the WebSocket as one AsyncAPI 3.0 document, for those who talk with Chorus from outside."""

from typing import Any, get_args

import msgspec

from schemas import frames
from schemas.described import components_of
from schemas.topics import DEAD_LETTER_RETENTION_MS, TOPICS, Topic

Node = dict[str, Any]

_SOCKET = "websocket"

_INFO = """\
Kafka's topics and the WebSocket of Chorus. Who reads topics needs their key's order only: records of one conversation
stand in one partition, in order. Texts are sealed with the data key of the person they belong to. Readers accept
unknown fields, unknown facts and unknown enum strings."""

_SOCKET_TEXT = """\
Text frames, one JSON object each. The client sends commands, each with an `id` of its own; every command gets exactly
one reply with that `id`. Pushes have a `type` and no `id`. Subprotocol `chorus.v1`; the access token travels in `hello`
or in `Sec-WebSocket-Protocol: chorus.v1, bearer.<token>`, never in the URL."""

_CLOUD_EVENT_HEADERS: Node = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "The same for the same event, however often it is written."},
        "ce_type": {"type": "string", "description": "The event's type, its version included."},
        "ce_source": {"type": "string", "description": "The kind of process that wrote it."},
        "ce_time": {"type": "string", "format": "date-time"},
        "content-type": {"type": "string", "const": "application/json"},
        "ce_subject": {"type": "string", "description": "Whom the event is about, where a type says so."},
        "traceparent": {"type": "string", "description": "W3C Trace Context, level 1."},
    },
}

_DEAD_LETTER_HEADERS: Node = {
    "type": "object",
    "description": "The record's own headers, and behind them what happened to it.",
    "properties": {
        f"dlq.{name}": {"type": "string"}
        for name in (
            "orig.topic",
            "orig.partition",
            "orig.offset",
            "orig.timestamp",
            "consumer.group",
            "stage",
            "error.class",
            "error.message",
            "attempts",
            "first_failed_at",
            "disposition",
        )
    },
}


def document() -> Node:
    """The whole document, as plain values."""
    commands: list[Any] = list(get_args(frames.ClientFrames))
    replies = list(dict.fromkeys(frames.REPLIES.values()))
    event_types = {topic.name: list(topic.contract.types.values()) for topic in TOPICS if topic.contract}
    structs = [
        *(kind.event for kinds in event_types.values() for kind in kinds),
        *commands,
        *replies,
        frames.ErrorReply,
        *frames.PUSHES,
    ]
    messages: Node = {}
    for kinds in event_types.values():
        for kind in kinds:
            messages[kind.name] = {
                "name": kind.name,
                "summary": _first_line(kind.event),
                "contentType": "application/json",
                "headers": {"$ref": "#/components/schemas/CloudEventHeaders"},
                "payload": _schema(kind.event),
            }
    messages["dead-letter"] = {
        "name": "dead-letter",
        "summary": "A record that could never be handled: key, value and headers as they were.",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
    }
    messages |= _socket_messages(commands, replies)
    channels = {topic.name: _topic(topic) for topic in TOPICS}
    channels |= {topic.dead_letters: _dead_letters(topic) for topic in TOPICS}
    channels[_SOCKET] = _socket(messages)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Chorus", "version": "1", "description": _INFO, "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {"host": "127.0.0.1:19092", "protocol": "kafka", "description": "The address of one machine."},
            _SOCKET: {"host": "127.0.0.1:8081", "protocol": "ws", "description": "Behind TLS elsewhere: wss."},
        },
        "channels": channels,
        "operations": _operations(commands, messages),
        "components": {
            "messages": messages,
            "schemas": {
                "CloudEventHeaders": _CLOUD_EVENT_HEADERS,
                "DeadLetterHeaders": _DEAD_LETTER_HEADERS,
                **components_of(structs, "#/components/schemas/{name}"),
            },
        },
        "x-error-codes": {
            code.value: {"status": meaning.status, "retryable": meaning.retryable, "message": meaning.message}
            for code, meaning in frames.ERRORS.items()
        },
        "x-close-codes": {
            int(code): {"reason": reason, "reconnect": int(code) < 4500}
            for code, reason in frames.CLOSE_REASONS.items()
        },
    }


def _schema(struct: type) -> Node:
    return {"$ref": f"#/components/schemas/{struct.__name__}"}


def _first_line(struct: type) -> str:
    text = (struct.__doc__ or "").strip()
    # A struct without a docstring has its signature there.
    return "" if text.startswith(f"{struct.__name__}(") else text.partition("\n")[0]


def _tag(struct: type) -> str:
    config: msgspec.structs.StructConfig = struct.__struct_config__  # type: ignore[attr-defined]
    return str(config.tag)


def _socket_messages(commands: list[Any], replies: list[type[msgspec.Struct]]) -> Node:
    found: Node = {}
    for command in commands:
        found[_tag(command)] = {"name": _tag(command), "summary": _first_line(command), "payload": _schema(command)}
    for reply in replies:
        answered = [_tag(command) for command, of in frames.REPLIES.items() if of is reply]
        found[reply.__name__] = {
            "name": reply.__name__,
            "summary": f"Answers {', '.join(answered)}.",
            "payload": {
                "allOf": [
                    {
                        "type": "object",
                        "properties": {"id": {"type": "integer"}, "ok": {"const": True}},
                        "required": ["id", "ok"],
                    },
                    _schema(reply),
                ]
            },
        }
    found["ErrorReply"] = {
        "name": "ErrorReply",
        "summary": "A command that was refused; `code` is one of `x-error-codes`.",
        "payload": _schema(frames.ErrorReply),
    }
    for push in frames.PUSHES:
        # `ping` goes both ways.
        found[_push(push)] = {"name": _tag(push), "summary": _first_line(push), "payload": _schema(push)}
    return found


def _push(push: type) -> str:
    return f"push.{_tag(push)}"


def _ref(*steps: str) -> Node:
    return {"$ref": "#/" + "/".join(steps)}


def _topic(topic: Topic) -> Node:
    types = topic.contract.types if topic.contract else {}
    return {
        "address": topic.name,
        "description": topic.description,
        "servers": [_ref("servers", "kafka")],
        "messages": {name: _ref("components", "messages", name) for name in types},
        "bindings": {"kafka": _kafka(topic.name, topic.partitions, topic.retention_ms, compacted=topic.compacted)},
        "x-key": topic.key,
        "x-owner": topic.owner,
    }


def _dead_letters(topic: Topic) -> Node:
    return {
        "address": topic.dead_letters,
        "description": f"What could never be handled of `{topic.name}`, byte for byte.",
        "servers": [_ref("servers", "kafka")],
        "messages": {"dead-letter": _ref("components", "messages", "dead-letter")},
        "bindings": {"kafka": _kafka(topic.dead_letters, topic.partitions, DEAD_LETTER_RETENTION_MS)},
        "x-key": topic.key,
        "x-owner": topic.owner,
    }


def _kafka(name: str, partitions: int, retention_ms: int, *, compacted: bool = False) -> Node:
    return {
        "topic": name,
        "partitions": partitions,
        "topicConfiguration": {"cleanup.policy": ["compact" if compacted else "delete"], "retention.ms": retention_ms},
        "bindingVersion": "0.5.0",
    }


def _socket(messages: Node) -> Node:
    names = [name for name, message in messages.items() if "headers" not in message]
    return {
        "address": "/v1/ws",
        "description": _SOCKET_TEXT,
        "servers": [_ref("servers", _SOCKET)],
        "messages": {name: _ref("components", "messages", name) for name in names},
        "x-max-frame-bytes": frames.MAX_FRAME_BYTES,
        "x-subprotocol": frames.SUBPROTOCOL,
    }


def _operations(commands: list[Any], messages: Node) -> Node:
    found: Node = {}
    for topic in TOPICS:
        for action, processes in (("send", topic.writers), ("receive", topic.readers)):
            for process in processes:
                found[f"{process}-{'writes' if action == 'send' else 'reads'}-{topic.name}"] = {
                    "action": action,
                    "channel": _ref("channels", topic.name),
                }
    for command in commands:
        reply = frames.REPLIES[command].__name__
        found[f"gateway-answers-{_tag(command)}"] = {
            "action": "receive",
            "channel": _ref("channels", _SOCKET),
            "messages": [_ref("channels", _SOCKET, "messages", _tag(command))],
            "reply": {
                "channel": _ref("channels", _SOCKET),
                "messages": [_ref("channels", _SOCKET, "messages", name) for name in (reply, "ErrorReply")],
            },
        }
    found["gateway-pushes"] = {
        "action": "send",
        "channel": _ref("channels", _SOCKET),
        "messages": [_ref("channels", _SOCKET, "messages", _push(push)) for push in frames.PUSHES],
    }
    return found

"""What the gateway's session answers is what the published document says."""

import json
from typing import Any

import jsonschema
import pytest

from edge.errors import Refused, invalid
from edge.session import Credentials, Send, Session, subscribed
from edge.settings import SessionSettings
from schemas import frames
from schemas.asyncapi import document
from schemas.frames import ErrorCode

PERSON = "00000000-0000-4000-8000-aaaaaaaaaaaa"
TALK = "11111111-1111-4111-8111-111111111111"

DOCUMENT = document()


def published(message: str) -> dict[str, Any]:
    """The JSON Schema of a message of the document, with what it refers to."""
    return {**DOCUMENT["components"]["messages"][message]["payload"], "components": DOCUMENT["components"]}


def frame(id: int, type: str, **fields: object) -> str:
    return json.dumps({"id": id, "type": type, **fields})


def session() -> Session:
    return Session("s", SessionSettings(), lambda _token: Credentials(PERSON, "sign-in", 3600.0), offered=None, now=0.0)


def replies() -> dict[str, Any]:
    """Replies of a session by the message of the document that describes them."""
    talking = session()
    early = talking.received(frame(1, "subscribe", conversation_id=TALK), 0.0)
    talking.received(frame(2, "hello", token="t"), 0.0)
    sent = {
        "HelloReply": talking.welcome(0.0),
        "TokenRefreshReply": talking.received(frame(3, "token.refresh", token="t"), 1.0),
        "EmptyReply": talking.received(frame(4, "ping"), 2.0),
    }
    found = {name: json.loads(send.data) for name, [send] in sent.items() if isinstance(send, Send)}
    assert isinstance(early[0], Send)
    return found | {"ErrorReply": json.loads(early[0].data)}


@pytest.mark.parametrize("message", ["HelloReply", "TokenRefreshReply", "EmptyReply", "ErrorReply"])
def test_a_reply_is_as_published(message: str) -> None:
    """It validates, and it has no field that the document does not name."""
    reply = replies()[message]

    jsonschema.validate(reply, published(message))
    struct = vars(frames)[message]
    assert reply.keys() - {"id", "ok"} <= set(struct.__struct_encode_fields__)


@pytest.mark.parametrize(
    "refused",
    [Refused(ErrorCode.RATE_LIMITED, retry_after_ms=200), invalid(title="too long"), Refused(ErrorCode.INTERNAL)],
)
def test_the_outcome_of_a_resumed_conversation_is_as_published(refused: Refused) -> None:
    """`subscribed` names the conversation, and carries the error of the table."""
    push = json.loads(subscribed(TALK, refused))

    assert push["conversation_id"] == TALK
    jsonschema.validate(push, published("push.subscribed"))
    assert push.keys() - {"type"} <= set(frames.Subscribed.__struct_encode_fields__)
    assert push["error"]["code"] in DOCUMENT["x-error-codes"]

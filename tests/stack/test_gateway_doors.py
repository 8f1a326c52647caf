"""The gateway's door: what is let in, and how what is wrong is turned away."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from edge.tokens import Tokens, TokenSettings
from infra.stack.ports import free_port
from schemas import events
from tests.conftest import StartProcess
from tests.running import Stack
from tests.stack.stage import Play, Someone, Stage, raw, staged

ORIGIN = "https://chat.example.org"
HELLO_S = 3.0
CONNECTIONS = 5


@pytest.fixture
async def stage(stack: Stack) -> AsyncIterator[Stage]:
    async with staged(stack) as stage:
        yield stage


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    """A gateway for all tests of this module."""
    port = free_port()
    running = stack.start(
        "edge",
        "gateway",
        CHORUS_WS_PORT=str(port),
        CHORUS_ORIGINS=ORIGIN,
        CHORUS_WS_HELLO_S=str(HELLO_S),
        CHORUS_WS_CONNECTIONS_PER_USER=str(CONNECTIONS),
    )
    asyncio.run(running.ready())
    return f"ws://127.0.0.1:{port}/v1/ws"


@pytest.fixture
async def ada(stage: Stage) -> Someone:
    return await stage.person()


@pytest.fixture
async def play(stage: Stage, ada: Someone) -> Play:
    return await stage.play(ada)


# -- the upgrade --


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        pytest.param("", "https://evil.example", 403, id="another origin"),
        pytest.param("", ORIGIN + ".evil.example", 403, id="an origin that begins alike"),
        pytest.param("", ORIGIN.replace("https", "http"), 403, id="another scheme"),
        pytest.param("", "null", 403, id="an opaque origin"),
        pytest.param("/other", None, 404, id="another path"),
        pytest.param("?token=secret", None, 400, id="a token in the URL"),
        pytest.param("?x=1&access_token=secret", None, 400, id="a token in the URL, by another name"),
    ],
)
async def test_upgrades_that_are_refused(url: str, path: str, origin: str | None, status: int) -> None:
    """What may not connect is told so before the upgrade."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url + path, origin=None if origin is None else Origin(origin)):
            pass

    assert refused.value.response.status_code == status


async def test_the_right_origin_and_none_are_let_in(url: str, ada: Someone) -> None:
    """Our page may connect, and programs, which send no origin."""
    for origin in (Origin(ORIGIN), None):
        async with raw(url, ada.token, origin=origin) as socket:
            assert (await socket.ask("ping"))["ok"]


async def test_a_token_beside_the_subprotocol(url: str, ada: Someone) -> None:
    """The token may come with the upgrade; what is chosen is `chorus.v1`, and the token is not echoed."""
    offered = [Subprotocol("chorus.v1"), Subprotocol(f"bearer.{ada.token}")]
    async with raw(url, subprotocols=offered) as socket:
        reply = await socket.ask("hello")

        assert reply["user"]["id"] == ada.user_id
        assert socket.connection.subprotocol == "chorus.v1"


# -- hello --


def altered(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{signature[:-4]}AAAA"


async def test_tokens_that_are_refused(url: str, stage: Stage, stack: Stack, ada: Someone) -> None:
    """Unsigned, altered, foreign and expired tokens: told, then closed; only an expired one may come back."""
    claims = jwt.decode(ada.token, options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": "local"})
    of_another_key = jwt.encode(claims, "k" * 32, algorithm="HS256", headers={"kid": "local"})
    earlier = Tokens(TokenSettings.from_env(stack.env), now=lambda: datetime.now(UTC) - timedelta(hours=2))
    for token, code, close in (
        ("nonsense", "unauthenticated", 4500),
        (altered(ada.token), "unauthenticated", 4500),
        (unsigned, "unauthenticated", 4500),
        (of_another_key, "unauthenticated", 4500),
        (earlier.mint(ada.user_id, str(uuid4())), "token_expired", 4005),
    ):
        async with raw(url) as socket:
            assert await socket.refused("hello", token=token) == code
            assert await socket.closed() == close


async def test_no_hello(url: str) -> None:
    """Who says nothing, or anything else but hello, is closed in time with 4502."""
    async with raw(url) as silent, raw(url) as rude:
        began = time.monotonic()
        assert await rude.refused("subscribe", conversation_id=str(uuid4())) == "unauthenticated"
        assert await silent.closed() == await rude.closed() == 4502
        assert HELLO_S - 0.5 <= time.monotonic() - began


async def test_too_many_connections(url: str, stage: Stage) -> None:
    """One person's connections are counted; one too many is closed with 4504, and others do not notice."""
    bob = await stage.person()
    sockets = [await connect(url, compression=None) for _ in range(CONNECTIONS)]
    try:
        for socket in sockets:
            await socket.send(json.dumps({"id": 1, "type": "hello", "token": bob.token}))
            assert json.loads(await socket.recv())["ok"]
        async with raw(url) as another:
            await another.say({"id": 1, "type": "hello", "token": bob.token})
            assert (await another.hear())["error"]["code"] == "rate_limited"
            assert await another.closed() == 4504
        await sockets.pop().close()
        async with raw(url, bob.token) as again:
            assert (await again.ask("ping"))["ok"]
    finally:
        for socket in sockets:
            await socket.close()


# -- frames --


@pytest.mark.parametrize(
    "text", ["{", "[1]", "nothing", b'{"id":1,"type":"ping"}'], ids=["cut", "list", "word", "binary"]
)
async def test_malformed_frames(url: str, ada: Someone, text: str | bytes) -> None:
    """Whoever does not speak the protocol is closed with 4501."""
    async with raw(url, ada.token) as socket:
        await socket.say(text)
        assert await socket.closed() == 4501


async def test_frames_of_the_greatest_size(url: str, ada: Someone) -> None:
    """64 KiB are taken; one byte more closes with 1009."""
    empty = json.dumps({"id": 1, "type": "ping", "fill": ""})
    async with raw(url, ada.token) as socket:
        await socket.say(empty.replace('""', '"' + "x" * (65_536 - len(empty)) + '"'))
        assert (await socket.hear())["ok"]
        await socket.say(empty.replace('""', '"' + "x" * (65_537 - len(empty)) + '"'))
        assert await socket.closed() == 1009


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param("", "invalid", id="empty"),
        pytest.param("x" * 16_001, "too_large", id="16,001 characters"),
        pytest.param("a\0b", "invalid", id="NUL"),
        pytest.param("a\ud800b", "invalid", id="half a surrogate pair"),
        pytest.param(7, "invalid", id="a number"),
        pytest.param(None, "invalid", id="null"),
    ],
)
async def test_content_that_is_refused(url: str, ada: Someone, play: Play, content: object, code: str) -> None:
    """Content is 1 to 16,000 characters of text; what is not is refused by name, and the connection goes on."""
    async with raw(url, ada.token) as socket:
        reply = await socket.ask(
            "message.send", conversation_id=play.conversation_id, client_message_id=str(uuid4()), content=content
        )
        assert (reply["error"]["code"], list(reply["error"]["fields"])) == (code, ["content"])
        assert (await socket.ask("ping"))["ok"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"conversation_id": "not-one"}, "conversation_id", id="bad UUID"),
        pytest.param({"client_message_id": "1"}, "client_message_id", id="bad client id"),
        pytest.param({"client_message_id": None}, "client_message_id", id="null id"),
        pytest.param({"when_busy": "whenever"}, "when_busy", id="unknown way"),
        pytest.param({"agent_id": 5}, "agent_id", id="ill-typed agent"),
    ],
)
async def test_fields_that_are_refused(
    url: str, ada: Someone, play: Play, fields: dict[str, object], field: str
) -> None:
    """What is wrong is named."""
    message = {"conversation_id": play.conversation_id, "client_message_id": str(uuid4()), "content": "hello"}
    async with raw(url, ada.token) as socket:
        reply = await socket.ask("message.send", **(message | fields))
        assert (reply["error"]["code"], list(reply["error"]["fields"])) == ("invalid", [field])
        unknown = await socket.ask("message.sing", **message)
        assert list(unknown["error"]["fields"]) == ["type"]
        missing = await socket.ask("message.send", content="hello")
        assert missing["error"]["code"] == "invalid"


async def test_16_000_characters_are_taken(url: str, ada: Someone, play: Play) -> None:
    """The longest message is acknowledged."""
    message = {"conversation_id": play.conversation_id, "client_message_id": str(uuid4()), "agent_id": None}
    text = json.dumps({"id": 1, "type": "message.send", "content": "ế" * 16_000} | message, ensure_ascii=False)
    async with raw(url, ada.token) as socket:
        await socket.say(text)
        reply = await socket.hear()
        assert reply["ok"], reply
        assert reply["run_id"] is None


# -- others' things --


async def test_anothers_conversation_is_like_a_missing_one(url: str, stage: Stage, play: Play) -> None:
    """Every command answers the same for another's conversation as for one that never was."""
    stranger = await stage.person()
    async with raw(url, stranger.token) as socket:
        for type, fields in (
            ("subscribe", {}),
            ("conversation.update", {"title": "mine now"}),
            ("conversation.delete", {}),
            ("conversation.restore", {}),
            ("message.send", {"client_message_id": str(uuid4()), "content": "hello"}),
            ("message.regenerate", {"message_id": str(uuid4()), "client_request_id": str(uuid4())}),
            ("run.cancel", {"run_id": str(uuid4())}),
        ):
            foreign = await socket.ask(type, conversation_id=play.conversation_id, **fields)
            missing = await socket.ask(type, conversation_id=str(uuid4()), **fields)
            assert foreign == missing
            assert foreign["error"]["code"] == "not_found"
        created = await socket.ask("conversation.create", project_id=play.project_id)
        assert created["error"]["code"] == "not_found"


async def test_a_viewer_reads_and_does_not_write(url: str, stage: Stage, ada: Someone, play: Play) -> None:
    """Viewers may watch; what changes something is forbidden to them."""
    viewer = await stage.person(role="viewer", of=ada)
    here = {"conversation_id": play.conversation_id}
    async with raw(url, viewer.token) as socket:
        assert (await socket.ask("subscribe", **here))["ok"]
        for type, fields in (
            ("message.send", here | {"client_message_id": str(uuid4()), "content": "hello"}),
            ("conversation.update", here | {"archived": True}),
            ("conversation.delete", here),
            ("conversation.restore", here),
            ("run.cancel", here | {"run_id": str(uuid4())}),
            ("conversation.create", {"project_id": ada.project_id}),
        ):
            assert await socket.refused(type, **fields) == "forbidden"


async def test_archived_and_deleted_conversations_refuse(url: str, stage: Stage, ada: Someone, play: Play) -> None:
    """Nothing is said in an archived conversation; a deleted one is not there."""
    message = {"client_message_id": str(uuid4()), "content": "hello"}
    play.happen(events.ConversationUpdated(user_id=ada.user_id, archived=True))
    await play.store()
    await play.tell_all()
    gone = await stage.play(ada)
    gone.happen(events.ConversationDeleted(user_id=ada.user_id))
    await gone.store()
    async with raw(url, ada.token) as socket:
        assert await socket.refused("message.send", conversation_id=play.conversation_id, **message) == (
            "conversation_archived"
        )
        assert (await socket.ask("subscribe", conversation_id=play.conversation_id))["state"]["archived"]
        for type in ("subscribe", "message.send"):
            assert await socket.refused(type, conversation_id=gone.conversation_id, **message) == "not_found"


# -- too much --


async def test_a_thousand_commands_in_a_second(url: str, stage: Stage, ada: Someone) -> None:
    """Above the rate commands are refused with a time to wait; who goes on is closed, and others do not notice."""
    async with raw(url, ada.token) as flooding, raw(url, (await stage.person()).token) as calm:
        frames = [json.dumps({"id": n, "type": "ping"}) for n in range(3_000)]
        for frame in frames[:1_000]:
            await flooding.say(frame)
        replies = [await flooding.hear() for _ in range(1_000)]
        refused = [r for r in replies if not r["ok"]]
        assert 0 < len(refused) <= 800
        assert {r["error"]["code"] for r in refused} == {"rate_limited"}
        assert all(r["error"]["retry_after_ms"] > 0 for r in refused)
        assert (await calm.ask("ping"))["ok"]
        for frame in frames[1_000:]:
            await flooding.say(frame)
        assert await flooding.closed() == 4013


# -- time --


@pytest.mark.slow
async def test_silence_and_expiry(stage: Stage, stack: Stack, start_process: StartProcess) -> None:
    """Who does not answer two pings is closed with 4012; an expired token closes 4005 unless it is refreshed."""
    port = free_port()
    await start_process("edge", "gateway", CHORUS_WS_PORT=str(port), CHORUS_WS_PING_S="1", CHORUS_WS_GRACE_S="1")
    url = f"ws://127.0.0.1:{port}/v1/ws"
    someone, other = await stage.person(), await stage.person()
    long_ago = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=2)
    expiring = Tokens(TokenSettings.from_env(stack.env), now=lambda: long_ago).mint(someone.user_id, str(uuid4()))

    async def answer_pings(refresh: str | None) -> int:
        async with raw(url, expiring) as socket:
            if refresh is not None:
                await socket.ask("token.refresh", token=refresh)
            until = time.monotonic() + 8
            try:
                while time.monotonic() < until:
                    if json.loads(await socket.connection.recv())["type"] == "ping":
                        await socket.say({"type": "ping"})
            except ConnectionClosed:
                return await socket.closed()
            return 0

    async def be_silent() -> int:
        async with raw(url, someone.token) as socket:
            return await socket.closed()

    expired, refreshed, silent = await asyncio.gather(answer_pings(None), answer_pings(someone.token), be_silent())
    assert (expired, refreshed, silent) == (4005, 0, 4012)
    async with raw(url, someone.token) as socket:
        assert await socket.refused("token.refresh", token=other.token) == "unauthenticated"
        assert await socket.closed() == 4500

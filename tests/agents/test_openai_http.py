"""What only the HTTP client can get wrong."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from agents.answering import Answering
from agents.openai_events import EventReader
from agents.openai_http import OpenAIHTTP
from agents.provider import ChatMessage, Chunk, Prompt, ProviderError, TimeLimits, TokenCount, Trouble
from tests.agents.conftest import ScriptedHTTP, serve

PROMPT = Prompt(messages=[ChatMessage("user", "/tokens 1000 /delay 5")], params={"temperature": 0, "stream": False})
LIMITS = TimeLimits(connect_s=1, retry_s=0)

EVENTS = (
    b': keep-alive\n\nevent: x\ndata:{"choices":[{"delta":{"role":"assistant","content":null}}]}\r\n\r\n'
    b'data: {"choices": [{"delta": {"content": "Xin ch\xc3\xa0o "}}], "usage": '
    b'{"prompt_tokens": 1, "completion_tokens": 1}}\n\n'
    b'data: {"choices": [{"delta": {"content": "a\\u0000b"}, "finish_reason": null}]}\n\n'
    b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
    b'data: {"choices": [{"delta": {"content": "never"}}]}\n\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, '
    b'"prompt_tokens_details": {"cached_tokens": 4}}}\n\ndata: [DONE]\n\ndata: nonsense\n\n'
)


@given(st.lists(st.integers(0, len(EVENTS)), max_size=40))
def test_events_may_be_cut_anywhere(cuts: list[int]) -> None:
    """However the network cuts the bytes, the answer is the same."""
    reader = EventReader()
    chunks: list[Chunk] = []
    edges = sorted({0, len(EVENTS), *cuts})
    for start, end in pairwise(edges):
        if not reader.done and (chunk := reader.feed(EVENTS[start:end])) is not None:
            chunks.append(chunk)

    assert "".join(c.text for c in chunks) == "Xin chào a\ufffdb"
    assert [c.finish_reason for c in chunks if c.finish_reason] == ["stop"]
    assert [c.usage for c in chunks if c.usage][-1] == TokenCount(input=9, output=3, cached_input=4)
    assert reader.done


def test_a_line_without_end_is_refused() -> None:
    """A server cannot fill our memory with one line."""
    reader = EventReader()
    for _ in range(16):
        reader.feed(b"x" * 65_000)
    with pytest.raises(ProviderError) as caught:
        reader.feed(b"x" * 65_000)

    assert caught.value.trouble == Trouble.UNREADABLE


def test_an_error_event_fails_the_call() -> None:
    """Servers report failures inside a stream that began well."""
    with pytest.raises(ProviderError) as caught:
        EventReader().feed(b'data: {"error": {"message": "secret", "code": 500}}\n\n')

    assert caught.value.trouble == Trouble.DOWN
    assert "secret" not in str(caught.value)


async def test_cancel_reaches_the_socket(scripted_http: ScriptedHTTP) -> None:
    """The provider sees the connection go within 500 ms of a cancel, and stops computing."""
    heard = asyncio.Event()
    answering = Answering(lambda _: heard.set())
    call = asyncio.ensure_future(answering.run(scripted_http.provider(), PROMPT, LIMITS))
    await heard.wait()
    cancelled_at = time.monotonic()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    while (stats := await scripted_http.stats())["open"]:
        assert time.monotonic() - cancelled_at < 5
        await asyncio.sleep(0.01)

    assert stats["aborted"] == 1
    assert stats["calls"][0]["ended_at"] - cancelled_at < 0.5


async def test_an_answer_cut_as_too_long_frees_the_provider(scripted_http: ScriptedHTTP) -> None:
    """Nobody computes words that nobody will read."""
    answering = Answering(lambda _: None, max_bytes=20)
    await answering.run(scripted_http.provider(), PROMPT, LIMITS)
    ended_at = time.monotonic()
    while (stats := await scripted_http.stats())["open"]:
        assert time.monotonic() - ended_at < 5
        await asyncio.sleep(0.01)

    assert answering.finish_reason == "length"
    assert stats["aborted"] == 1


async def test_connections_are_used_again(scripted_http: ScriptedHTTP) -> None:
    """A finished answer leaves its connection to the next."""
    opened = 0
    trace = aiohttp.TraceConfig()

    async def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    trace.on_connection_create_end.append(count)
    async with aiohttp.ClientSession(trace_configs=[trace]) as http:
        provider = OpenAIHTTP(http, f"{scripted_http.url}/v1", "scripted", api_key=None, connect_s=1)
        for _ in range(3):
            prompt = Prompt(messages=[ChatMessage("user", "/tokens 3")])
            await Answering(lambda _: None).run(provider, prompt, LIMITS)

    assert opened == 1


async def test_nobody_listens(http: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    """A refused connection is told as an agent that cannot be reached."""
    provider = OpenAIHTTP(http, f"http://127.0.0.1:{unused_tcp_port}/v1", "m", api_key=None, connect_s=1)
    with pytest.raises(ProviderError) as caught:
        await Answering(lambda _: None).run(provider, PROMPT, LIMITS)

    assert caught.value.trouble == Trouble.UNREACHABLE
    assert caught.value.for_people.code == "agent_unavailable"


@pytest.fixture
async def answering_with(http: aiohttp.ClientSession) -> AsyncIterator[Callable[..., object]]:
    """Serve one handler as the model's server; the provider for it."""
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], object]) -> OpenAIHTTP:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handler)  # type: ignore[arg-type]
        runner, url = await serve(app)
        runners.append(runner)
        return OpenAIHTTP(http, f"{url}/v1", "a-model", api_key="sk-ours", connect_s=1)

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_asks_in_openais_words(answering_with: Callable[..., object]) -> None:
    """The request is a streaming one with usage; an agent's params are passed on and cannot change that."""
    seen: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((await request.json(), request.headers["Authorization"]))
        return web.Response(body=EVENTS)

    provider = await answering_with(handler)  # type: ignore[misc]
    await Answering(lambda _: None).run(provider, PROMPT, LIMITS)

    assert seen == [
        (
            {
                "temperature": 0,
                "model": "a-model",
                "messages": [{"role": "user", "content": "/tokens 1000 /delay 5"}],
                "stream": True,
                "stream_options": {"include_usage": True},
            },
            "Bearer sk-ours",
        )
    ]


async def test_a_redirect_is_not_followed(answering_with: Callable[..., object]) -> None:
    """A server cannot send our key elsewhere."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/"})

    provider = await answering_with(handler)  # type: ignore[misc]
    with pytest.raises(ProviderError) as caught:
        await Answering(lambda _: None).run(provider, PROMPT, LIMITS)

    assert caught.value.trouble == Trouble.REFUSED


@pytest.mark.parametrize("body", [b"", b"<html>Hello</html>\n", b'{"choices": [{"message": {"content": "no"}}]}\n'])
async def test_what_is_no_stream_fails(answering_with: Callable[..., object], body: bytes) -> None:
    """A 200 that holds no answer is a failure, not an empty answer."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body)

    provider = await answering_with(handler)  # type: ignore[misc]
    with pytest.raises(ProviderError) as caught:
        await Answering(lambda _: None).run(provider, PROMPT, LIMITS)

    assert caught.value.trouble == Trouble.BROKEN_OFF


async def test_an_end_without_done_is_an_end(answering_with: Callable[..., object]) -> None:
    """A server that closes after its finish reason has finished."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\n')

    said: list[str] = []
    answering = Answering(said.append)
    provider = await answering_with(handler)  # type: ignore[misc]
    await answering.run(provider, PROMPT, LIMITS)

    assert said == ["hi"]
    assert answering.finish_reason == "stop"


async def test_a_server_that_forgets_to_end_costs_little(answering_with: Callable[..., object]) -> None:
    """After the last word, what is missing is waited for shortly, and the answer is complete."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\n')
        await asyncio.get_running_loop().create_future()
        return response

    answering = Answering(lambda _: None)
    provider = await answering_with(handler)  # type: ignore[misc]
    began = time.monotonic()
    await answering.run(provider, PROMPT, TimeLimits(usage_s=0.2))

    assert answering.finish_reason == "stop"
    assert time.monotonic() - began < 5

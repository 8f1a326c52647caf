"""The scripted agent behind OpenAI's HTTP interface: `python -m agents scripted --port 18000`.

`POST /v1/chat/completions` (streaming only), `GET /health`, and `GET /stats`: how many calls began, ended and were
aborted by the client, and when. With a file for its calls (`--calls FILE`) it writes down each of them, as two lines of
JSON, `{"call", "asked"}` when it begins and `{"call", "outcome", "tokens"}` when it ends: who asks for money must have
called once, and what was begun is known even of a server that was killed.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
from aiohttp import web
from msgspec import Struct

from agents import script
from agents.provider import ChatMessage
from agents.scripted import Refusals, stamp

_KEPT_CALLS: Final = 2_000
"""Calls that `/stats` lists, the newest: enough for any test, little enough to be read at once."""

_BEFORE_BREAKING_S: Final = 0.02
"""Seconds: what was said is read before the connection breaks, for a client may drop what comes with the break."""


class Call(Struct, kw_only=True):
    """One call, as `/stats` tells it. Times are this machine's CLOCK_MONOTONIC, in seconds."""

    asked: str
    began_at: float
    ended_at: float | None = None
    outcome: str = "open"
    """open, answered, refused, broken (as the script says) or aborted (by the client)."""
    tokens: int = 0


class _Request(Struct):
    messages: list[ChatMessage]
    stream: bool = False
    model: str = "scripted"


_request = msgspec.json.Decoder(_Request).decode


class ScriptedServer:
    """Serves the scripts of `agents.script` over HTTP; `calls` is where each call is written down."""

    def __init__(self, manner: script.Manner, calls: Path | None = None) -> None:
        self._manner = manner
        # Unbuffered, and appended to: nothing of it is lost with the process, and a restart goes on behind it.
        self._written = None if calls is None else calls.open("ab", buffering=0)
        self._refusals = Refusals()
        self._calls: deque[Call] = deque(maxlen=_KEPT_CALLS)
        self._began = 0
        self._outcomes = {"answered": 0, "refused": 0, "broken": 0, "aborted": 0}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=16 * 2**20)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._complete),
                web.get("/health", self._health),
                web.get("/stats", self._stats),
            ]
        )
        return app

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _stats(self, _request: web.Request) -> web.Response:
        ended = sum(self._outcomes.values())
        stats = {"began": self._began, "ended": ended, "open": self._began - ended, **self._outcomes}
        return web.Response(
            body=msgspec.json.encode({**stats, "now": time.monotonic(), "calls": list(self._calls)}),
            content_type="application/json",
        )

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = _request(await request.read())
        except msgspec.DecodeError:
            return _error(400, "invalid_request_error")
        if not asked.stream:
            return _error(400, "invalid_request_error")
        plan = script.script_of(asked.messages, self._manner)
        call = Call(asked=plan.key[:200], began_at=time.monotonic())
        self._calls.append(call)
        self._began += 1
        name = uuid4().hex
        self._write(call=name, asked=plan.key)
        call_outcome = "aborted"  # unless it comes to another end: aiohttp cancels us when the client goes
        try:
            if (status := self._refusals.status_of(plan)) is not None:
                call_outcome = "refused"
                return _error(status, "scripted_refusal")
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
            await response.prepare(request)
            if await self._play(plan, call, response):
                call_outcome = "answered"
            else:
                call_outcome = "broken"
                if request.transport is not None:
                    request.transport.abort()
            return response
        except ConnectionError:
            return web.Response()
        finally:
            call.outcome = call_outcome
            call.ended_at = time.monotonic()
            self._outcomes[call_outcome] += 1
            self._write(call=name, outcome=call_outcome, tokens=call.tokens)

    def _write(self, **fields: Any) -> None:
        if self._written is not None:
            self._written.write(msgspec.json.encode(fields) + b"\n")

    async def _play(self, plan: script.Script, call: Call, response: web.StreamResponse) -> bool:
        """Say it; false where the script breaks it off."""
        loop = asyncio.get_running_loop()
        at = loop.time()
        for step in plan.steps:
            match step:
                case script.Say():
                    at += step.after_ms / 1000
                    if (wait := at - loop.time()) > 0:
                        await asyncio.sleep(wait)
                    text = stamp() if step.stamped else step.text
                    call.tokens += 1
                    await response.write(_event({"choices": [{"index": 0, "delta": {"content": text}}]}))
                case script.Count():
                    await response.write(_event({"choices": [], "usage": _usage(step)}))
                case script.Finish():
                    choice = {"index": 0, "delta": {}, "finish_reason": step.reason}
                    await response.write(_event({"choices": [choice]}))
                case script.BreakOff():
                    await asyncio.sleep(_BEFORE_BREAKING_S)
                    return False
                case script.Garble():
                    await response.write(b'data: {"choices": [{"del\n\n')
                case script.Hang():
                    await loop.create_future()
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return True


def _event(fields: Mapping[str, Any]) -> bytes:
    event = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
    return b"data: %b\n\n" % msgspec.json.encode({**event, **fields})


def _usage(step: script.Count) -> dict[str, int]:
    tokens = step.tokens
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
    }


def _error(status: int, kind: str) -> web.Response:
    message = "scripted, with a secret: sk-do-not-show-me"
    return web.json_response({"error": {"message": message, "type": kind, "code": None}}, status=status)


async def serve(
    host: str, port: int, manner: script.Manner, stopping: asyncio.Event, calls: Path | None = None
) -> None:
    """Serve until `stopping` is set; says its address on standard output."""
    runner = web.AppRunner(
        ScriptedServer(manner, calls).application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=2048)
        await site.start()
        sys.stdout.write(f"scripted agent on http://{host}:{runner.addresses[0][1]}/v1\n")
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await runner.cleanup()

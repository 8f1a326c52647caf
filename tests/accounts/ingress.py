"""A small ingress for tests: one address in front of several API processes, each with routes of its own."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

Document = Mapping[str, Any]

_UNREACHABLE = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "This part of Chorus does not answer at the moment; try again soon.",
    "code": "unavailable",
}
"""What an ingress in front of Chorus should answer for a part that is away: the problem that clients know already."""


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)))


class Ingress:
    """Sends each request to the process whose OpenAPI document has its path.

    Args:
        parts: the address of each process, and its document.
    """

    def __init__(self, http: aiohttp.ClientSession, parts: Mapping[str, Document]) -> None:
        self._http = http
        self._parts = [(_pattern(path), url) for url, document in parts.items() for path in document["paths"]]

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        url = next((url for pattern, url in self._parts if pattern.fullmatch(request.path)), None)
        if url is None:
            return web.json_response({}, status=404)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "connection")}
        try:
            async with self._http.request(
                request.method, url + request.path_qs, headers=headers, data=await request.read(), allow_redirects=False
            ) as answer:
                body = await answer.read()
                kept = {k: v for k, v in answer.headers.items() if k.lower() in ("content-type", "x-request-id")}
                return web.Response(status=answer.status, body=body, headers=kept)
        except aiohttp.ClientConnectionError:
            return web.json_response(
                _UNREACHABLE, status=503, content_type="application/problem+json", headers={"Retry-After": "1"}
            )


@asynccontextmanager
async def ingress(parts: Mapping[str, Document]) -> AsyncIterator[str]:
    """Its address while it runs."""
    async with aiohttp.ClientSession() as http:
        runner = web.ServerRunner(web.Server(Ingress(http, parts)))  # type: ignore[arg-type]
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

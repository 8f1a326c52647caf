"""An operation that will go says so, in every answer and in the OpenAPI document."""

from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import Message

from edge import problems
from edge.rest.deprecation import NOTICE, deprecated
from edge.rest.door import Door
from edge.rest.openapi import document

SINCE = datetime(2027, 1, 1, tzinfo=UTC)
SEE = "https://chorus.example/docs/old"


def application() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/v1/old", **deprecated(since=SINCE, sunset=SINCE + NOTICE, see=SEE))
    async def old(count: int = 1) -> int:
        return count

    @app.get("/v1/new")
    async def new() -> int:
        return 1

    return app


async def answered(door: Door, path: str, query: str, origin: str) -> tuple[int, Headers]:
    """The status and headers of a GET, as a server would send them."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": query.encode(),
        "headers": [(b"host", b"chorus"), (b"origin", origin.encode())], "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }  # fmt: skip
    await door(scope, receive, send)
    return sent[0]["status"], Headers(raw=sent[0]["headers"])


async def everybody(_authorization: str | None, _address: str) -> None:
    """Is let in."""


async def test_what_goes_says_so() -> None:
    """Good answers and problems alike carry `Deprecation` as RFC 9745 has it, `Sunset` as RFC 8594 has it, and a link,
    for other sites' pages, too; the document marks the operation; others say nothing."""
    origin = "https://page.example"
    door = Door(application(), frozenset({origin}), everybody)
    for query, status in (("", 200), ("count=x", 422)):
        got, headers = await answered(door, "/v1/old", query, origin)
        assert got == status
        assert headers["Deprecation"] == "@1798761600"
        assert headers["Sunset"] == "Wed, 30 Jun 2027 00:00:00 GMT"
        assert headers["Link"] == f'<{SEE}>; rel="deprecation"; type="text/html"'
        assert {"Deprecation", "Sunset", "Link"} <= set(headers["Access-Control-Expose-Headers"].split(", "))
    assert "Deprecation" not in (await answered(door, "/v1/new", "", origin))[1]
    paths = document(application(), "1")["paths"]
    assert paths["/v1/old"]["get"]["deprecated"]
    assert "deprecated" not in paths["/v1/new"]["get"]


def test_the_notice_is_long_enough() -> None:
    """Nothing goes sooner than 180 days after it was announced."""
    with pytest.raises(ValueError, match="180 days"):
        deprecated(since=SINCE, sunset=SINCE + NOTICE - timedelta(seconds=1), see=SEE)

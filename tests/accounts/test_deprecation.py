"""An operation that will go says so, in every answer and in the OpenAPI document."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI

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


async def test_what_goes_says_so() -> None:
    """Good answers and problems alike carry `Deprecation` as RFC 9745 has it, `Sunset` as RFC 8594 has it, and a link,
    for other sites' pages, too; the document marks the operation; others say nothing."""
    origin = "https://page.example"
    transport = httpx.ASGITransport(Door(application(), frozenset({origin})))
    async with httpx.AsyncClient(transport=transport, base_url="http://chorus") as http:
        for path, status in (("/v1/old", 200), ("/v1/old?count=x", 422)):
            answer = await http.get(path, headers={"Origin": origin})
            assert answer.status_code == status
            assert answer.headers["Deprecation"] == "@1798761600"
            assert answer.headers["Sunset"] == "Wed, 30 Jun 2027 00:00:00 GMT"
            assert answer.headers["Link"] == f'<{SEE}>; rel="deprecation"; type="text/html"'
            told = answer.headers["Access-Control-Expose-Headers"]
            assert {"Deprecation", "Sunset", "Link"} <= set(told.split(", "))
        assert "Deprecation" not in (await http.get("/v1/new")).headers
    paths = document(application(), "1")["paths"]
    assert paths["/v1/old"]["get"]["deprecated"]
    assert "deprecated" not in paths["/v1/new"]["get"]


def test_the_notice_is_long_enough() -> None:
    """Nothing goes sooner than 180 days after it was announced."""
    with pytest.raises(ValueError, match="180 days"):
        deprecated(since=SINCE, sunset=SINCE + NOTICE - timedelta(seconds=1), see=SEE)

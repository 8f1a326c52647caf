"""Every error of REST is a problem with a code, whatever was sent; and what every answer carries besides."""

import asyncio
import json
import re
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from edge.rest.door import MAX_BODY_BYTES
from infra.stack.ports import free_port
from schemas.frames import ERRORS, ErrorCode
from tests.running import Running, Stack, soon
from tests.stack.rest_api import PASSWORD, Api, opened, start_api

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nothing",
        "/v1",
        "/v1/",
        "/v1/users/me/",
        "/v1/users/nobody",
        "/nothing.js",
        "/../../etc/passwd.txt",
        "/v1/%2e%2e/x",
    ],
)
async def test_what_is_not_there(api: Api, path: str) -> None:
    """An address that leads nowhere answers 404, as a missing thing does."""
    answer = await api.call("GET", path)

    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/users/me", {"GET", "PATCH", "DELETE"}),
        ("DELETE", "/v1/auth/login", {"POST"}),
        ("POST", "/v1/config", {"GET"}),
        ("OPTIONS", "/v1/projects", {"GET", "POST"}),
        ("POST", "/", {"GET", "HEAD"}),
        ("DELETE", "/chat", {"GET", "HEAD"}),
    ],
)
async def test_methods_that_are_not_allowed(api: Api, method: str, path: str, allowed: set[str]) -> None:
    """405 names the methods that are."""
    answer = await api.call(method, path)

    assert (answer.status, answer.code) == (405, "invalid")
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half an object"),
        pytest.param(b'{"email": "a@b.c"', id="an object cut off"),
        pytest.param(b"nonsense", id="no JSON"),
        pytest.param(b"\xff\xfe{}", id="no UTF-8"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"text"', id="a text"),
        pytest.param(b"[" * 100_000, id="a deep list"),
        pytest.param(b'{"a":' * 40_000 + b"1" + b"}" * 40_000, id="a deep object"),
        pytest.param(b'{"email": ' + b"9" * 5000 + b"}", id="a number of 5,000 digits"),
        pytest.param(b'{"email": NaN, "password": Infinity}', id="no numbers"),
        pytest.param(b'{"email": "\\ud800", "password": "\\udc00\\ud800"}', id="half surrogate pairs"),
        pytest.param(b'{"email": "a\\u0000@b.c", "password": "\\u0000\\u0000\\u0000\\u0000"}', id="NUL"),
        pytest.param(b'{"email": {"a": 1}, "password": ["b"]}', id="objects for texts"),
        pytest.param(b'{"email": true, "password": 12345678}', id="other types for texts"),
        pytest.param(b'{"\\ud800": 1}', id="half a surrogate pair as a name"),
    ],
)
async def test_ill_formed_bodies(api: Api, body: bytes) -> None:
    """Whatever a body is, it is never our failure."""
    answer = await api.call("POST", "/v1/auth/login", data=body, headers=JSON)

    assert (answer.status, answer.code) == (422, "invalid")


async def test_json_that_does_not_say_so(api: Api) -> None:
    """A form of another site's page is not read: it could be sent without anybody's leave."""
    body = json.dumps({"email": "ada@example.org", "password": PASSWORD}).encode()
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await api.call("POST", "/v1/auth/login", data=body, headers={"Content-Type": content_type})
        assert (answer.status, answer.code) == (422, "invalid")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/projects?limit=0",
        "/v1/projects?limit=201",
        "/v1/projects?limit=many",
        "/v1/projects?cursor=nonsense",
        "/v1/projects?cursor=%00",
        "/v1/projects?cursor=%ED%A0%80",
        "/v1/projects/1",
        "/v1/projects/00000000-0000-0000-0000-00000000000g",
        "/v1/projects/%00",
        "/v1/agents/..%2f..%2fetc",
        "/v1/conversations/1/messages",
        "/v1/conversations/1/runs/1/events?after_seq=-1",
        "/v1/projects/{id}/conversations?archived=perhaps",
        "/v1/projects/{id}/conversations?q=%00",
        "/v1/projects/{id}/conversations?q=" + "x" * 201,
    ],
)
async def test_ill_formed_addresses(api: Api, path: str) -> None:
    """An id, a cursor or a number that is none is named as what is wrong."""
    ada = await api.sign_up()
    answer = await ada.call("GET", path.replace("{id}", await ada.project_id()))

    # `%2f` is a slash by the time routes are looked at: no route is that deep.
    expected = (404, "not_found") if "%2f" in path else (422, "invalid")
    assert (answer.status, answer.code) == expected


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in chunks"])
async def test_large_bodies(api: Api, announced: bool) -> None:
    """A body over the limit is refused before it is read to its end; one at the limit is read."""

    async def chunks() -> Any:
        for _ in range(MAX_BODY_BYTES // 1024 + 1):
            yield b" " * 1024

    body = b" " * (MAX_BODY_BYTES + 1) if announced else chunks()
    answer = await api.call("POST", "/v1/auth/login", data=body, headers=JSON)
    assert (answer.status, answer.code) == (413, "too_large")

    fits = json.dumps({"email": "ada@example.org", "password": PASSWORD}).encode().ljust(MAX_BODY_BYTES)
    assert (await api.call("POST", "/v1/auth/login", data=fits, headers=JSON)).status == 401


async def test_a_body_of_which_only_a_part_comes(api: Api) -> None:
    """Who leaves in the middle of a request has asked for nothing."""
    body = json.dumps({"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "display_name": "Ada"}).encode()
    _reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    head = "POST /v1/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: leaver\r\n"
    writer.write(f"{head}Content-Length: {len(body) + 1}\r\n\r\n".encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    def told() -> bool:
        lines = [json.loads(line) for line in api.running.output.read_text().splitlines() if "leaver" in line]
        return [line["status"] for line in lines if line["event"] == "request"] == [408]

    await soon("the request is told as never having arrived", told)


async def test_our_own_failure_says_nothing(api: Api, database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """A bug answers 500 with a request id to ask about; what went wrong is in the log, under that id."""
    ada = await api.sign_up()
    project_id = await ada.project_id()
    await database.execute(
        "UPDATE agent_versions SET config = '[]' WHERE agent_id IN (SELECT id FROM agents WHERE project_id = $1)",
        project_id,
    )
    answer = await ada.call("GET", f"/v1/projects/{project_id}/agents", headers={"X-Request-Id": "broken-config"})

    assert (answer.status, answer.code) == (500, "internal")
    assert set(answer.json) == {"type", "title", "status", "detail", "code"}
    assert answer.json["detail"] == ERRORS[ErrorCode.INTERNAL].message
    assert answer.headers["X-Request-Id"] == "broken-config"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def told() -> bool:
        logged = [json.loads(line) for line in api.running.output.read_text().splitlines() if "broken-config" in line]
        return any("ValidationError" in line.get("exception", "") for line in logged)

    await soon("what went wrong is in the log", told)


# -- what every answer carries --


@pytest.mark.parametrize("given", ["a", "8f6f4710-1a04-4d13-80d7-98bc1fcf4d7a", "A.b_c-1", "x" * 64])
async def test_request_ids_are_kept(api: Api, given: str) -> None:
    """A request can be followed from the caller's log into ours."""
    answer = await api.call("GET", "/v1/config", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] == given

    def told() -> bool:
        return f'"request_id": "{given}"' in api.running.output.read_text()

    await soon("the request is in the log", told)


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", 'a"b', "é", "{}", "a;b"])
async def test_request_ids_are_ours_where_they_could_do_harm(api: Api, given: str | None) -> None:
    """What does not look like an id is replaced by one, for errors too."""
    headers = {} if given is None else {"X-Request-Id": given}
    for path in ("/v1/config", "/v1/nothing", "/v1/users/me"):
        answer = await api.call("GET", path, headers=headers)
        assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["X-Request-Id"])


async def test_answers_are_for_one_reader(api: Api) -> None:
    """No cache keeps an answer, no browser guesses at it, no page frames it."""
    ada = await api.sign_up()
    for answer in (await ada.call("GET", "/v1/users/me"), await api.call("GET", "/v1/users/me")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "Server" not in answer.headers


async def test_other_sites(api: Api, stack: Stack) -> None:
    """Only pages of the origins that the settings name, to the letter, may read our answers."""
    allowed = stack.env["CHORUS_ORIGINS"].split(",")[0]
    asks = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    for origin in (f"{allowed}.evil.example", allowed.upper(), f"{allowed}/", "null", "https://evil.example"):
        answer = await api.call("GET", "/v1/config", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["Vary"] == "Origin"
        refused = await api.call("OPTIONS", "/v1/users/me", headers={"Origin": origin} | asks)
        assert (refused.status, refused.code) == (403, "forbidden_origin")
        assert "Access-Control-Allow-Origin" not in refused.headers

    preflight = await api.call("OPTIONS", "/v1/users/me", headers={"Origin": allowed} | asks)
    assert preflight.status == 204
    for answer in (preflight, await api.call("GET", "/v1/users/me", headers={"Origin": allowed})):
        assert answer.headers["Access-Control-Allow-Origin"] == allowed
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]


async def test_the_document(api: Api) -> None:
    """OpenAPI 3.1, with problems for every error, and no page that runs code of others to show it."""
    assert api.document["openapi"].startswith("3.1")
    problems = {
        media_type
        for operations in api.document["paths"].values()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if status >= "400"
        for media_type in response["content"]
    }
    assert problems == {"application/problem+json"}
    assert "HTTPValidationError" not in api.document["components"]["schemas"]
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert "swagger" not in (await api.call("GET", path)).text.lower()


async def test_config_is_for_everybody(api: Api, stack: Stack) -> None:
    """What a client needs before it signs in needs no sign-in."""
    config = (await api.call("GET", "/v1/config")).json

    assert config["ws_url"] == stack.env["CHORUS_WS_URL"]
    assert config["oauth_providers"] == []
    assert config["limits"]["max_content_characters"] == 16_000


# -- the page, and parts that are away --


async def test_the_page(stack: Stack, tmp_path: Path) -> None:
    """Every address of the app's is the page; files with a name of their own are kept for ever, the page never is."""
    web = tmp_path / "dist"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text("<p>the app</p>")
    (web / "assets" / "index-abc123.js").write_text("run()")
    (tmp_path / "secret.txt").write_text("secret")
    running, url = start_api(stack, CHORUS_WEB=str(web))
    try:
        async with opened(running, url) as api:
            for path in ("/", "/chat/8f6f4710", "/index.html", "/a/b/c"):
                answer = await api.call("GET", path)
                assert (answer.status, answer.text) == (200, "<p>the app</p>")
                assert answer.headers["Cache-Control"] == "no-cache"
                csp = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in csp
                assert "'unsafe" not in csp
                socket_origin = stack.env["CHORUS_WS_URL"].removesuffix("/v1/ws")
                assert f"connect-src 'self' {socket_origin};" in csp
            script = await api.call("GET", "/assets/index-abc123.js")
            assert "immutable" in script.headers["Cache-Control"]
            assert script.headers["Content-Type"].startswith("text/javascript")
            again = {"If-None-Match": script.headers["ETag"]}
            assert (await api.call("GET", "/assets/index-abc123.js", headers=again)).status == 304
            for path in ("/assets/gone.js", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/../../secret.txt"):
                assert (await api.call("GET", path)).status == 404
    finally:
        await running.stop()


@pytest.mark.slow
async def test_a_part_of_the_routes(stack: Stack, tmp_path: Path) -> None:
    """A process serves what it is told to; a page that is not built says what to do."""
    running, url = start_api(stack, "--routes", "config,page", CHORUS_WEB=str(tmp_path / "nowhere"))
    try:
        async with opened(running, url) as api:
            assert set(api.document["paths"]) == {"/v1/config"}
            assert (await api.call("POST", "/v1/auth/login", {})).status == 404
            page = await api.call("GET", "/chat")
            assert (page.status, "not built" in page.text) == (503, True)
    finally:
        await running.stop()


@pytest.mark.slow
@pytest.mark.parametrize("away", ["refuses", "is silent"])
async def test_postgresql_is_away(stack: Stack, away: str) -> None:
    """503 with a time to try again, within seconds, and readiness says why; what needs no database goes on."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = free_port() if away == "refuses" else silent.getsockname()[1]
        running, url = start_api(stack, wait=False, CHORUS_DATABASE_URL=f"postgresql://chorus@127.0.0.1:{port}/chorus")
        try:
            async with opened(running, url) as api, aiohttp.ClientSession() as http:
                began = time.monotonic()
                body = {"email": "ada@example.org", "password": PASSWORD, "display_name": "Ada"}
                for path in ("/v1/auth/register", "/v1/auth/login"):
                    answer = await api.call("POST", path, body)
                    assert (answer.status, answer.code) == (503, "unavailable")
                    assert int(answer.headers["Retry-After"]) >= 1
                assert time.monotonic() - began < 15
                async with http.get(f"{running.health}/readyz") as ready:
                    assert (ready.status, "PostgreSQL" in await ready.text()) == (503, True)
                assert (await api.call("GET", "/v1/config")).status == 200
        finally:
            assert await running.stop() == 0


@pytest.mark.slow
async def test_postgresql_hangs(stack: Stack) -> None:
    """A server that takes what is sent and never answers costs seconds, not minutes; when it goes on, so do we."""
    host, port = urlsplit(stack.database_url).netloc.rpartition("@")[2].split(":")
    flowing = asyncio.Event()
    flowing.set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await flowing.wait()
            writer.write(data)
        writer.close()

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pass_on(reader, back), pass_on(there, writer), return_exceptions=True)

    async with await asyncio.start_server(between, "127.0.0.1") as proxy:
        url = stack.database_url.replace(f":{port}/", f":{proxy.sockets[0].getsockname()[1]}/")
        running, address = await asyncio.to_thread(start_api, stack, CHORUS_DATABASE_URL=url)
        try:
            async with opened(running, address) as api:
                ada = await api.sign_up()
                flowing.clear()
                began = time.monotonic()
                answers = await asyncio.gather(*(ada.call("GET", "/v1/users/me") for _ in range(20)))
                assert {(a.status, a.code) for a in answers} == {(503, "unavailable")}
                assert time.monotonic() - began < 10
                flowing.set()
                assert (await ada.call("GET", "/v1/users/me")).status == 200
        finally:
            await running.stop()


async def test_kafka_is_away(stack: Stack) -> None:
    """People sign in and read; what would have to be stored in the log is refused as unavailable."""
    running, url = start_api(stack, wait=False, CHORUS_KAFKA=f"127.0.0.1:{free_port()}")
    try:
        async with opened(running, url) as api:
            ada = await api.sign_up()
            conversations = f"/v1/projects/{await ada.project_id()}/conversations"
            assert (await ada.call("GET", conversations)).status == 200
            answer = await ada.call("POST", conversations, {})
            assert (answer.status, answer.code) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
    finally:
        assert await running.stop() == 0


async def test_a_port_that_is_taken(stack: Stack, api_process: tuple[Running, str]) -> None:
    """A process that cannot listen says where and what to do, and ends."""
    running = stack.start(
        "edge", "api", CHORUS_HTTP_HOST="127.0.0.1", CHORUS_HTTP_PORT=api_process[1].rpartition(":")[2]
    )

    assert await running.ended() == 1
    assert "CHORUS_HTTP_PORT" in running.output.read_text()
    assert "Traceback" not in running.output.read_text()


async def test_a_weak_secret(stack: Stack) -> None:
    """A process does not start with a secret that could be guessed."""
    running = stack.start("edge", "api", CHORUS_HTTP_PORT=str(free_port()), CHORUS_JWT_SECRET="x" * 31)

    assert await running.ended() == 1
    assert "CHORUS_JWT_SECRET has 31 bytes" in running.output.read_text()

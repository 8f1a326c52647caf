"""A REST process for tests, and a client that holds every answer against the OpenAPI document."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from multidict import CIMultiDictProxy
from yarl import URL

from infra.stack.ports import free_port
from tests.running import Running, Stack, answers_200, eventually

Json = dict[str, Any]

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDictProxy[str]
    text: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)

    @property
    def code(self) -> str:
        """The code of a problem."""
        return str(self.json["code"])

    @property
    def fields(self) -> set[str]:
        """The fields that a problem names."""
        return {error["field"] for error in self.json.get("errors", [])}


@dataclass
class Api:
    """A REST process, and what it promises in its document."""

    running: Running
    url: str
    http: aiohttp.ClientSession
    document: Json

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Json | None = None,
        data: Any = None,
        **params: str | int,
    ) -> Answer:
        """One request; fails where the answer is not what the document says of it."""
        sent = ({} if token is None else {"Authorization": f"Bearer {token}"}) | (headers or {})
        if body is not None:
            # Python's writer, unlike a strict one, can write what clients should not send.
            data, sent = json.dumps(body).encode(), {"Content-Type": "application/json"} | sent
        async with self.http.request(
            method,
            URL(f"{self.url}{path}", encoded=True),
            data=data,
            headers=sent,
            params=params,
            allow_redirects=False,
        ) as response:
            answer = Answer(response.status, response.headers, await response.text())
        self._check(method, path, answer)
        return answer

    def _check(self, method: str, path: str, answer: Answer) -> None:
        media_type = answer.headers.get("Content-Type", "").partition(";")[0]
        if answer.status >= 400 and not media_type.startswith("text/html"):
            assert media_type == "application/problem+json", f"{method} {path}: {answer}"
            self.conforms(answer.json, {"$ref": "#/components/schemas/Problem"})
            assert answer.json["status"] == answer.status
        if answer.status >= 500:
            assert "Traceback" not in answer.text
        operation = self.operation(method, path)
        if operation is None:
            return
        described = operation["responses"].get(str(answer.status))
        assert described is not None, f"{method} {path} answers {answer.status}, which is not in the document: {answer}"
        if answer.status == 204:
            assert answer.text == ""
        elif "content" in described:
            assert media_type in described["content"], f"{method} {path}: {answer}"
            if media_type.endswith("json"):
                self.conforms(answer.json, described["content"][media_type]["schema"])

    def operation(self, method: str, path: str) -> Json | None:
        for template, operations in self.document.get("paths", {}).items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
                found: Json | None = operations.get(method.lower())
                return found
        return None

    def conforms(self, value: object, schema: Json) -> None:
        whole = schema | {"components": self.document["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)

    async def sign_up(self, **changes: object) -> "Someone":
        body = {
            "email": f"{uuid4().hex}@example.org",
            "password": PASSWORD,
            "display_name": "Ada",
        } | changes
        made = await self.call("POST", "/v1/auth/register", body)
        assert made.status == 201, made
        return Someone(self, body["email"], made.json)  # type: ignore[arg-type]


@dataclass
class Someone:
    """A person who signed up, and calls as themselves."""

    api: Api
    email: str
    signed_in: Json

    @property
    def id(self) -> str:
        return str(self.signed_in["user"]["id"])

    @property
    def refresh_token(self) -> str:
        return str(self.signed_in["refresh_token"])

    async def call(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        return await self.api.call(method, path, body, token=self.signed_in["access_token"], **more)

    async def project_id(self) -> str:
        return str((await self.call("GET", "/v1/projects")).json["data"][0]["id"])


def start_api(stack: Stack, *arguments: str, wait: bool = True, **settings: str) -> tuple[Running, str]:
    """A REST process with such settings on top, and its address."""
    port = free_port()
    address = {"CHORUS_HTTP_HOST": "127.0.0.1", "CHORUS_HTTP_PORT": str(port)}
    running = stack.start("edge", "api", *arguments, **address | settings)

    def is_up() -> bool:
        assert running.process.poll() is None, f"the API ended:\n{running.output.read_text()[-4000:]}"
        return answers_200(f"{running.health}/readyz" if wait else f"http://127.0.0.1:{port}/v1/config")

    eventually("the API is up", is_up)
    return running, f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def api_process(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """One for all tests that are content with its settings, with a page that need not be built."""
    web = tmp_path_factory.mktemp("web")
    (web / "index.html").write_text("<p>the app</p>")
    running, url = start_api(stack, CHORUS_WEB=str(web))
    yield running, url
    running.process.terminate()
    running.process.wait()


@pytest.fixture
async def api(api_process: tuple[Running, str]) -> AsyncIterator[Api]:
    async with opened(*api_process) as found:
        yield found


class opened:
    """`async with opened(running, url) as api`: a client of a process."""

    def __init__(self, running: Running, url: str) -> None:
        self._running, self._url = running, url

    async def __aenter__(self) -> Api:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        api = Api(self._running, self._url, self._http, {})
        api.document = (await api.call("GET", "/v1/openapi.json")).json
        return api

    async def __aexit__(self, *_error: object) -> None:
        await self._http.close()


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(stack.database_url)
    yield connection
    await connection.close()


@dataclass
class Written:
    """Writes what the history projection would have written, without the processors before it."""

    database: "asyncpg.Connection[asyncpg.Record]"

    async def conversation(self, project_id: str, user_id: str, **changes: object) -> str:
        row: Json = {
            "id": str(uuid4()),
            "project_id": project_id,
            "created_by": user_id,
            "title": "A title",
            "position": 1,
            "created_at": datetime.now(UTC),
            "updated_at": datetime.now(UTC),
        } | changes
        return await self._insert("conversations", row)

    async def message(self, conversation_id: str, user_id: str, position: int, **changes: object) -> str:
        row: Json = {
            "id": str(uuid4()),
            "conversation_id": conversation_id,
            "position": position,
            "role": "user",
            "author_id": user_id,
            "owner_id": user_id,
            "content": f"message {position}",
            "created_at": datetime.now(UTC),
        } | changes
        return await self._insert("messages", row)

    async def run(self, conversation_id: str, user_id: str, **changes: object) -> str:
        row: Json = {
            "id": str(uuid4()),
            "conversation_id": conversation_id,
            "message_id": str(uuid4()),
            "question_id": str(uuid4()),
            "user_id": user_id,
            "agent": json.dumps({"agent_id": str(uuid4()), "version": 1}),
            "status": "in_progress",
            "queued_at": datetime.now(UTC),
        } | changes
        return await self._insert("runs", row)

    async def _insert(self, table: str, row: Json) -> str:
        places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        await self.database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())
        return str(row["id"])


@pytest.fixture
def written(database: "asyncpg.Connection[asyncpg.Record]") -> Written:
    return Written(database)

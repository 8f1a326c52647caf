"""Nobody sees or changes what is not theirs, by any route, field or frame: a matrix made of the OpenAPI document and of
the table of frames. Each id of Ada's, given by Bob, is answered as an id that nobody has, to the byte.

Whoever adds a route, a field or a frame that names a new kind of thing says in `things` how a person gets one.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, get_args
from uuid import uuid4

import aiohttp
import asyncpg
import msgspec
import pytest

from schemas import frames
from tests.client import Person, Refusal, Socket, sign_up, socket
from tests.running import Chorus

Node = dict[str, Any]

NO_THINGS: Final = {
    "token",  # whoever has a link's or a mail's token is meant to come in
    "receipt_id",  # as has whoever deleted themselves
    "code",  # or asked Facebook to
    "provider",
    "client_message_id",
    "client_request_id",
}
"""Names in paths, bodies and frames that end like a thing's and are none, or are secrets themselves."""
NEW_IDS: Final = {
    ("POST", "/v1/projects/{project_id}/conversations", "id"),
    ("POST", "/v1/projects/{project_id}/credits", "credit_id"),
    ("conversation.create", "conversation_id"),
}
"""Ids that a client chooses for what it makes. One that is taken is refused, whoever took it; nothing else is told."""
HARMLESS: Final = {("unsubscribe", "conversation_id"), ("run.cancel", "run_id")}
"""Names that are taken for whatever they are: what one does not follow is left alone, and a cancel may come before its
question, but counts in the caller's own conversation alone."""
VALUES: Final[Node] = {
    "content": "hello",
    "status": "online",
    "title": "Mine now",
    "name": "Mine now",
    "role": "admin",
    "confirm": "Mine now",
    "config": {"kind": "scripted"},
    "url": "https://example.org/hook",
    "month": "2026-11",
}
"""Good values of fields that name nothing."""


@dataclass
class Tenant:
    person: Person
    things: dict[str, str]


async def things(person: Person) -> dict[str, str]:
    """One of everything that a person can have, by the names that paths, bodies and frames have for its id."""
    conversation_id = await person.conversation(title="A title")
    path = f"/v1/conversations/{conversation_id}"
    sent = await person.call("POST", f"{path}/messages", {"client_message_id": str(uuid4()), "content": "hello"})
    project = f"/v1/projects/{person.project_id}"
    agent_id = (await person.call("GET", f"{project}/agents"))["data"][0]["id"]
    hook = {"url": VALUES["url"], "kinds": ["training"]}  # nothing comes of it by itself
    invited = await person.call("POST", f"{project}/members", {"email": f"{uuid4()}@example.org", "role": "member"})
    return {
        "user_id": person.user["id"],
        "project_id": person.project_id,
        "conversation_id": conversation_id,
        "message_id": sent["message_id"],
        "edits": sent["message_id"],
        "run_id": sent["run_id"],
        "agent_id": agent_id,
        "default_agent_id": agent_id,
        "share_id": (await person.call("POST", f"{path}/shares"))["id"],
        "invitation_id": invited["invitation_id"],
        "session_id": (await person.call("GET", "/v1/users/me/sessions"))["data"][0]["id"],
        "webhook_id": (await person.call("POST", f"{project}/webhooks", hook))["id"],
        "transaction_id": (await person.call("POST", f"{project}/credits", {"amount_micros": 1}))["transaction_id"],
        "up_to": await notification(person),
    }


async def notification(person: Person) -> str:
    """What this person is told: that the answer to what they said has ended, as they do not look."""
    async with asyncio.timeout(60):
        while True:
            if found := (await person.call("GET", "/v1/notifications"))["data"]:
                return str(found[0]["id"])
            await asyncio.sleep(0.1)


@dataclass
class Asked:
    """One request of the matrix: an operation, and the place in it where another's id is put."""

    what: str
    place: str
    method: str
    path: str
    body: Node | None
    query: Node


def _value(openapi: Node, name: str, schema: Node) -> Any:
    if (ref := schema.get("$ref")) is not None:
        return _value(openapi, name, openapi["components"]["schemas"][ref.rpartition("/")[2]])
    if "anyOf" in schema and "type" not in schema:
        return _value(openapi, name, schema["anyOf"][0])
    if "enum" in schema or "const" in schema:
        return VALUES.get(name, schema.get("const", schema.get("enum", [None])[0]))
    if "properties" in schema:
        required = schema.get("required", ())
        return {n: _value(openapi, n, of) for n, of in schema["properties"].items() if n in required}
    if schema.get("format") == "uuid":
        return str(uuid4())
    if schema.get("format") == "email":
        return f"{uuid4()}@example.org"
    defaults = {"string": f"x{uuid4().hex}", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    return VALUES.get(name, defaults.get(schema.get("type", ""), {}))


def is_thing(name: str) -> bool:
    return (name == "id" or name.endswith("_id") or name in ("edits", "up_to")) and name not in NO_THINGS


def requests(openapi: Node, own: dict[str, str], given: dict[str, str]) -> Iterator[Asked]:
    """Every operation with ids of `given`: all of its path, then each place alone among one's `own`."""
    for template, operations in openapi["paths"].items():
        for verb, operation in operations.items():
            method, what = verb.upper(), f"{verb.upper()} {template}"
            parameters = operation.get("parameters", ())
            path_names = [p["name"] for p in parameters if p["in"] == "path"]
            if set(path_names) & NO_THINGS:
                continue
            query_names = [p["name"] for p in parameters if p["in"] == "query" and is_thing(p["name"])]
            query = {p["name"]: "x" for p in parameters if p["in"] == "query" and p.get("required")}
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            schema = content["schema"] if content else {}
            body = _value(openapi, "", schema) if content else None
            fields = openapi["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
            body_names = [
                n for n in fields.get("properties", ()) if is_thing(n) and (method, template, n) not in NEW_IDS
            ]

            def named(ids: dict[str, str], names: list[str], at: str = what) -> dict[str, str]:
                missing = [name for name in names if name not in ids and name not in VALUES]
                assert not missing, f"{at} names {missing}: say in `things` how a person gets one"
                return {name: ids.get(name) or VALUES[name] for name in names}

            if path_names:
                yield Asked(what, "path", method, template.format(**named(given, path_names)), body, query)
            mine = named(own, path_names)
            for name in filter(is_thing, path_names[1:]):
                path = template.format(**(mine | named(given, [name])))
                yield Asked(what, name, method, path, body, query)
            for name in body_names:
                filled = (body or {}) | named(given, [name])
                yield Asked(what, name, method, template.format(**mine), filled, query)
            for name in query_names:
                yield Asked(what, name, method, template.format(**mine), body, query | named(given, [name]))


async def answer(chorus: Chorus, person: Person, asked: Asked) -> tuple[int, str, set[str]]:
    """Status, body and the names of headers."""
    async with person.http.request(
        asked.method,
        chorus.url + asked.path,
        json=asked.body,
        params=asked.query,
        headers={"Authorization": f"Bearer {person.access_token}"},
        allow_redirects=False,
    ) as response:
        return response.status, await response.text(), {name.lower() for name in response.headers}


async def everything(
    database: "asyncpg.Connection[asyncpg.Record]", hers: dict[str, str], his: dict[str, str]
) -> dict[str, list[str]]:
    """Every row that has an id of hers in it and none of his, by table. What was tried is in the audit log, and the
    outbox is emptied by itself: these two are left out."""
    tables = await database.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    found = {}
    for (table,) in tables:
        if table in ("audit_log", "outbox"):
            continue
        rows = await database.fetch(
            f'SELECT t::text AS row FROM "{table}" t WHERE t::text ~ $1 AND t::text !~ $2 ORDER BY 1',
            "|".join(set(hers.values())),
            "|".join(set(his.values())),
        )
        found[table] = [row["row"] for row in rows]
    return found


async def settled(
    database: "asyncpg.Connection[asyncpg.Record]", hers: dict[str, str], his: dict[str, str]
) -> dict[str, list[str]]:
    """Everything, once answers and titles of before have come to rest."""
    async with asyncio.timeout(60):
        before = None
        while before != (now := await everything(database, hers, his)) or "in_progress" in str(now["runs"]):
            before = now
            await asyncio.sleep(1)
    return before


@pytest.fixture
async def http() -> Any:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


@pytest.fixture
async def database(chorus: Chorus) -> Any:
    connection = await asyncpg.connect(chorus.env["CHORUS_DATABASE_URL"])
    yield connection
    await connection.close()


@pytest.fixture
async def ada(chorus: Chorus, http: aiohttp.ClientSession) -> Tenant:
    person = await sign_up(http, chorus.url, "Ada")
    return Tenant(person, await things(person))


@pytest.fixture
async def bob(chorus: Chorus, http: aiohttp.ClientSession) -> Tenant:
    person = await sign_up(http, chorus.url, "Bob")
    return Tenant(person, await things(person))


async def test_every_route(
    chorus: Chorus, ada: Tenant, bob: Tenant, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Every operation, with Ada's id in its path, its body or its query, answers Bob as with an id that nobody has, and
    changes nothing of Ada's."""
    async with bob.person.http.get(f"{chorus.url}/v1/openapi.json") as document:
        openapi = await document.json()
    before = await settled(database, ada.things, bob.things)
    assert all(any(id in row for rows in before.values() for row in rows) for id in ada.things.values())
    unknown = {name: str(uuid4()) for name in ada.things}
    told = []
    foreign = list(requests(openapi, bob.things, ada.things))
    missing = list(requests(openapi, bob.things, unknown))
    assert len(foreign) >= 40
    for theirs, nobodys in zip(foreign, missing, strict=True):
        found, expected = (await answer(chorus, bob.person, theirs), await answer(chorus, bob.person, nobodys))
        if found != expected:
            told.append(f"{theirs.what}, {theirs.place}: {found} instead of {expected}")
        elif theirs.place == "path" and found[0] not in (404, 422):
            told.append(f"{theirs.what} answers {found[0]} to those who know nothing")
    assert not told, "\n".join(told)
    assert await everything(database, ada.things, bob.things) == before


def commands(own: dict[str, str], given: dict[str, str]) -> Iterator[tuple[str, str, Node]]:
    """Every frame of the table that names things, with each of its ids from `given` and the others one's own."""
    for kind in get_args(frames.ClientFrames):
        type_ = kind.__struct_config__.tag
        fields = {f.name: f for f in msgspec.structs.fields(kind) if f.name != "id"}
        names = [name for name in fields if is_thing(name)]
        unknown = [name for name in names if name not in own]
        assert not unknown, f"{type_} names {unknown}: say in `things` how a person gets one"
        first = names[:1]
        for name in names:
            if (type_, name) in NEW_IDS:
                continue
            frame: Node = {n: own[n] for n in first} | {
                n: VALUES.get(n, str(uuid4())) for n, f in fields.items() if f.required and n not in names
            }
            frame |= {n: own[n] for n, f in fields.items() if f.required and n in names}
            yield type_, name, frame | {name: given[name]}


async def said(connection: Socket, type_: str, frame: Node) -> Node:
    """The reply, without what is different each time."""
    try:
        reply = await connection.command(type_, **frame)
    except Refusal as refusal:
        return {"refused": str(refusal)}
    return {name: value for name, value in reply.items() if name != "id"}


async def test_every_frame(
    chorus: Chorus, ada: Tenant, bob: Tenant, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Every frame of the table, with Ada's id where it names a thing, is answered to Bob as with an id that nobody has,
    changes nothing of Ada's, and no push of hers comes to him."""
    before = await settled(database, ada.things, bob.things)
    unknown = {name: str(uuid4()) for name in ada.things}
    told, asked = [], 0
    async with socket(chorus.ws_url, bob.person.access_token) as connection:
        for (type_, place, theirs), (_, _, nobodys) in zip(
            commands(bob.things, ada.things), commands(bob.things, unknown), strict=True
        ):
            found, expected = await said(connection, type_, theirs), await said(connection, type_, nobodys)
            asked += 1
            if found != expected:
                told.append(f"{type_}, {place}: {found} instead of {expected}")
            elif "refused" not in found and (type_, place) not in HARMLESS:
                told.append(f"{type_}, {place}: {found}, to those who know nothing")
        resumed = [{"conversation_id": id} for id in (ada.things["conversation_id"], unknown["conversation_id"])]
        async with socket(chorus.ws_url, bob.person.access_token, resumed) as resuming:
            outcomes = [
                await resuming.until(lambda f, id=id: f.get("conversation_id") == id)
                for id in (p["conversation_id"] for p in resumed)
            ]
        assert outcomes[0]["error"] == outcomes[1]["error"]
        heard = [push for push in connection.pushes if any(id in str(push) for id in set(ada.things.values()))]
    assert asked >= 15
    assert not told, "\n".join(told)
    assert not heard
    assert await everything(database, ada.things, bob.things) == before

"""Agents over REST: made, changed version by version, deleted; their secrets go in and never come out."""

from typing import Any

import asyncpg
import pytest

from infra.secrets import Secrets
from infra.settings import SealingSettings
from tests.running import Stack
from tests.stack.rest_api import Answer, Api, Someone, opened, start_api

SECRET = "sk-very-secret-4711"
URL = "https://models.example.com/v1"


class Agents:
    """Ada's project, and its agents."""

    def __init__(self, ada: Someone, project_id: str) -> None:
        self.ada, self.project_id = ada, project_id
        self.path = f"/v1/projects/{project_id}/agents"

    async def make(self, **config: object) -> Answer:
        return await self.ada.call("POST", self.path, {"name": "Ours", "config": {"kind": "openai"} | config})

    async def change(self, id: str, **config: object) -> Answer:
        return await self.ada.call("PATCH", f"/v1/agents/{id}", {"config": {"kind": "openai"} | config})


@pytest.fixture
async def agents(api: Api) -> Agents:
    ada = await api.sign_up()
    return Agents(ada, await ada.project_id())


def the_secret_of(stack: Stack, row: Any, agent_id: str) -> str | None:
    secrets = Secrets(SealingSettings.from_env(stack.env))
    return None if row["secret"] is None else secrets.open(agent_id, row["secret"])


async def newest(database: "asyncpg.Connection[asyncpg.Record]", agent_id: str) -> Any:
    return await database.fetchrow(
        "SELECT * FROM agent_versions WHERE agent_id = $1 ORDER BY version DESC LIMIT 1", agent_id
    )


async def test_an_agent_is_made_as_it_was_said(agents: Agents) -> None:
    """What was given is shown, and can be read again; the list has it."""
    config = {"url": URL, "model": "m", "system_prompt": "Be kind.", "params": {"temperature": 0.5, "stop": ["\n"]}}
    made = await agents.make(**config, context_messages=4, timeouts={"whole_s": 30})
    read = await agents.ada.call("GET", made.headers["Location"])
    listed = (await agents.ada.call("GET", agents.path)).json["data"]

    assert (made.status, made.json["version"]) == (201, 1)
    shown = made.json["config"]
    assert {name: shown[name] for name in config} == config
    assert (shown["context_messages"], shown["timeouts"], shown["has_secret"]) == (4, {"whole_s": 30.0}, False)
    assert read.json == made.json == listed[-1]


@pytest.mark.parametrize(
    ("field", "config"),
    [
        ("config", {"kind": "container"}),
        ("config.openai.temprature", {"temprature": 1}),
        ("config.openai.params.temperature", {"params": {"temperature": 3}}),
        ("config.openai.params.messages", {"params": {"messages": []}}),
        ("config.openai.params.stop", {"params": {"stop": ["a"] * 5}}),
        ("config.openai.timeouts.whole_s", {"timeouts": {"whole_s": 0}}),
        ("config.openai.context_messages", {"context_messages": 0}),
        ("config.openai.system_prompt", {"system_prompt": "x" * 16_001}),
        ("config.openai.system_prompt", {"system_prompt": "a\0b"}),
        ("config.openai.url", {"url": "ftp://models.example.com"}),
        ("config.openai.url", {"url": "https://"}),
        ("config.openai.url", {"url": "https://[::"}),
        ("config.openai.url", {"url": "https://ada:pw@models.example.com"}),
        ("config.openai.url", {"url": "https://models.example.com/v1?key=1"}),
        ("config.openai.url", {"url": "https://models.example.com\\@127.0.0.1"}),
        ("config.openai.secret", {"url": URL, "secret": "two\r\nlines"}),
        ("config.openai.secret", {"url": URL, "secret": ""}),
        ("config.openai.secret", {"secret": SECRET}),
        ("config.scripted.delay_ms", {"kind": "scripted", "delay_ms": -1}),
    ],
)
async def test_what_is_wrong_is_named(agents: Agents, field: str, config: dict[str, Any]) -> None:
    """Each field that cannot be used is refused by its name, and nothing is made; what was given is not repeated."""
    before = (await agents.ada.call("GET", agents.path)).text
    refused = await agents.make(**config)

    assert (refused.status, refused.fields) == (422, {field})
    assert SECRET not in refused.text
    assert (await agents.ada.call("GET", agents.path)).text == before


async def test_a_change_is_a_new_version(agents: Agents, database: Any) -> None:
    """The versions before stay as they were, newest first; a new name alone is none."""
    id = (await agents.make(url=URL, model="one")).json["id"]
    changed = await agents.change(id, url=URL, model="two")
    renamed = await agents.ada.call("PATCH", f"/v1/agents/{id}", {"name": "Another"})
    history = (await agents.ada.call("GET", f"/v1/agents/{id}/versions")).json["data"]
    first = (await agents.ada.call("GET", f"/v1/agents/{id}/versions", limit=1)).json
    second = (await agents.ada.call("GET", f"/v1/agents/{id}/versions", limit=1, cursor=first["next_cursor"])).json

    assert (changed.json["version"], changed.json["config"]["model"]) == (2, "two")
    assert (renamed.json["version"], renamed.json["name"]) == (2, "Another")
    assert [(v["version"], v["config"]["model"]) for v in history] == [(2, "two"), (1, "one")]
    assert [v["version"] for v in first["data"] + second["data"]] == [2, 1]
    assert second["next_cursor"] is None


async def test_a_secret_never_comes_out(agents: Agents, stack: Stack, database: Any) -> None:
    """It is in no answer, no row, no event and no log; where it is used it opens, for its own agent alone."""
    made = await agents.make(url=URL, secret=SECRET)
    id = made.json["id"]
    answers = [
        made,
        await agents.ada.call("GET", f"/v1/agents/{id}"),
        await agents.ada.call("GET", agents.path),
        await agents.ada.call("GET", f"/v1/agents/{id}/versions"),
        await agents.ada.call("GET", "/v1/openapi.json"),
    ]
    told = await database.fetch("SELECT convert_from(value, 'UTF8') FROM outbox WHERE key = $1", id)
    written = await database.fetch("SELECT what::text FROM audit_log WHERE project_id = $1", agents.project_id)
    row = await newest(database, id)

    assert made.json["config"]["has_secret"] is True
    assert not [answer for answer in answers if SECRET in answer.text]
    assert SECRET not in str(told) + str(written) + str(row)
    assert SECRET.encode() not in row["secret"]
    assert SECRET not in agents.ada.api.running.output.read_text()
    assert the_secret_of(stack, row, id) == SECRET


async def test_a_secret_stays_until_it_is_given_again(agents: Agents, stack: Stack, database: Any) -> None:
    """Absent it goes on to the next version, null takes it away, another one takes its place."""
    id = (await agents.make(url=URL, secret=SECRET)).json["id"]

    async def after(**config: object) -> str | None:
        assert (await agents.change(id, **config)).status == 200
        return the_secret_of(stack, await newest(database, id), id)

    assert await after(url=URL, model="m") == SECRET
    assert await after(url=f"{URL}/other", model="m") == SECRET
    assert await after(url=URL, secret="sk-2") == "sk-2"
    assert await after(url=URL, secret=None) is None
    assert await after(url=URL) is None


@pytest.mark.parametrize("url", ["https://evil.example.com/v1", "http://models.example.com/v1", None])
async def test_a_secret_follows_no_other_address(agents: Agents, database: Any, url: str | None) -> None:
    """Who may change an agent may not read its secret, so it cannot be had sent elsewhere, or in the open."""
    id = (await agents.make(url=URL, secret=SECRET)).json["id"]
    refused = await agents.change(id, **({} if url is None else {"url": url}))

    assert (refused.status, refused.fields) == (422, {"config.openai.secret"})
    assert (await newest(database, id))["version"] == 1
    assert (await agents.change(id, **({} if url is None else {"url": url}), secret=None)).status == 200


async def test_a_deleted_agent_is_gone(agents: Agents, database: Any) -> None:
    """Nobody reads or chooses it, its secrets are destroyed in all versions, and it is nobody's default."""
    id = (await agents.make(url=URL, secret=SECRET)).json["id"]
    await agents.change(id, url=URL)
    path = f"/v1/projects/{agents.project_id}"
    await agents.ada.call("PATCH", path, {"default_agent_id": id})
    gone = await agents.ada.call("DELETE", f"/v1/agents/{id}")
    after = [
        await agents.ada.call("GET", f"/v1/agents/{id}"),
        await agents.ada.call("GET", f"/v1/agents/{id}/versions"),
        await agents.change(id, url=URL),
        await agents.ada.call("DELETE", f"/v1/agents/{id}"),
    ]

    assert gone.status == 204
    assert [answer.status for answer in after] == [404] * 4
    assert (await agents.ada.call("GET", path)).json["default_agent_id"] is None
    assert await database.fetchval("SELECT count(secret) FROM agent_versions WHERE agent_id = $1", id) == 0


@pytest.mark.parametrize(("role", "allowed"), [("admin", True), ("member", False), ("viewer", False), (None, None)])
async def test_who_may_change_agents(agents: Agents, role: str | None, allowed: bool | None) -> None:
    """Owners and admins; others see them, and strangers see nothing."""
    ben = await agents.ada.api.sign_up()
    if role is not None:
        body = {"email": ben.email, "role": role}
        await agents.ada.call("POST", f"/v1/projects/{agents.project_id}/members", body)
    id = (await agents.make(url=URL)).json["id"]
    done = [
        await ben.call("POST", agents.path, {"name": "Theirs", "config": {"kind": "scripted"}}),
        await ben.call("PATCH", f"/v1/agents/{id}", {"name": "Theirs"}),
        await ben.call("DELETE", f"/v1/agents/{id}"),
    ]
    seen = (await ben.call("GET", agents.path)).status

    expected = {True: [201, 200, 204], False: [403] * 3, None: [404] * 3}[allowed]
    assert [answer.status for answer in done] == expected
    assert seen == (404 if role is None else 200)


async def test_addresses_inside_are_refused_where_they_are_not_allowed(stack: Stack) -> None:
    """Away from one machine an agent's address is public and https; the setting says otherwise on one."""
    running, url = start_api(stack, CHORUS_AGENT_PRIVATE_ADDRESSES="0", wait=False)
    try:
        async with opened(running, url) as api:
            ada = await api.sign_up()
            agents = Agents(ada, await ada.project_id())
            addresses = (
                "https://127.0.0.1/v1",
                "https://localhost/v1",
                "https://169.254.169.254/latest",
                "https://2130706433/v1",
                "https://0x7f.1/v1",
                "https://[::ffff:10.0.0.1]/v1",
                "http://models.example.com/v1",
            )
            refused = [await agents.make(url=address) for address in addresses]
            public = await agents.make(url="https://1.1.1.1/v1")
    finally:
        running.kill()
        running.process.wait()

    assert [(answer.status, answer.fields) for answer in refused] == [(422, {"config.openai.url"})] * len(addresses)
    assert public.status == 201

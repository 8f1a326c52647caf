"""`ETag`, `If-Match` and `If-None-Match`: nobody undoes what they have not seen, also at the same moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from tests.accounts.pair import OTHER_SITE, on
from tests.running import Stack, until
from tests.stack.rest_api import Answer, Api, Someone

if TYPE_CHECKING:
    Database = asyncpg.Connection[asyncpg.Record]

pytestmark = pytest.mark.usefixtures("processors")


@dataclass
class Thing:
    """Something of Ada's that can be changed.

    Attributes:
        field: what of it is changed, to any text.
        row: table and id of the row whose lock a change takes; None where it goes through the log.
    """

    ada: Someone
    path: str
    field: str
    row: tuple[str, str] | None = None

    async def read(self, *tags: str) -> Answer:
        return await self.ada.call("GET", self.path, headers={"If-None-Match": ", ".join(tags)} if tags else None)

    async def change(self, value: str, tag: str | None = None, by: Someone | None = None) -> Answer:
        headers = None if tag is None else {"If-Match": tag}
        return await (by or self.ada).call("PATCH", self.path, {self.field: value}, headers=headers)


@pytest.fixture
async def ada(api: Api) -> Someone:
    return await api.sign_up()


@pytest.fixture(params=["user", "project", "agent", "conversation"])
async def thing(ada: Someone, request: Any) -> Thing:
    project_id = await ada.project_id()
    project, row = f"/v1/projects/{project_id}", ("projects", project_id)
    match request.param:
        case "user":
            return Thing(ada, "/v1/users/me", "display_name", ("users", ada.id))
        case "project":
            return Thing(ada, project, "name", row)
        case "agent":
            agents = (await ada.call("GET", f"{project}/agents")).json["data"]
            return Thing(ada, f"/v1/agents/{agents[0]['id']}", "name", row)
        case _:
            started = await ada.call("POST", f"{project}/conversations", {"title": "First"})
            return Thing(ada, started.headers["Location"], "title")


async def test_what_is_read_again(thing: Thing) -> None:
    """304 while it is the same, also through a proxy that weakens tags; the whole of it once it has changed."""
    first = await thing.read()
    tag = first.headers["ETag"]
    assert tag.startswith('"'), "strong"
    assert (await thing.read()).headers["ETag"] == tag
    for tags in ([tag], ['"other"', f"W/{tag}"], ["*"]):
        same = await thing.read(*tags)
        assert (same.status, same.text, same.headers["ETag"]) == (304, "", tag)
    changed = await thing.change("Second")
    assert changed.status == 200
    again = await thing.read(tag)
    assert (again.status, again.json[thing.field]) == (200, "Second")
    assert again.headers["ETag"] == changed.headers["ETag"] != tag
    assert (await thing.read("nonsense")).fields == {"If-None-Match"}


async def test_what_was_changed_meanwhile(thing: Thing) -> None:
    """A change of what one has not seen is refused and does nothing; what one has seen can be changed."""
    tag = (await thing.read()).headers["ETag"]
    second = await thing.change("Second", tag)
    assert second.status == 200, second
    stale = await thing.change("Third", tag)
    assert (stale.status, stale.code) == (412, "precondition_failed")
    assert (await thing.read()).json[thing.field] == "Second"
    third = await thing.change("Third", f'"other", W/{second.headers["ETag"]}')
    assert third.status == 200, third
    assert (await thing.change("Fourth", "*")).status == 200
    assert (await thing.change("Fifth")).status == 200
    assert (await thing.change("Sixth", "nonsense")).fields == {"If-Match"}


@asynccontextmanager
async def held_up(thing: Thing, database: "Database", stack: Stack) -> AsyncIterator[None]:
    """Changes that are begun within come as far as they can, and go on together."""
    if thing.row is None:
        yield
        return
    table, id = thing.row
    waiting = "SELECT count(*) >= 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    holding = await asyncpg.connect(stack.database_url)
    async with holding.transaction():
        await holding.execute(f"SELECT FROM {table} WHERE id = $1 FOR UPDATE", id)
        yield
        await until("two wait", lambda: database.fetchval(waiting))
    await holding.close()


async def test_at_the_same_moment(thing: Thing, elsewhere: Api, database: "Database", stack: Stack) -> None:
    """Of ten who have seen the same, at two processes, one changes it, and nothing of theirs is lost."""
    tag = (await thing.read()).headers["ETag"]
    people = (thing.ada, on(elsewhere, thing.ada))
    async with held_up(thing, database, stack):
        asking = [asyncio.create_task(thing.change(f"By {n}", tag, people[n % 2])) for n in range(10)]
    answers = await asyncio.gather(*asking)
    assert sorted(answer.status for answer in answers) == [200] + [412] * 9
    winner = next(n for n, answer in enumerate(answers) if answer.status == 200)
    assert (await thing.read()).json[thing.field] == f"By {winner}"


async def test_an_answer_is_no_change(ada: Someone) -> None:
    """What is said in a conversation, and who has pinned it, shows in its tag, and keeps nobody from renaming it."""
    path = f"/v1/projects/{await ada.project_id()}/conversations"
    conversation = (await ada.call("POST", path, {"title": "First"})).headers["Location"]
    tag = (await ada.call("GET", conversation)).headers["ETag"]
    said = {"client_message_id": str(uuid4()), "content": "hello", "agent_id": None, "when_busy": "reject"}
    assert "cursor" in (await ada.call("POST", f"{conversation}/messages", said)).json
    assert (await ada.call("PUT", f"{conversation}/pin")).status == 204
    assert (await ada.call("GET", conversation, headers={"If-None-Match": tag})).status == 200
    renamed = await ada.call("PATCH", conversation, {"title": "Second"}, headers={"If-Match": tag})
    assert renamed.status == 200


async def test_deleting_what_one_has_seen(ada: Someone) -> None:
    """A project or an agent that was changed meanwhile is not deleted."""
    project = f"/v1/projects/{await ada.project_id()}"
    agents = (await ada.call("GET", f"{project}/agents")).json["data"]
    for path, query in ((f"/v1/agents/{agents[0]['id']}", {}), (project, {"confirm": "Renamed"})):
        tag = (await ada.call("GET", path)).headers["ETag"]
        now = (await ada.call("PATCH", path, {"name": "Renamed"})).headers["ETag"]
        refused = await ada.call("DELETE", path, headers={"If-Match": tag}, **query)
        assert refused.code == "precondition_failed"
        assert (await ada.call("GET", path)).status == 200
        assert (await ada.call("DELETE", path, headers={"If-Match": now}, **query)).status == 204


async def test_a_strangers_tag(api: Api, thing: Thing) -> None:
    """Whoever may not see a thing learns nothing of it by asking with a tag."""
    if thing.path == "/v1/users/me":
        return
    bob = await api.sign_up(display_name="Bob")
    tag = (await thing.read()).headers["ETag"]
    for value in (tag, '"other"', "*"):
        for method, name in (("GET", "If-None-Match"), ("PATCH", "If-Match")):
            body = {thing.field: "Bob's"} if method == "PATCH" else None
            answer = await bob.call(method, thing.path, body, headers={name: value})
            assert (answer.status, answer.headers.get("ETag")) == (404, None)


async def test_other_sites_pages(elsewhere: Api) -> None:
    """A browser lets the pages of sites that are allowed send these headers and read the tag."""
    asking = {"Origin": OTHER_SITE, "Access-Control-Request-Method": "PATCH"}
    answer = await elsewhere.call("OPTIONS", "/v1/users/me", headers=asking)
    assert answer.status == 204
    taken = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"If-Match", "If-None-Match", "Idempotency-Key"} <= set(taken)
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"].split(", ")


async def test_a_role_that_was_changed_meanwhile_stays(ada: Someone, api: Api) -> None:
    """Two owners read that Ben is a member; who comes second is told, and Ben is what the first one made him."""
    ben = await api.sign_up()
    members = f"/v1/projects/{await ada.project_id()}/members"
    await ada.call("POST", members, {"email": ben.email, "role": "member"})
    seen = (await ada.call("GET", f"{members}/{ben.id}")).headers["ETag"]
    assert (await ada.call("PATCH", f"{members}/{ben.id}", {"role": "admin"}, headers={"If-Match": seen})).status == 200
    late = await ada.call("PATCH", f"{members}/{ben.id}", {"role": "viewer"}, headers={"If-Match": seen})
    assert (late.status, late.json["code"]) == (412, "precondition_failed")
    now = await ada.call("GET", f"{members}/{ben.id}")
    assert (now.json["role"], now.headers["ETag"] != seen) == ("admin", True)


async def test_a_webhook_that_was_changed_meanwhile_stays(ada: Someone) -> None:
    """The same of where a project's notifications go; a delivery that failed meanwhile is no reason to refuse."""
    webhooks = f"/v1/projects/{await ada.project_id()}/webhooks"
    made = (await ada.call("POST", webhooks, {"url": "https://example.org/one"})).json["id"]
    seen = (await ada.call("GET", f"{webhooks}/{made}")).headers["ETag"]
    two = await ada.call("PATCH", f"{webhooks}/{made}", {"url": "https://example.org/two"}, headers={"If-Match": seen})
    assert two.status == 200
    late = await ada.call("PATCH", f"{webhooks}/{made}", {"enabled": False}, headers={"If-Match": seen})
    assert late.status == 412
    now = await ada.call("GET", f"{webhooks}/{made}", headers={"If-None-Match": two.headers["ETag"]})
    assert now.status == 304

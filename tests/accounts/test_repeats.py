"""`Idempotency-Key`: whatever is sent twice is done once and answered alike, on any process, whenever one dies."""

import asyncio
import json
import random
from typing import TYPE_CHECKING
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from edge.rest import repeats
from infra.secrets import Secrets, UnusableSecret
from infra.settings import SealingSettings
from tests.accounts.pair import on
from tests.running import Stack, until
from tests.stack.rest_api import Answer, Api, Someone, opened, start_api

if TYPE_CHECKING:
    Database = asyncpg.Connection[asyncpg.Record]

HERE = ("Content-Type", "Location")


@pytest.fixture
async def ada(api: Api) -> Someone:
    return await api.sign_up()


def key_of(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def same(one: Answer, other: Answer) -> bool:
    seen = [(a.status, a.text, [a.headers.get(name) for name in HERE]) for a in (one, other)]
    return seen[0] == seen[1]


async def projects_called(database: "Database", name: str) -> int:
    return int(await database.fetchval("SELECT count(*) FROM projects WHERE name = $1", name))


async def left_behind(database: "Database", person: Someone) -> None:
    """Its process has died so long ago that it will not come back."""
    await database.execute(
        "UPDATE repeats SET claimed_at = now() - interval '31 seconds' WHERE user_id = $1 AND answer IS NULL", person.id
    )


async def test_at_the_same_moment(api: Api, elsewhere: Api, ada: Someone, database: "Database") -> None:
    """Twenty at once, at two processes, make one project; those that come too early are told to ask again."""
    name, key = uuid4().hex, str(uuid4())
    people = (ada, on(elsewhere, ada))

    async def ask(person: Someone) -> Answer:
        async with asyncio.timeout(20):
            while True:
                answer = await person.call("POST", "/v1/projects", {"name": name}, headers=key_of(key))
                if answer.status == 201:
                    return answer
                assert (answer.status, answer.code) == (409, "in_progress")
                assert answer.headers["Retry-After"] == "1"
                await asyncio.sleep(random.uniform(0.01, 0.05))

    answers = await asyncio.gather(*(ask(people[n % 2]) for n in range(20)))
    assert all(same(answers[0], answer) for answer in answers)
    assert answers[0].headers["Location"] == f"/v1/projects/{answers[0].json['id']}"
    assert await projects_called(database, name) == 1


async def test_another_request_with_the_key(ada: Someone, database: "Database") -> None:
    """Another body, path or query is refused; the first one's answer stays, a refusal's too."""
    path = f"/v1/projects/{await ada.project_id()}/members"
    refused = await ada.call("POST", path, {"email": ada.email, "role": "member"}, headers=key_of("one"))
    assert refused.status == 409
    for other, body in (
        (path, {"email": ada.email, "role": "viewer"}),
        ("/v1/projects", {"name": "Other"}),
        (f"{path}?again=1", {"email": ada.email, "role": "member"}),
    ):
        answer = await ada.call("POST", other, body, headers=key_of("one"))
        assert (answer.status, answer.code) == (422, "idempotency_mismatch"), other
    await ada.call("DELETE", f"{path}/{uuid4()}")
    assert same(refused, await ada.call("POST", path, {"email": ada.email, "role": "member"}, headers=key_of("one")))


async def test_keys_are_ones_own(api: Api, ada: Someone) -> None:
    """Another's key is another key; one that is too long or no key is refused, and none is needed."""
    bob = await api.sign_up(display_name="Bob")
    made = [await one.call("POST", "/v1/projects", {"name": "P"}, headers=key_of("k")) for one in (ada, bob)]
    assert [a.status for a in made] == [201, 201]
    assert made[0].json["id"] != made[1].json["id"]
    for wrong in ("x" * 256, "a b", "a\tb"):
        answer = await ada.call("POST", "/v1/projects", {"name": "P"}, headers=key_of(wrong))
        assert (answer.status, answer.fields) == (422, {"Idempotency-Key"}), wrong
    plain = [await ada.call("POST", "/v1/projects", {"name": "P"}) for _ in range(2)]
    assert plain[0].json["id"] != plain[1].json["id"]


async def test_a_day_later(ada: Someone, database: "Database") -> None:
    """After 24 hours a key is as new."""
    first = await ada.call("POST", "/v1/projects", {"name": "P"}, headers=key_of("k"))
    await database.execute("UPDATE repeats SET claimed_at = now() - interval '25 hours' WHERE user_id = $1", ada.id)
    second = await ada.call("POST", "/v1/projects", {"name": "Q"}, headers=key_of("k"))
    assert (second.status, second.json["name"]) == (201, "Q")
    assert second.json["id"] != first.json["id"]


async def test_what_is_kept_cannot_be_read(stack: Stack, ada: Someone, database: "Database") -> None:
    """Neither the key nor the answer stands in the row; not even the master key opens it without the client's."""
    key = str(uuid4())
    invited = {"email": f"{uuid4().hex}@example.org", "role": "member"}
    path = f"/v1/projects/{await ada.project_id()}/members"
    answer = await ada.call("POST", path, invited, headers=key_of(key))
    assert answer.status == 201
    row = await database.fetchrow("SELECT * FROM repeats WHERE user_id = $1", ada.id)
    assert row is not None
    stored = b"".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
    for secret in (key, invited["email"], answer.json["invitation_id"], "invited"):
        assert secret.encode() not in stored
    master = Secrets(SealingSettings.from_env(stack.env))
    for wrong in (master, master.under(f"repeats/{ada.id}/other")):
        with pytest.raises(UnusableSecret):
            wrong.open("answer", row["answer"])
    kept = json.loads(master.under(f"repeats/{ada.id}/{key}").open("answer", row["answer"]))
    assert invited["email"] in kept["body"]


@pytest.mark.slow
async def test_killed_before_the_end(stack: Stack, ada: Someone, database: "Database") -> None:
    """A process that dies before it has kept the answer leaves nothing done; another does it, once the claim is old."""
    running, url = start_api(stack)
    path = f"/v1/projects/{await ada.project_id()}"
    agent = {"name": uuid4().hex, "config": {"kind": "scripted"}}
    count = "SELECT count(*) FROM agents WHERE name = $1"
    blocking = [await asyncpg.connect(stack.database_url) for _ in range(2)]
    at = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || $1 || '%'"
    async with opened(running, url) as dying, blocking[0].transaction():
        async with blocking[1].transaction():
            await blocking[1].execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
            asking = asyncio.create_task(on(dying, ada).call("POST", f"{path}/agents", agent, headers=key_of("k")))
            await until("it is at work", lambda: database.fetchval(at, "INTO audit_log"))
            await blocking[0].execute("SELECT FROM repeats WHERE user_id = $1 FOR UPDATE", ada.id)
        # All is done but the answer.
        await until("it is to be answered", lambda: database.fetchval(at, "UPDATE repeats"))
        running.kill()
        with pytest.raises(aiohttp.ClientError):
            await asking
    for connection in blocking:
        await connection.close()
    early = await ada.call("POST", f"{path}/agents", agent, headers=key_of("k"))
    assert (early.status, early.code) == (409, "in_progress")
    assert await database.fetchval(count, agent["name"]) == 0
    await left_behind(database, ada)
    mismatch = await ada.call("POST", f"{path}/agents", agent | {"name": "Other"}, headers=key_of("k"))
    assert mismatch.code == "idempotency_mismatch"
    done = await ada.call("POST", f"{path}/agents", agent, headers=key_of("k"))
    assert done.status == 201
    assert same(done, await ada.call("POST", f"{path}/agents", agent, headers=key_of("k")))
    assert await database.fetchval(count, agent["name"]) == 1


async def test_killed_at_any_moment(stack: Stack, ada: Someone, database: "Database") -> None:
    """Whenever a process is killed, what was sent to it and again to another is done once."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    drawn = random.Random(seed)
    running, url = start_api(stack)
    bodies = [{"name": uuid4().hex} for _ in range(12)]
    async with opened(running, url) as dying:
        asking = [
            asyncio.create_task(on(dying, ada).call("POST", "/v1/projects", body, headers=key_of(body["name"])))
            for body in bodies
        ]
        await asyncio.sleep(drawn.uniform(0.02, 0.2))
        running.kill()
        first = await asyncio.gather(*asking, return_exceptions=True)
    await left_behind(database, ada)
    again = [await ada.call("POST", "/v1/projects", body, headers=key_of(body["name"])) for body in bodies]
    print(f"{sum(isinstance(answer, Answer) for answer in first)} of {len(first)} were answered before")
    for body, before, after in zip(bodies, first, again, strict=True):
        assert after.status == 201, after
        assert not isinstance(before, Answer) or same(before, after)
        assert await projects_called(database, body["name"]) == 1


@pytest.mark.usefixtures("processors")
async def test_a_conversation_is_started_once(ada: Someone, elsewhere: Api, database: "Database") -> None:
    """What goes through the log is no transaction: done again after a crash, it is the same conversation."""
    path, body = f"/v1/projects/{await ada.project_id()}/conversations", {"title": "Once"}
    first = await ada.call("POST", path, body, headers=key_of("k"))
    assert first.status == 201
    renamed = await ada.call("PATCH", f"/v1/conversations/{first.json['id']}", {"title": "Renamed"})
    assert renamed.status == 200
    assert same(first, await on(elsewhere, ada).call("POST", path, body, headers=key_of("k")))
    await database.execute("UPDATE repeats SET answer = NULL WHERE user_id = $1", ada.id)
    await left_behind(database, ada)
    again = await on(elsewhere, ada).call("POST", path, body, headers=key_of("k"))
    assert (again.status, again.json["id"]) == (201, first.json["id"])
    assert len((await ada.call("GET", path)).json["data"]) == 1
    other = await ada.call("POST", path, body, headers=key_of("l"))
    assert other.json["id"] != first.json["id"]


async def test_what_failed_is_not_kept(stack: Stack, ada: Someone, database: "Database") -> None:
    """A 503 is nobody's answer for ever, and nothing of what it stands for is done."""
    name = uuid4().hex
    other = await asyncpg.connect(stack.database_url)
    async with other.transaction():
        await other.execute("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE")
        answer = await ada.call("POST", "/v1/projects", {"name": name}, headers=key_of("k"))
        assert answer.status == 503
    await other.close()
    assert await projects_called(database, name) == 0
    answer = await ada.call("POST", "/v1/projects", {"name": name}, headers=key_of("k"))
    assert answer.status == 201
    assert await projects_called(database, name) == 1


@pytest.mark.slow
async def test_what_could_not_be_tried_is_not_kept(stack: Stack, ada: Someone, database: "Database") -> None:
    """While Kafka is away nothing is remembered of who asked: the same key is a new try."""
    path = f"/v1/projects/{await ada.project_id()}/conversations"
    running, url = start_api(stack, wait=False, CHORUS_KAFKA="127.0.0.1:1")
    async with opened(running, url) as alone:
        answer = await on(alone, ada).call("POST", path, {"title": "Once"}, headers=key_of("k"))
    running.kill()
    assert (answer.status, answer.code) == (503, "unavailable")
    assert await database.fetchval("SELECT count(*) FROM repeats WHERE user_id = $1", ada.id) == 0


async def test_rows_are_cleared_away(stack: Stack, ada: Someone, database: "Database") -> None:
    """A process removes those that are older than a day, and no others."""
    for key in ("old", "new"):
        await ada.call("POST", "/v1/projects", {"name": key}, headers=key_of(key))
    old = "UPDATE repeats SET claimed_at = now() - interval '25 hours' WHERE user_id = $1 AND claim = $2"
    claims = await database.fetch("SELECT claim FROM repeats WHERE user_id = $1 ORDER BY claimed_at", ada.id)
    await database.execute(old, ada.id, claims[0]["claim"])
    pool = await asyncpg.create_pool(stack.database_url, min_size=1)
    clearing = asyncio.create_task(repeats.run(pool))
    gone = "SELECT count(*) = 1 FROM repeats WHERE user_id = $1"
    await until("the old one is gone", lambda: database.fetchval(gone, ada.id))
    clearing.cancel()
    await pool.close()
    assert await database.fetchval("SELECT claim FROM repeats WHERE user_id = $1", ada.id) == claims[1]["claim"]

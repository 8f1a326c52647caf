"""Deleting oneself over REST: what goes at once and what soon, what stays and is said, and who may not yet go."""

import asyncio
from typing import Any

import asyncpg
import pytest

from edge import audit, erasure
from infra import live
from infra import redis as our_redis
from infra.settings import RedisSettings
from tests.running import Stack, until
from tests.stack.rest_api import Api, Someone, Written


async def delete(person: Someone) -> dict[str, Any]:
    answer = await person.call("DELETE", "/v1/users/me", {"confirm": person.email})
    assert answer.status == 200, answer
    return dict(answer.json)


async def add(database: "asyncpg.Connection[asyncpg.Record]", project_id: str, person: Someone, role: str) -> None:
    await database.execute(
        "INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, $3)", project_id, person.id, role
    )


async def naming(database: "asyncpg.Connection[asyncpg.Record]", *words: str) -> set[str]:
    """The columns of all tables in which one of these words stands."""
    columns = await database.fetch(
        """
        SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables
            USING (table_schema, table_name)
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
        """
    )
    found = set()
    for table, column in columns:
        said = f'SELECT EXISTS (SELECT FROM "{table}" WHERE strpos("{column}"::text, $1) > 0)'
        for word in words:
            if await database.fetchval(said, word):
                found.add(f"{table}.{column}")
    return found


async def test_nothing_names_a_person_who_is_deleted(
    api: Api, written: Written, database: "asyncpg.Connection[asyncpg.Record]", stack: Stack
) -> None:
    """No table holds the address, the name or a text of theirs, and only these columns the id, which leads nowhere."""
    me, other = await api.sign_up(display_name="Zebedee-Quux"), await api.sign_up()
    shared = await other.project_id()
    await add(database, shared, me, "admin")
    theirs = await written.conversation(shared, other.id, title="Named by Zebedee-Quux", title_by=me.id)
    mine = await written.message(theirs, me.id, 1, content="words of Zebedee-Quux", project_id=shared)
    answer = await written.message(
        theirs, me.id, 2, content="Hello Zebedee-Quux", role="assistant", author_id=None, project_id=shared
    )
    kept = await written.message(theirs, other.id, 3, content="words of another", project_id=shared)
    await database.execute("INSERT INTO pins (user_id, conversation_id) VALUES ($1, $2)", me.id, theirs)
    with audit.coming_from("192.0.2.55", None):
        await audit.record(database, audit.Event.AUTHZ_CHANGE, actor_id=me.id, project_id=shared)
    redis = our_redis.connect(RedisSettings.from_env(stack.env))
    for key in (live.state_key(theirs), live.records_key(theirs)):
        await redis.set(key, "Zebedee-Quux")
    projects = [p["id"] for p in (await me.call("GET", "/v1/projects")).json["data"]]

    receipt = await delete(me)

    assert receipt["user_id"] == me.id
    assert receipt["done"]
    assert {entry["what"].split()[0] for entry in receipt["kept"]} >= {"backups", "sealed"}
    assert (await api.call("POST", "/v1/auth/refresh", {"refresh_token": me.refresh_token})).status == 401
    assert (await api.call("POST", "/v1/auth/login", {"email": me.email, "password": "x" * 12})).status == 401
    assert (await me.call("GET", "/v1/users/me")).status == 401

    async def emptied() -> bool:
        rows = await database.fetch("SELECT content, content_deleted FROM messages WHERE id = ANY($1)", [mine, answer])
        return [tuple(row) for row in rows] == [("", True)] * 2 and not await redis.exists(
            live.state_key(theirs), live.records_key(theirs)
        )

    await until("the texts are gone", emptied)
    await redis.aclose()
    assert await database.fetchval("SELECT content FROM messages WHERE id = $1", kept) == "words of another"
    assert await database.fetchval("SELECT title FROM conversations WHERE id = $1", theirs) is None
    assert await naming(database, "Zebedee-Quux", me.email, "192.0.2.55") == set()
    assert await naming(database, me.id) == {
        "audit_log.actor_id", "audit_log.user_id", "data_keys.user_id", "erasures.user_id", "messages.author_id",
        "messages.owner_id", "revocations.user_id",
    }  # fmt: skip
    gone = [p for p in projects if p != shared]
    assert len(gone) == 1
    assert await database.fetchval("SELECT count(*) FROM projects WHERE id = ANY($1)", gone) == 0
    assert (await other.call("GET", f"/v1/projects/{shared}")).status == 200
    # The same address may begin anew, as somebody else.
    assert (await api.sign_up(email=me.email)).id != me.id


async def test_it_is_looked_again_before_it_is_called_done(
    api: Api, written: Written, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """What a process writes with a key that it still remembers is found; only then the receipt says that it is done."""
    me = await api.sign_up()
    conversation = await written.conversation(await me.project_id(), me.id)
    receipt = await delete(me)
    path = f"/v1/erasures/{receipt['id']}"

    async def again_at() -> Any:
        return await database.fetchval("SELECT again_at - asked_at FROM erasures WHERE user_id = $1", me.id)

    async def looked() -> bool:
        return bool(await again_at() == erasure.AGAIN_AFTER)

    await until("it was done once", looked)
    assert (await api.call("GET", path)).json["done_at"] is None
    late = await written.message(conversation, me.id, 1, content="opened with a key that was remembered")
    await database.execute(
        "UPDATE erasures SET asked_at = asked_at - $2::interval, again_at = now() WHERE user_id = $1",
        me.id,
        erasure.AGAIN_AFTER,
    )

    async def done() -> bool:
        return (await api.call("GET", path)).json["done_at"] is not None

    await until("it is done", done)
    assert await database.fetchval("SELECT content FROM messages WHERE id = $1", late) == ""


async def test_the_only_owner_of_what_others_use_stays(
    api: Api, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """409 that names the project and says what to do, and nothing is changed; with another owner it is done."""
    me, other = await api.sign_up(), await api.sign_up()
    project = await me.project_id()
    await add(database, project, other, "admin")

    refused = await me.call("DELETE", "/v1/users/me", {"confirm": me.email})

    assert (refused.status, refused.fields) == (409, {"projects"})
    assert project in refused.json["detail"]
    assert (await me.call("GET", "/v1/users/me")).status == 200
    assert await database.fetchval("SELECT wrapped IS NOT NULL FROM data_keys WHERE user_id = $1", me.id)
    await database.execute("UPDATE project_members SET role = 'owner' WHERE user_id = $1", other.id)
    await delete(me)
    assert (await other.call("GET", f"/v1/projects/{project}")).status == 200


async def test_two_owners_who_go_at_once_leave_no_project_behind(
    api: Api, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """One of them is told that they are the last."""
    one, two, member = [await api.sign_up() for _ in range(3)]
    project = await one.project_id()
    await add(database, project, two, "owner")
    await add(database, project, member, "member")
    answers = await asyncio.gather(
        *(person.call("DELETE", "/v1/users/me", {"confirm": person.email}) for person in (one, two))
    )
    assert sorted(answer.status for answer in answers) == [200, 409]
    assert await database.fetchval("SELECT count(*) FROM project_members WHERE project_id = $1", project) == 2


@pytest.mark.parametrize("body", [{}, {"confirm": ""}, {"confirm": "somebody@example.org"}, {"confirm": None}])
async def test_nobody_deletes_an_account_by_mistake(api: Api, body: dict[str, Any]) -> None:
    """Without the account's own address nothing is done."""
    me = await api.sign_up()
    answer = await me.call("DELETE", "/v1/users/me", body)
    assert (answer.status, answer.fields) == (422, {"confirm"})
    assert (await me.call("GET", "/v1/users/me")).status == 200


async def test_a_round_that_was_cut_off_is_done_by_somebody_else(
    api: Api, written: Written, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A process that claimed the work and died has left all that is needed: another one takes it up when the time of
    the first one is over, and not before."""
    me = await api.sign_up()
    conversation = await written.conversation(await me.project_id(), me.id)
    message = await written.message(conversation, me.id, 1, content="still here")
    async with database.transaction():
        assert await erasure.begin(database, me.id, me.email) is not None
        await database.execute("UPDATE erasures SET again_at = now() + interval '1 hour' WHERE user_id = $1", me.id)

    async def content() -> str:
        return str(await database.fetchval("SELECT content FROM messages WHERE id = $1", message))

    await asyncio.sleep(2 * erasure.LOOK_S)  # as long as somebody would need to take it up
    assert await content() == "still here"
    await database.execute("UPDATE erasures SET again_at = now() WHERE user_id = $1", me.id)

    async def emptied() -> bool:
        return await content() == ""

    await until("the text is gone", emptied)


async def test_the_key_of_a_deleted_person_cannot_come_back(
    api: Api, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """The row stays, empty: it is what a replay and a restored backup are told by."""
    me = await api.sign_up()
    await delete(me)
    row = await database.fetchrow("SELECT wrapped, destroyed_at FROM data_keys WHERE user_id = $1", me.id)
    assert row is not None
    assert row["wrapped"] is None
    assert row["destroyed_at"] is not None

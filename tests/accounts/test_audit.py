"""The audit log: what is in an entry, who may read it, and that nobody changes it."""

import re
from typing import Any

import asyncpg
import pytest

from edge import audit
from edge.audit import Event, Result
from schemas.ids import new_id
from tests.stack.rest_api import PASSWORD, Api, Someone


async def test_an_entry_says_who_what_and_from_where(database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The request's address and id are in it without the caller giving them."""
    actor, user, project = new_id(), new_id(), new_id()
    with audit.coming_from("192.0.2.7", "request-1"):
        await audit.record(
            database,
            Event.AUTHZ_FAIL,
            actor_id=actor,
            user_id=user,
            project_id=project,
            result=Result.FAILURE,
            role="x",
        )
    row = await database.fetchrow("SELECT * FROM audit_log WHERE project_id = $1", project)
    assert row is not None
    assert (row["event"], row["result"], row["address"], row["request_id"]) == (
        "authz_fail", "failure", "192.0.2.7", "request-1",
    )  # fmt: skip
    assert (str(row["actor_id"]), str(row["user_id"]), row["what"]) == (actor, user, '{"role": "x"}')


async def test_no_entry_looks_like_two(database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Line ends, escapes, NUL and letters that turn a line around are written out, and long values are cut."""
    project = new_id()
    with audit.coming_from("1.2.3.4\r\nuser_deleted", "a\u2028b"):
        await audit.record(
            database, Event.AUTHN_LOGIN_FAIL, actor_id=None, project_id=project, text="x\n\0\u202ey" + "z" * 999
        )
    row = await database.fetchrow(
        "SELECT address, request_id, what ->> 'text' FROM audit_log WHERE project_id = $1", project
    )
    assert row is not None
    assert tuple(row)[:2] == (r"1.2.3.4\r\nuser_deleted", r"a\u2028b")
    assert row[2].startswith(r"x\n\x00\u202eyzz")
    assert len(row[2]) < audit.LONGEST * 2


async def test_what_is_rolled_back_was_not_done(database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """An entry is part of its transaction."""
    project = new_id()
    transaction = database.transaction()
    await transaction.start()
    await audit.record(database, Event.USER_UPDATED, actor_id=None, project_id=project)
    await transaction.rollback()
    assert await database.fetchval("SELECT count(*) FROM audit_log WHERE project_id = $1", project) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_log WHERE project_id = $1",
        "UPDATE audit_log SET result = 'success' WHERE project_id = $1",
        "UPDATE audit_log SET address = '203.0.113.1' WHERE project_id = $1",
        "UPDATE audit_log SET address = NULL, actor_id = NULL WHERE project_id = $1",
        "TRUNCATE audit_log",
    ],
)
async def test_nobody_changes_an_entry(database: "asyncpg.Connection[asyncpg.Record]", statement: str) -> None:
    """The database refuses, whoever asks; what was written stays as it was."""
    project = new_id()
    with audit.coming_from("192.0.2.7", None):
        await audit.record(database, Event.AUTHZ_FAIL, actor_id=new_id(), project_id=project, result=Result.FAILURE)
    before = await database.fetch("SELECT * FROM audit_log WHERE project_id = $1", project)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only ever added to"):
        await database.execute(statement, *([project] if "$1" in statement else []))
    assert await database.fetch("SELECT * FROM audit_log WHERE project_id = $1", project) == before


async def test_old_entries_go(database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """After `KEPT`, and not a day before, as the database has it, too."""
    project = new_id()
    for age in (audit.KEPT.days - 1, audit.KEPT.days + 1):
        await database.execute(
            """
            INSERT INTO audit_log (id, at, event, result, project_id, what)
            VALUES ($1, now() - $2 * interval '1 day', 'authz_fail', 'failure', $3, '{}')
            """,
            new_id(),
            age,
            project,
        )
    await audit.forget_old(database)
    ages = await database.fetch(
        "SELECT extract(day FROM now() - at)::int FROM audit_log WHERE project_id = $1", project
    )
    assert [row[0] for row in ages] == [audit.KEPT.days - 1]


async def test_who_runs_a_project_reads_its_log(api: Api, database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Owners and admins, newest first and page by page; members are told no, and strangers that there is nothing."""
    owner, admin, member, stranger = [await api.sign_up() for _ in range(4)]
    project = await owner.project_id()
    for person, role in ((admin, "admin"), (member, "member")):
        await database.execute(
            "INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, $3)", project, person.id, role
        )
    for n in range(5):
        await audit.record(database, Event.SENSITIVE_UPDATE, actor_id=owner.id, project_id=project, n=n)
    await audit.record(database, Event.SENSITIVE_UPDATE, actor_id=stranger.id, project_id=await stranger.project_id())
    path = f"/v1/projects/{project}/audit"

    def numbers(entries: list[dict[str, object]]) -> list[object]:
        return [entry["what"]["n"] for entry in entries if "n" in entry["what"]]  # type: ignore[index,operator]

    first = (await admin.call("GET", path, limit=3)).json
    second = (await owner.call("GET", path, limit=100, cursor=first["next_cursor"])).json
    assert numbers(first["data"] + second["data"]) == [4, 3, 2, 1, 0]
    assert {entry["actor_id"] for entry in first["data"]} == {owner.id}
    assert (await member.call("GET", path)).status == 403
    assert (await stranger.call("GET", path)).status == 404
    assert (await api.call("GET", path)).status == 401


async def test_what_people_do_is_recorded(api: Api, database: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Every act that a tired admin or a person would ask about leaves its entries, and what is refused leaves one, each
    with who, from where and in which request, and without anybody's address, text or secret."""
    ada, bob = await api.sign_up(), await api.sign_up()
    made = (await ada.call("POST", "/v1/projects", {"name": "Books"})).json["id"]
    project = f"/v1/projects/{made}"
    config = {"kind": "openai", "url": "https://example.org/v1", "model": "m", "secret": "sk-hush"}

    async def did(who: Someone, status: int, method: str, path: str, body: object = None, **query: object) -> Any:
        before = await database.fetchval("SELECT clock_timestamp()")
        answer = await who.call(method, path, body, **query)
        assert answer.status == status, answer
        rows = await database.fetch(
            "SELECT * FROM audit_log WHERE at > $1 AND (actor_id = ANY($2) OR user_id = ANY($2)) ORDER BY at, id",
            before,
            [ada.id, bob.id],
        )
        for row in rows:
            assert (row["address"] is None) == (path == "/v1/users/me"), row  # who goes takes it along
            assert row["request_id"] == answer.headers["X-Request-Id"]
            assert not re.search(r"@example|Books|hush|battery", str(row["what"])), row
            if row["project_id"] is not None:
                assert str(row["project_id"]) == made
        seen.append((f"{method} {path.replace(made, '…')} {status}", [row["event"] for row in rows]))
        return answer.json if answer.text else None

    seen: list[tuple[str, list[str]]] = []
    await did(ada, 201, "POST", f"{project}/members", {"email": bob.email, "role": "viewer"})
    await did(bob, 403, "PATCH", project, {"name": "Mine"})
    await did(bob, 403, "GET", f"{project}/audit")
    await did(bob, 403, "GET", f"{project}/invitations")
    await did(bob, 403, "POST", f"{project}/agents", {"name": "Mine", "config": config})
    await did(ada, 200, "PATCH", f"{project}/members/{bob.id}", {"role": "admin"})
    invited = await did(ada, 201, "POST", f"{project}/members", {"email": "new@example.org", "role": "member"})
    await did(ada, 204, "DELETE", f"{project}/invitations/{invited['invitation_id']}")
    agent = (await did(ada, 201, "POST", f"{project}/agents", {"name": "A", "config": config}))["id"]
    await did(ada, 200, "PATCH", f"/v1/agents/{agent}", {"name": "B"})
    await did(ada, 204, "DELETE", f"/v1/agents/{agent}")
    await did(ada, 200, "POST", f"{project}/transfer", {"user_id": bob.id})
    await did(bob, 204, "DELETE", f"{project}/members/{ada.id}")
    await did(bob, 204, "DELETE", project, confirm="Books")
    await did(bob, 200, "POST", f"{project}/restore")
    wrong = {"current_password": "wrong", "new_password": "another battery staple"}
    await did(ada, 422, "POST", "/v1/users/me/password", wrong)
    await did(ada, 401, "POST", "/v1/auth/login", {"email": ada.email, "password": "wrong"})
    await did(ada, 200, "POST", "/v1/auth/login", {"email": ada.email, "password": PASSWORD})
    await did(ada, 204, "POST", "/v1/auth/logout", {"everywhere": True})
    await did(bob, 200, "DELETE", "/v1/users/me", {"confirm": bob.email})
    assert [events for _, events in seen] == [
        ["privilege_permissions_changed"],
        ["authz_fail"],
        ["authz_fail"],
        ["authz_fail"],
        ["authz_fail"],
        ["privilege_permissions_changed"],
        ["sensitive_create"],
        ["sensitive_delete"],
        ["sensitive_create"],
        ["sensitive_update"],
        ["sensitive_delete"],
        ["privilege_permissions_changed", "privilege_permissions_changed"],
        ["privilege_permissions_changed"],
        ["sensitive_delete"],
        ["sensitive_update"],
        ["authn_password_change_fail"],
        ["authn_login_fail"],
        ["authn_login_success"],
        ["authn_token_revoked"],
        ["user_deleted", "authn_token_revoked"],
    ], seen

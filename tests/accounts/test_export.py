"""The export of everything of mine: all of it, nobody else's, and a zip that can be opened."""

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import Any

import asyncpg

from edge import audit, takeout
from tests.stack.rest_api import Api, Someone, Written

Files = dict[str, list[dict[str, Any]]]


async def export(person: Someone) -> Files:
    sent = {"Authorization": f"Bearer {person.signed_in['access_token']}"}
    async with person.api.http.get(f"{person.api.url}/v1/users/me/export", headers=sent) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/zip"
        assert response.headers["Content-Disposition"].startswith("attachment")
        content = await response.read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        names = [name for name in archive.namelist() if name.endswith(".jsonl")]
        return {
            name.removesuffix(".jsonl"): [json.loads(line) for line in archive.read(name).splitlines()]
            for name in names
        }


async def test_it_is_complete_and_only_ones_own(
    api: Api, written: Written, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """My texts and the answers to them, what I am and did; no text, address or name of anybody else."""
    me, other = await api.sign_up(display_name="Me"), await api.sign_up(display_name="Somebody-Else")
    project = await me.project_id()
    await database.execute(
        "INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, 'member')", project, other.id
    )
    ours = await written.conversation(project, me.id, title="Ours", title_by=me.id)
    mine = [
        await written.message(ours, me.id, 1, content="my question\n\u2028 two lines", project_id=project),
        await written.message(ours, me.id, 2, content="its answer", role="assistant", author_id=None),
    ]
    await written.message(ours, other.id, 3, content="SECRET of another")
    theirs = await written.conversation(project, other.id, title="SECRET title")
    await written.message(theirs, other.id, 1, content="SECRET too")
    elsewhere = (await other.call("POST", "/v1/projects", {"name": "Elsewhere"})).json["id"]
    left = await written.conversation(elsewhere, other.id, title="SECRET where I am no more")
    mine.append(await written.message(left, me.id, 1, content="said before I left"))
    with audit.coming_from("192.0.2.99", None):
        await audit.record(database, audit.Event.AUTHZ_CHANGE, actor_id=other.id, user_id=me.id, project_id=project)

    files = await export(me)

    assert files.keys() == takeout.FILES.keys()
    assert [row["email"] for row in files["profile"]] == [me.email]
    assert [row["id"] for row in files["messages"]] in ([*mine], [mine[2], *mine[:2]])
    assert {row["content"] for row in files["messages"]} >= {"my question\n\u2028 two lines", "its answer"}
    assert {row["id"]: row["title"] for row in files["conversations"]} == {ours: "Ours", left: None}
    assert [row["project_id"] for row in files["memberships"]] == [project]
    assert len(files["sessions"]) == 1
    assert {row["event"] for row in files["audit"]} >= {"authz_change", "sensitive_read"}
    assert all(row["config"]["kind"] for row in files["agents"])
    whole = json.dumps(files)
    for secret in ("SECRET", other.email, "Somebody-Else", "192.0.2.99", "argon2"):
        assert secret not in whole, secret
    assert (await api.call("GET", "/v1/users/me/export")).status == 401


async def test_what_does_not_fit_in_memory_is_written_as_it_is_read(
    api: Api, written: Written, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Thousands of rows come in pieces, and all of them come."""
    me = await api.sign_up()
    ours = await written.conversation(await me.project_id(), me.id)
    await database.execute(
        """
        INSERT INTO messages (id, conversation_id, position, role, owner_id, content, created_at)
        SELECT gen_random_uuid(), $1, n, 'user', $2, md5(n::text) || md5((n * 7)::text), now()
        FROM generate_series(1, 3000) AS n
        """,
        ours,
        me.id,
    )
    pieces = [len(piece) async for piece in takeout.packed(database, me.id, datetime.now(UTC))]
    assert len(pieces) > 3000 / 200
    assert max(pieces) < 60_000
    assert [row["position"] for row in (await export(me))["messages"]] == list(range(1, 3001))

"""Notifications over REST: what there is, what was read, and which a person wants."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from infra import notifications
from schemas import ids
from schemas.notifications import Kind, Notice
from tests.stack.rest_api import Api, Someone


@pytest.fixture
async def ada(api: Api) -> Someone:
    return await api.sign_up()


async def notify(pool: Any, whom: Someone, count: int = 1, kind: Kind = Kind.BUDGET) -> list[str]:
    """Store notifications of somebody's first project; their ids, the oldest first."""
    project_id = await whom.project_id()
    made = [
        Notice(
            id=ids.new_id(),
            user_id=whom.id,
            kind=kind,
            project_id=project_id,
            occurred_at=datetime.now(UTC),
            data={"n": n},
        )
        for n in range(count)
    ]
    async with pool.acquire() as connection:
        for notice in made:
            await notifications.store(connection, [notice])
    return [notice.id for notice in made]


async def listed(whom: Someone, **params: Any) -> tuple[list[str], int]:
    """Ids of a page, and how many are unread in all."""
    page = await whom.call("GET", "/v1/notifications", **params)
    assert page.status == 200, page
    return [one["id"] for one in page.json["data"]], page.json["unread"]


async def test_the_newest_stand_first(ada: Someone, pool: Any) -> None:
    """Page by page, nothing twice and nothing left out."""
    made = await notify(pool, ada, 5)
    found: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = (await ada.call("GET", "/v1/notifications", limit=2, **cursor)).json
        found += [one["id"] for one in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert found == made[::-1]
    one = page["data"][0]
    assert (one["kind"], one["project_id"], one["data"], one["read"]) == (
        "budget", await ada.project_id(), {"n": 0}, False
    )  # fmt: skip


async def test_read_up_to_one_is_read_below_it(ada: Someone, pool: Any) -> None:
    """What is newer stays unread; reading the same again, or one that is older, changes nothing."""
    made = await notify(pool, ada, 4)

    for up_to in (made[2], made[2].upper(), made[0]):
        read = await ada.call("POST", "/v1/notifications/read", {"up_to": up_to})
        assert (read.status, read.json) == (200, {"unread": 1})

    assert await listed(ada, unread="true") == ([made[3]], 1)
    assert await listed(ada) == (made[::-1], 1)


async def test_one_reads_only_ones_own(api: Api, ada: Someone, pool: Any) -> None:
    """Another's notification answers as one that does not exist, and stays unread; lists hold one's own."""
    bob = await api.sign_up()
    hers, his = await notify(pool, ada), await notify(pool, bob)

    foreign = await bob.call("POST", "/v1/notifications/read", {"up_to": hers[0]})
    unknown = await bob.call("POST", "/v1/notifications/read", {"up_to": str(uuid4())})

    assert (foreign.status, foreign.text) == (unknown.status, unknown.text)
    assert foreign.status == 404
    assert await listed(ada) == (hers, 1)
    assert await listed(bob) == (his, 1)


async def test_whoever_is_let_in_is_told(api: Api, ada: Someone) -> None:
    """By whom, as what, into which project; the one who lets them in is not."""
    bob = await api.sign_up()
    project_id = await ada.project_id()
    added = await ada.call("POST", f"/v1/projects/{project_id}/members", {"email": bob.email, "role": "viewer"})
    assert added.status == 201

    [told] = (await bob.call("GET", "/v1/notifications")).json["data"]

    assert (told["kind"], told["project_id"]) == ("invitation", project_id)
    assert told["data"] == {"by": ada.id, "role": "viewer"}
    assert await listed(ada) == ([], 0)


async def test_preferences(api: Api, ada: Someone, pool: Any) -> None:
    """Everything is told until one says otherwise; what is absent in what one says is told; what is turned off is kept
    from one's list, and nobody else's."""
    every = {"app": True, "webhook": True, "email": False}
    assert (await ada.call("GET", "/v1/notifications/preferences")).json == dict.fromkeys(Kind, every)

    said = await ada.call("PUT", "/v1/notifications/preferences", {"budget": {"app": False}})

    assert said.status == 200
    assert said.json == dict.fromkeys(Kind, every) | {"budget": every | {"app": False}}
    assert (await ada.call("GET", "/v1/notifications/preferences")).json == said.json
    bob = await api.sign_up()
    await notify(pool, ada)
    mentioned = await notify(pool, ada, kind=Kind.MENTION)
    assert await listed(ada) == (mentioned, 1)
    his = await notify(pool, bob)
    assert await listed(bob) == (his, 1)
    assert (await ada.call("PUT", "/v1/notifications/preferences", {"budget": {"app": "no"}})).status == 422
    assert (await ada.call("PUT", "/v1/notifications/preferences", {})).json["budget"] == every


@pytest.mark.parametrize("body", [{}, {"up_to": "x"}, {"up_to": None}, {"up_to": 7}])
async def test_what_is_no_notification_is_refused(ada: Someone, body: dict[str, Any]) -> None:
    """With the field that is wrong."""
    refused = await ada.call("POST", "/v1/notifications/read", body)

    assert (refused.status, refused.fields) == (422, {"up_to"})


async def test_nobody_is_told_without_signing_in(api: Api) -> None:
    """No route answers without a token."""
    for method, path in (
        ("GET", "/v1/notifications"),
        ("POST", "/v1/notifications/read"),
        ("GET", "/v1/notifications/preferences"),
        ("PUT", "/v1/notifications/preferences"),
    ):
        assert (await api.call(method, path, {} if method != "GET" else None)).status == 401

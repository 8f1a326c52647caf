"""Money over REST: prices, credit, wallet and ledger, and a question that cannot be paid."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from edge.access import Access
from schemas import ids
from tests.conftest import StartProcess
from tests.money.conftest import Books
from tests.running import Stack
from tests.stack.rest_api import Api, Someone, opened, start_api

PRICE = {"input_micros": 1_000_000, "output_micros": 10_000_000}


@pytest.fixture
async def ada(api: Api) -> Someone:
    return await api.sign_up()


async def an_agent(someone: Someone, **config: Any) -> str:
    path = f"/v1/projects/{await someone.project_id()}/agents"
    made = await someone.call("POST", path, {"name": "Agent", "config": {"kind": "scripted", "delay_ms": 0} | config})
    assert made.status == 201, made
    return str(made.json["id"])


async def test_credit_is_put_in_once_and_seen(ada: Someone) -> None:
    """The wallet begins empty; credit is there at once; the same again is the same; the books say whose it was."""
    project = f"/v1/projects/{await ada.project_id()}"
    assert (await ada.call("GET", f"{project}/wallet")).json == {
        "currency": "USD",
        "balance_micros": 0,
        "reserved_micros": 0,
    }
    new = {"amount_micros": 5_000, "note": "November", "credit_id": str(uuid4())}

    first, again = [await ada.call("POST", f"{project}/credits", new) for _ in range(2)]

    assert (first.status, first.json) == (again.status, again.json) == (201, first.json)
    assert first.json["wallet"]["balance_micros"] == 5_000
    read = (await ada.call("GET", f"{project}/ledger")).json
    assert {(e["account"], e["amount_micros"]) for e in read["data"]} == {("wallet", 5_000), ("funding", -5_000)}
    assert {(e["transaction_id"], e["by_user_id"], e["note"]) for e in read["data"]} == {
        (first.json["transaction_id"], ada.id, "November")
    }
    page = (await ada.call("GET", f"{project}/ledger", limit=1)).json
    rest = (await ada.call("GET", f"{project}/ledger", limit=1, cursor=page["next_cursor"])).json
    assert page["data"] + rest["data"] == read["data"]
    assert rest["next_cursor"] is None


async def test_who_may_not_is_told_so(ada: Someone) -> None:
    """Nothing, less than nothing and another currency are no credit; a stranger sees no money of others."""
    project = f"/v1/projects/{await ada.project_id()}"
    await ada.call("POST", f"{project}/credits", {"amount_micros": 1})

    for wrong in ({"amount_micros": 0}, {"amount_micros": -5}, {"amount_micros": 1, "currency": "EUR"}, {}):
        assert (await ada.call("POST", f"{project}/credits", wrong)).code == "invalid"
    stranger = await ada.api.sign_up()
    agent = f"/v1/agents/{await an_agent(ada)}"
    for method, path, body in (
        ("GET", f"{project}/wallet", None),
        ("GET", f"{project}/ledger", None),
        ("POST", f"{project}/credits", {"amount_micros": 1}),
        ("GET", f"{agent}/prices", None),
        ("PUT", f"{agent}/price", {"price": None}),
    ):
        assert (await stranger.call(method, path, body)).code == "not_found"


async def test_a_member_may_look_and_not_touch(ada: Someone, books: Books) -> None:
    """Credit and prices are for owners and admins."""
    ben, project_id = await ada.api.sign_up(), await ada.project_id()
    await books.pool.execute("INSERT INTO project_members VALUES ($1, $2, 'member')", project_id, ben.id)
    agent_id = await an_agent(ada)

    assert (await ben.call("GET", f"/v1/projects/{project_id}/wallet")).status == 200
    refused = [
        await ben.call("POST", f"/v1/projects/{project_id}/credits", {"amount_micros": 1}),
        await ben.call("PUT", f"/v1/agents/{agent_id}/price", {"price": PRICE}),
    ]
    assert [answer.code for answer in refused] == ["forbidden"] * 2


async def test_where_the_installation_has_treasurers(stack: Stack, ada: Someone, books: Books) -> None:
    """Only they put in credit, take back and set prices, in projects that they are no members of, too, and they see
    what they do; owners still see it all, and set budgets."""
    cleo, ben = await ada.api.sign_up(), await ada.api.sign_up()
    project_id, agent_id = await ada.project_id(), await an_agent(ada)
    project = f"/v1/projects/{project_id}"
    given = (await ada.call("POST", f"{project}/credits", {"amount_micros": 7})).json["transaction_id"]
    work = (
        ("POST", f"{project}/credits", {"amount_micros": 5_000}),
        ("POST", f"{project}/ledger/{given}/reverse", {"note": "a mistake"}),
        ("PUT", f"/v1/agents/{agent_id}/price", {"price": PRICE}),
    )
    running, url = start_api(stack, CHORUS_TREASURERS=f"{cleo.id}, {ids.new_id()}")
    async with opened(running, url) as api:
        owner, treasurer, stranger = (replace(who, api=api) for who in (ada, cleo, ben))
        assert (await api.call("GET", "/v1/config")).json["treasurers"] is True
        refused = [await owner.call(method, path, body) for method, path, body in work]
        assert [(a.status, a.code, "treasurers" in a.json["detail"]) for a in refused] == [(403, "forbidden", True)] * 3
        assert {(await stranger.call(method, path, body)).code for method, path, body in work} == {"not_found"}
        done = [await treasurer.call(method, path, body) for method, path, body in work]
        assert [a.status for a in done] == [201, 201, 200]
        for path in ("wallet", "ledger", "usage", "statements"):
            assert (await treasurer.call("GET", f"{project}/{path}")).status == 200
        assert (await treasurer.call("POST", f"/v1/projects/{ids.new_id()}/credits", work[0][2])).code == "not_found"
        assert (await treasurer.call("GET", f"{project}/conversations")).code == "not_found"
        assert (await owner.call("GET", f"{project}/wallet")).json["balance_micros"] == 5_000
        assert (await owner.call("PUT", f"{project}/budgets", {"data": []})).status == 200
    await running.stop()


async def test_a_price_holds_from_the_next_question_on(ada: Someone, books: Books) -> None:
    """The newest price counts, one for the agent's model before one for any; null makes it free again."""
    agent_id, project_id = await an_agent(ada), await ada.project_id()
    other = await ada.call(
        "POST",
        f"/v1/projects/{project_id}/agents",
        {"name": "Other", "config": {"kind": "openai", "model": "large"}},
    )

    async def set_price(id: str, **body: Any) -> int:
        answer = await ada.call("PUT", f"/v1/agents/{id}/price", body)
        assert answer.status == 200, answer
        return int(answer.json["version"])

    async def price(id: str) -> int | None:
        found = await Access(books.pool).agent(project_id, id)
        assert found is not None
        return found.price

    assert await price(agent_id) is None
    first = await set_price(agent_id, price=PRICE)
    assert await price(agent_id) == first
    large = await set_price(other.json["id"], price=PRICE | {"call_micros": 3}, model="large")
    await set_price(other.json["id"], price=PRICE)
    await set_price(other.json["id"], price=PRICE, model="small")
    assert await price(other.json["id"]) == large
    await set_price(agent_id, price=None)
    assert await price(agent_id) is None

    told = (await ada.call("GET", f"/v1/agents/{other.json['id']}/prices")).json["data"]
    assert [p["model"] for p in told] == ["small", None, "large"]
    assert told[-1]["price"] == PRICE | {"currency": "USD", "cached_input_micros": 1_000_000, "call_micros": 3}


async def test_without_credit_nothing_is_asked(ada: Someone, start_process: StartProcess) -> None:
    """402 and no message, before any provider is called; a top-up works at once; an agent that is free needs none."""
    for role in ("conversations", "history"):
        await start_process("streams", role)
    project_id, agent_id = await ada.project_id(), await an_agent(ada)
    await ada.call("PUT", f"/v1/agents/{agent_id}/price", {"price": PRICE})
    listed = f"/v1/projects/{project_id}/conversations"
    path = (await ada.call("POST", listed, {"agent_id": agent_id})).headers["Location"]

    async def ask(**more: Any) -> Any:
        body = {"client_message_id": str(uuid4()), "content": "Hello"} | more
        return await ada.call("POST", f"{path}/messages", body)

    refused = await ask()
    assert (refused.status, refused.code) == (402, "insufficient_credits")
    assert (await ada.call("GET", f"{path}/messages")).json["data"] == []
    assert (await ask(agent_id=None)).status == 202
    assert (await ask(agent_id=await an_agent(ada))).status == 202
    await ada.call("POST", f"/v1/projects/{project_id}/credits", {"amount_micros": 1_000})
    assert (await ask()).status == 202

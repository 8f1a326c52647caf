"""What answers took, over REST: usage, statements, budgets, and taking something back."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from schemas import ids
from schemas.events import Usage
from tests.conftest import StartProcess
from tests.money.conftest import Books
from tests.money.test_money_api import PRICE, an_agent
from tests.stack.rest_api import Api, Someone


@pytest.fixture
async def ada(api: Api) -> Someone:
    return await api.sign_up()


@pytest.fixture
async def adas(ada: Someone, books: Books) -> Books:
    """The books of Ada's own project, in which an agent of hers answers her."""
    books.project_id, books.user_id = await ada.project_id(), ada.id
    books.agent_id = await an_agent(ada)
    await books.credit(10_000)
    return books


async def answered(
    books: Books, cost: int, tokens: int = 5, source: str = "provider", at: datetime | None = None, **others: str
) -> str:
    """An answer that was made and charged, now or at another time; the run's id."""
    run_id = ids.new_id()
    for name, value in others.items():
        setattr(books, name, value)
    await books.reserve(max(cost, 1), run_id=run_id)
    took = Usage(input_tokens=10, output_tokens=tokens, source=source, price_version=1)  # type: ignore[arg-type]
    await books.settle(replace(books.run_used(run_id, cost, usage=took), occurred_at=at or datetime.now(UTC)))
    return run_id


async def test_usage_by_day_person_and_agent(ada: Someone, adas: Books) -> None:
    """The same answers add up to the same, however they are grouped, and as a table for a spreadsheet, too; other
    attempts and other projects are not among them."""
    ben, mine, other = ids.new_id(), adas.agent_id, await an_agent(ada)
    await answered(adas, 100)
    await answered(adas, 200, tokens=7, source="estimated")
    await answered(adas, 300, user_id=ben)
    await answered(adas, 400, agent_id=other, at=datetime.now(UTC) - timedelta(days=2))
    run_id = await answered(adas, 0, user_id=ada.id, agent_id=mine)
    await adas.settle(adas.attempt_used(run_id, 5_000, attempt=1))
    path = f"/v1/projects/{adas.project_id}/usage"

    whole = (await ada.call("GET", path)).json
    assert [(row["runs"], row["charged_micros"]) for row in whole["total"]] == [(5, 1_000)]
    assert whole["total"][0]["estimated_runs"] == 1
    assert [row["charged_micros"] for row in whole["data"]] == [400, 600], "by day, the first one first"
    found: dict[str, Any] = {}
    for by in ("user", "agent", "agent,user", "user,agent,day"):
        rows = (await ada.call("GET", path, group_by=by)).json["data"]
        assert sum(row["charged_micros"] for row in rows) == 1_000
        found[by] = {(row["user_id"], row["agent_id"]): row["charged_micros"] for row in rows}
    assert found["user"] == {(ada.id, None): 300, (ben, None): 700}
    assert found["agent"] == {(None, mine): 600, (None, other): 400}
    assert found["agent,user"] == {(ada.id, mine): 300, (ben, mine): 300, (ben, other): 400}

    table = await ada.call("GET", path, headers={"Accept": "text/csv"}, group_by="user")
    assert table.headers["Content-Type"].startswith("text/csv")
    assert "attachment" in table.headers["Content-Disposition"]
    lines = list(csv.DictReader(io.StringIO(table.text)))
    assert {line["user_id"]: int(line["charged_micros"]) for line in lines} == {ada.id: 300, ben: 700}


async def test_from_and_to(ada: Someone, adas: Books) -> None:
    """An answer counts from its very moment on and not at the end's; days begin by UTC; nonsense is told."""
    await answered(adas, 100, at=datetime(2026, 3, 1, tzinfo=UTC))
    path = f"/v1/projects/{adas.project_id}/usage"

    async def runs(start: str, end: str) -> int:
        answer = await ada.call("GET", path, **{"from": start, "to": end})
        assert answer.status == 200, answer
        return sum(row["runs"] for row in answer.json["total"])

    assert await runs("2026-03-01", "2026-03-02") == 1
    assert await runs("2026-02-28", "2026-03-01") == 0
    assert await runs("2026-03-01T00:00:00Z", "2026-03-01T00:00:01Z") == 1
    assert await runs("2026-03-01T01:00:00+01:00", "2026-03-01T02:00:00+01:00") == 1
    assert await runs("2026-03-01T00:00:00.000001Z", "2026-03-02") == 0
    for wrong in (
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "2020-01-01", "to": "2026-01-01"},
        {"from": "yesterday"},
        {"group_by": "month"},
    ):
        assert (await ada.call("GET", path, **wrong)).code == "invalid"


async def test_a_statement_adds_up_for_ever(ada: Someone, adas: Books) -> None:
    """Opening, credit, charges and what was taken back make the closing balance, which is the next month's opening;
    what is charged late stands in the month in which it was booked."""
    charged = await answered(adas, 500)
    await answered(adas, 250)
    await adas.reserve(1_000)  # held: it is still theirs
    path = f"/v1/projects/{adas.project_id}"
    taken = await ada.call("POST", f"{path}/ledger/{ids.charge_id(charged)}/reverse", {"note": "it was nonsense"})
    again = await ada.call("POST", f"{path}/ledger/{ids.charge_id(charged)}/reverse", {"note": "it was nonsense"})
    assert (taken.status, taken.json) == (again.status, again.json) == (201, again.json)
    month = datetime.now(UTC).strftime("%Y-%m")

    assert (await ada.call("GET", f"{path}/statements")).json["data"] == [month]
    told = (await ada.call("GET", f"{path}/statements/{month}")).json
    kept = {name.removesuffix("_micros"): told[name] for name in told if name.endswith("_micros")}
    assert kept == {
        "opening": 0, "credit": 10_000, "charged": 750, "late": 0, "reversed": 500, "closing": 9_750,
    }  # fmt: skip
    assert [(line["agent_id"], line["runs"], line["charged_micros"]) for line in told["charges"]] == [
        (adas.agent_id, 2, 750)
    ]
    assert not told["ended"]
    table = list(
        csv.reader(
            io.StringIO((await ada.call("GET", f"{path}/statements/{month}", headers={"Accept": "text/csv"})).text)
        )
    )
    amounts = [int(line[6]) for line in table[1:]]
    assert sum(amounts[:-1]) == amounts[-1] == 9_750
    for nothing in ("2020-13", "2999-01", "x", "2026-1"):
        assert (await ada.call("GET", f"{path}/statements/{nothing}")).code == "not_found"


async def test_what_can_be_taken_back(ada: Someone, adas: Books, api: Api) -> None:
    """Credits and charges of this project, by those who run it; a credit only while it is there."""
    path = f"/v1/projects/{adas.project_id}/ledger"
    given = (await ada.call("POST", f"/v1/projects/{adas.project_id}/credits", {"amount_micros": 5})).json
    held = ids.new_id()
    await adas.reserve(10_000, run_id=held)
    stranger, ben = await api.sign_up(), await api.sign_up()
    await adas.pool.execute("INSERT INTO project_members VALUES ($1, $2, 'member')", adas.project_id, ben.id)
    wrong: list[tuple[Someone, str, str]] = [
        (ada, str(uuid4()), "not_found"),
        (stranger, given["transaction_id"], "not_found"),
        (ben, given["transaction_id"], "forbidden"),
    ]
    for who, transaction_id, code in wrong:
        assert (await who.call("POST", f"{path}/{transaction_id}/reverse", {"note": "x"})).code == code
    assert (await ada.call("POST", f"{path}/{ids.reserve_id(held)}/reverse", {"note": "x"})).status == 409
    assert (await ada.call("POST", f"{path}/{given['transaction_id']}/reverse", {"note": "x"})).status == 201
    first = await adas.pool.fetchval(
        "SELECT transaction_id::text FROM ledger_entries WHERE project_id = $1 AND kind = 'credit' ORDER BY id LIMIT 1",
        adas.project_id,
    )
    spent = await ada.call("POST", f"{path}/{first}/reverse", {"note": "x"})
    assert spent.status == 409, "it is held for an answer"
    await adas.proved()


async def test_budgets_are_set_seen_and_ended(ada: Someone, adas: Books, api: Api) -> None:
    """The list that is sent is the list that there is; what one has counted stays with it, also when it comes back."""
    path = f"/v1/projects/{adas.project_id}/budgets"
    month = {"period": "month", "limit_micros": 1_000, "hard": True}
    day = {"period": "day", "limit_micros": 500, "hard": False, "user_id": ada.id, "agent_id": adas.agent_id}
    assert (await ada.call("GET", path)).json == {"data": []}
    made = (await ada.call("PUT", path, {"data": [month, day]})).json["data"]
    assert {(b["period"], b["limit_micros"], b["hard"], b["user_id"]) for b in made} == {
        ("month", 1_000, True, None),
        ("day", 500, False, ada.id),
    }
    await answered(adas, 300)
    await adas.reserve(200)

    async def counted() -> dict[str, tuple[int, int]]:
        found = (await ada.call("GET", path)).json["data"]
        return {b["period"]: (b["spent_micros"], b["reserved_micros"]) for b in found}

    assert await counted() == {"month": (300, 200), "day": (300, 200)}
    assert (await ada.call("PUT", path, {"data": [month | {"limit_micros": 100}]})).status == 200
    assert await counted() == {"month": (300, 200)}, "a limit below what was spent"
    await ada.call("PUT", path, {"data": [day]})
    assert await counted() == {"day": (300, 200)}
    late = (await ada.call("PUT", path, {"data": [day, month | {"period": "week"}]})).json["data"]
    assert {b["period"]: b["spent_micros"] for b in late} == {"day": 300, "week": 300}, "what is over in its period"
    ends = {b["period"]: datetime.fromisoformat(b["ends_at"]) - datetime.fromisoformat(b["starts_at"]) for b in late}
    assert ends == {"day": timedelta(days=1), "week": timedelta(days=7)}

    ben, stranger = await api.sign_up(), await api.sign_up()
    await adas.pool.execute("INSERT INTO project_members VALUES ($1, $2, 'member')", adas.project_id, ben.id)
    assert (await ben.call("GET", path)).status == 200
    assert (await ben.call("PUT", path, {"data": []})).code == "forbidden"
    for wrong in (
        [month, month],
        [month | {"period": "year"}],
        [month | {"limit_micros": -1}],
        [month | {"user_id": stranger.id}],
        [month | {"agent_id": str(uuid4())}],
    ):
        assert (await ada.call("PUT", path, {"data": wrong})).code == "invalid"
    assert len(await counted()) == 2
    await adas.pool.execute("DELETE FROM project_members WHERE user_id = $1", ada.id)
    await adas.pool.execute("INSERT INTO project_members VALUES ($1, $2, 'owner')", adas.project_id, stranger.id)
    assert (await stranger.call("PUT", path, {"data": [day]})).status == 200, "one of a person who left is kept"


async def test_a_budget_tells_once(ada: Someone, adas: Books, api: Api) -> None:
    """At 80 and at 100 percent, whoever runs the project and whose budget it is, once each: not again when more is
    spent, nor when the same is settled again."""
    ben, admin = await api.sign_up(), await api.sign_up()
    for person, role in ((ben, "member"), (admin, "admin")):
        await adas.pool.execute("INSERT INTO project_members VALUES ($1, $2, $3)", adas.project_id, person.id, role)
    budget = {"period": "day", "limit_micros": 1_000, "hard": False, "user_id": ada.id}
    assert (await ada.call("PUT", f"/v1/projects/{adas.project_id}/budgets", {"data": [budget]})).status == 200

    async def told(person: Someone) -> list[int]:
        found = (await person.call("GET", "/v1/notifications")).json["data"]
        return sorted(n["data"]["percent"] for n in found if n["kind"] == "budget")

    await answered(adas, 799)
    assert await told(ada) == []
    run_id = ids.new_id()
    await adas.reserve(100, run_id=run_id)
    charge = adas.run_used(run_id, 1)
    for _ in range(2):
        await adas.settle(charge)
        assert [await told(person) for person in (ada, admin, ben)] == [[80], [80], []]
    await answered(adas, 200)
    await answered(adas, 200)
    assert [await told(person) for person in (ada, admin, ben)] == [[80, 100], [80, 100], []]
    mine = (await ada.call("GET", "/v1/notifications")).json["data"][0]["data"]
    assert (mine["limit_micros"], mine["period"], mine["currency"], mine["hard"]) == (1_000, "day", "USD", "no")


async def test_a_used_up_budget_refuses_at_once(ada: Someone, adas: Books, start_process: StartProcess) -> None:
    """402, and until when; another person's question is none of that budget's; with a higher limit it goes on at
    once."""
    for role in ("conversations", "history"):
        await start_process("streams", role)
    await ada.call("PUT", f"/v1/agents/{adas.agent_id}/price", {"price": PRICE})
    path, budget = f"/v1/projects/{adas.project_id}", {"period": "day", "limit_micros": 100, "user_id": ada.id}
    await ada.call("PUT", f"{path}/budgets", {"data": [budget]})
    await answered(adas, 100)
    made = (await ada.call("POST", f"{path}/conversations", {"agent_id": adas.agent_id})).headers["Location"]

    async def ask() -> Any:
        return await ada.call("POST", f"{made}/messages", {"client_message_id": str(uuid4()), "content": "Hello"})

    refused = await ask()
    assert (refused.status, refused.code) == (402, "insufficient_credits")
    assert "budget of this day" in refused.json["detail"]
    await ada.call("PUT", f"{path}/budgets", {"data": [budget | {"limit_micros": 10_000}]})
    assert (await ask()).status == 202

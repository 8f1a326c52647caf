"""The books, on the real PostgreSQL: nothing is spent twice, nothing is lost, and everything adds up."""

import asyncio
import random
from collections.abc import Awaitable
from typing import Any

import asyncpg
import pytest

from infra.ledger import Kind, Movement, NotReversible, Overdrawn, Refusal, WrongCurrency, post
from schemas import ids
from tests.money.conftest import Books


async def test_fifty_at_once_get_what_five_can_pay(books: Books) -> None:
    """Fifty runs ask at the same moment: five are held, forty-five refused, and the wallet is at nothing, not below."""
    await books.credit(500)

    held = await asyncio.gather(*(books.reserve(100, least=100) for _ in range(50)))

    assert sorted(map(str, held)) == ["100"] * 5 + [Refusal.NO_CREDIT] * 45
    assert ((await books.wallet()).balance_micros, (await books.wallet()).reserved_micros) == (0, 500)
    await books.proved()


async def test_less_than_the_most_is_held_where_less_is_left(books: Books) -> None:
    """The last answer gets all that is left, if that pays for its prompt and one token; else it is refused."""
    await books.credit(150)

    assert await books.reserve(100, least=20) == 100
    assert await books.reserve(100, least=51) == Refusal.NO_CREDIT
    assert await books.reserve(100, least=50) == 50
    assert await books.reserve(100, least=1) == Refusal.NO_CREDIT


async def test_what_is_held_is_held_once_for_a_run(books: Books) -> None:
    """Another attempt, by whomever, gets what the first one got, also at the same moment."""
    await books.credit(100)
    run_id = ids.new_id()

    assert await asyncio.gather(*(books.reserve(60, run_id=run_id) for _ in range(5))) == [60] * 5
    assert (await books.wallet()).reserved_micros == 60
    await books.proved()


async def test_an_end_is_charged_and_the_rest_is_given_back(books: Books) -> None:
    """Of 60 held 45 are charged and 15 come back; a top-up meanwhile is there at once."""
    await books.credit(100)
    run_id = ids.new_id()
    await books.reserve(60, run_id=run_id)
    await books.credit(5)

    assert await books.settle(books.run_used(run_id, 45)) == {ids.run_used_id(run_id): 45}

    assert await books.sums() == {"funding": -105, "wallet": 60, "reservation": 0, "revenue": 45}
    await books.proved()


async def test_the_first_settlement_of_a_run_counts(books: Books) -> None:
    """The same event again, later or in the same batch, with whatever it says then, gives the first one's result."""
    await books.credit(100)
    run_id = ids.new_id()
    await books.reserve(60, run_id=run_id)
    first = {ids.run_used_id(run_id): 45}

    assert await books.settle(books.run_used(run_id, 45), books.run_used(run_id, 50)) == first
    before = await books.sums()

    assert await books.settle(books.run_used(run_id, 60, attempt=2)) == first
    assert await books.sums() == before
    assert await books.reserve(60, run_id=run_id) == Refusal.SETTLED


async def test_nobody_is_charged_more_than_was_held(books: Books) -> None:
    """What an answer took beyond what was held for it is the provider's cost."""
    await books.credit(100)
    run_id = ids.new_id()
    await books.reserve(60, run_id=run_id)

    assert await books.settle(books.run_used(run_id, 75)) == {ids.run_used_id(run_id): 60}

    sums = await books.sums()
    assert (sums["wallet"], sums["revenue"], sums["provider_cost"], sums["providers"]) == (40, 60, -15, 15)
    await books.proved()


async def test_other_attempts_cost_and_are_not_charged(books: Books) -> None:
    """An attempt whose end was not accepted touches neither the wallet nor what is held for the run."""
    await books.credit(100)
    run_id = ids.new_id()
    await books.reserve(60, run_id=run_id)

    for _ in range(2):
        await books.settle(books.attempt_used(run_id, 30))

    assert ((await books.wallet()).balance_micros, (await books.wallet()).reserved_micros) == (40, 60)
    assert (await books.sums())["providers"] == 30
    await books.settle(books.run_used(run_id, 20, attempt=2))
    assert (await books.wallet()).balance_micros == 80
    await books.proved()


async def test_a_run_that_is_over_holds_nothing_any_more(books: Books) -> None:
    """Whoever still works on a run that has been settled, though nothing was ever held for it, is given nothing."""
    await books.credit(100)
    run_id = ids.new_id()

    await books.settle(books.run_used(run_id, 0))

    assert await books.reserve(60, run_id=run_id) == Refusal.SETTLED
    assert (await books.wallet()).balance_micros == 100


async def test_without_credit_in_its_currency_nothing_is_held(books: Books) -> None:
    """No wallet, or one in another currency, pays for nothing; and a wallet stays in its currency."""
    assert await books.reserve(10) == Refusal.NO_CREDIT

    await books.credit(100, currency="EUR")

    assert await books.reserve(10) == Refusal.NO_CREDIT
    with pytest.raises(WrongCurrency):
        await books.credit(100)
    assert (await books.wallet()).currency == "EUR"


async def test_a_credit_is_given_once(books: Books) -> None:
    """The same credit again changes nothing, also at the same moment."""
    credit_id = ids.new_id()

    done = await asyncio.gather(*(books.credit(70, credit_id) for _ in range(5)))

    assert sorted(done) == [False] * 4 + [True]
    assert (await books.wallet()).balance_micros == 70


async def test_a_mistake_is_taken_back_by_what_mirrors_it(books: Books) -> None:
    """A charge and a credit are reversed once; a credit that is spent is not, and other transactions never are."""
    credit_id, run_id = ids.new_id(), ids.new_id()
    await books.credit(100, credit_id)
    await books.reserve(60, run_id=run_id)
    await books.settle(books.run_used(run_id, 45))

    with pytest.raises(Overdrawn):
        await books.reverse(credit_id)
    with pytest.raises(NotReversible):
        await books.reverse(ids.reserve_id(run_id))
    assert [await books.reverse(ids.charge_id(run_id)) for _ in range(2)] == [True, False]
    assert await books.reverse(credit_id)

    assert await books.sums() == {"funding": 0, "wallet": 0, "reservation": 0, "revenue": 0}
    await books.proved()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET amount_micros = 1",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "DELETE FROM usage_records",
        "UPDATE prices SET price = NULL",
    ],
)
async def test_nothing_written_is_changed(books: Books, statement: str) -> None:
    """The database refuses to change or remove an entry, a record of usage or a price."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="only ever added to"):
        await books.pool.execute(statement)


async def test_what_does_not_add_up_is_not_written(books: Books) -> None:
    """The database refuses a transaction with one side, and one for a wallet that is not there."""
    await books.credit(10)
    one_side = """
        INSERT INTO ledger_entries (transaction_id, account, project_id, currency, amount_micros, kind, occurred_at)
        VALUES ($1, 'wallet', $2, 'USD', 5, 'credit', now())
    """
    with pytest.raises(asyncpg.CheckViolationError, match="add up to nothing"):
        await books.pool.execute(one_side, ids.new_id(), books.project_id)
    nowhere = await books.pool.fetchval("SELECT now()")
    async with books.pool.acquire() as connection:
        with pytest.raises(asyncpg.CheckViolationError, match="no wallet"):
            await post(connection, [Movement(ids.new_id(), Kind.CREDIT, ids.new_id(), "USD", 5, nowhere)])
    assert (await books.wallet()).balance_micros == 10


async def test_a_hard_budget_holds_under_parallel_use(books: Books) -> None:
    """Of fifty at once a budget of 250 lets three begin, the last with half; a soft one beside it refuses nobody."""
    await books.credit(10_000)
    await books.budget(250, user_id=books.user_id, period="day")
    await books.budget(1, hard=False)

    held = await asyncio.gather(*(books.reserve(100, least=50) for _ in range(50)))
    others = await books.reserve(100, user_id=ids.new_id())

    assert sorted(map(str, held)) == ["100", "100", "50"] + [Refusal.BUDGET] * 47
    assert others == 100
    await books.proved()


async def test_a_budget_counts_what_was_charged_and_tells_once(books: Books) -> None:
    """What is given back can be used again; 80 and 100 percent are told once each."""
    await books.credit(10_000)
    budget_id = await books.budget(100)

    async def answered(cost: int) -> list[int]:
        run_id = ids.new_id()
        assert isinstance(await books.reserve(100, run_id=run_id), int)
        await books.settle(books.run_used(run_id, cost))
        rows = await books.pool.fetch(
            "SELECT percent FROM budget_notices JOIN budget_periods AS p ON p.id = budget_period_id "
            "WHERE budget_id = $1 ORDER BY 1",
            budget_id,
        )
        return [row["percent"] for row in rows]

    assert [await answered(cost) for cost in (79, 1, 15, 5)] == [[], [80], [80], [80, 100]]
    assert await books.reserve(100) == Refusal.BUDGET


async def test_a_new_budget_counts_the_present_period(books: Books) -> None:
    """What was charged this month before the budget was set counts in it."""
    await books.credit(1_000)
    run_id = ids.new_id()
    await books.reserve(90, run_id=run_id)
    await books.settle(books.run_used(run_id, 80))

    await books.budget(100)

    assert await books.reserve(50) == 20


async def test_any_order_of_anything_adds_up(books: Books) -> None:
    """Credits, reservations, ends, other attempts and repeats in any order, several at once: after each handful the
    wallet is the sum of its entries, and at the end nothing is held and every run was charged once."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    await books.credit(1_000)
    await books.budget(3_000, period="day")
    runs: dict[str, int] = {ids.new_id(): chance.randint(0, 150) for _ in range(40)}
    held: dict[str, int | Refusal] = {}

    async def hold(run_id: str) -> None:
        got = await books.reserve(100, least=30, run_id=run_id)
        if got != Refusal.SETTLED and run_id in held and isinstance(held[run_id], int):
            assert got == held[run_id]
        held.setdefault(run_id, got)
        if isinstance(got, int):
            held[run_id] = got

    def anything() -> Awaitable[Any]:
        run_id = chance.choice(list(runs))
        match chance.randrange(5):
            case 0:
                return books.credit(chance.randint(1, 100))
            case 1 | 2:
                return hold(run_id)
            case 3:
                batch = [books.run_used(r, runs[r]) for r in chance.sample(list(runs), 3)]
                return books.settle(*batch)
            case _:
                return books.settle(books.attempt_used(run_id, chance.randint(1, 50), chance.randint(1, 3)))

    for _ in range(30):
        await asyncio.gather(*(anything() for _ in range(8)))
        await books.proved()

    await books.settle(*(books.run_used(r, cost) for r, cost in runs.items()))
    charged = await books.pool.fetch(
        "SELECT run_id::text, charged_micros FROM usage_records WHERE project_id = $1 AND billable", books.project_id
    )
    assert len(charged) == len(runs)
    assert (await books.wallet()).reserved_micros == 0
    assert (await books.sums()).get("revenue", 0) == sum(row["charged_micros"] for row in charged)
    counted = await books.pool.fetchrow(
        "SELECT p.* FROM budget_periods AS p JOIN budgets AS b ON b.id = budget_id WHERE project_id = $1",
        books.project_id,
    )
    assert counted is not None
    assert (counted["spent_micros"], counted["reserved_micros"]) == ((await books.sums()).get("revenue", 0), 0)
    await books.proved()

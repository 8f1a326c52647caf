"""The books: money comes in, is held for an answer, is charged or given back, in double entry.

A transaction is a few entries that add up to nothing; what is added to an account has a plus. Entries are only ever
added, which PostgreSQL sees to, as it sees to it that a wallet is the sum of its entries and never below nothing. Every
transaction has an id that follows from its cause, so the second time of anything changes nothing, for ever.

Accounts: `wallet` (what a project can spend), `reservation` (what is held for its answers), `revenue` (what answers
were charged), `funding` (where credit came from), `provider_cost` and `providers` (what answers took that nobody is
charged for, as our cost and as what somebody is owed).

Whatever changes a project's money locks its wallet first, several in the order of the projects' ids: that is the only
lock there is. Every function raises one of `infra.postgres.AWAY` while PostgreSQL is away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg

from schemas import ids

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]


class Account(StrEnum):
    WALLET = "wallet"
    RESERVATION = "reservation"
    REVENUE = "revenue"
    FUNDING = "funding"
    PROVIDER_COST = "provider_cost"
    PROVIDERS = "providers"


class Kind(StrEnum):
    """What a transaction does; each moves an amount from one account to another."""

    CREDIT = "credit"
    RESERVE = "reserve"
    RELEASE = "release"
    CHARGE = "charge"
    ABSORB = "absorb"
    REVERSE = "reverse"


_MOVES: Final = {
    Kind.CREDIT: (Account.FUNDING, Account.WALLET),
    Kind.RESERVE: (Account.WALLET, Account.RESERVATION),
    Kind.RELEASE: (Account.RESERVATION, Account.WALLET),
    Kind.CHARGE: (Account.WALLET, Account.REVENUE),
    Kind.ABSORB: (Account.PROVIDER_COST, Account.PROVIDERS),
}


class WrongCurrency(ValueError):
    """A project's wallet has one currency, and this is another."""


class Overdrawn(ValueError):
    """There is less in the wallet than is to be taken back."""


class NotReversible(ValueError):
    """There is no such credit or charge to take back."""


@dataclass(frozen=True, slots=True)
class Movement:
    """A transaction that moves `amount` micro-units, which are not negative; none of nothing is written."""

    transaction_id: str
    kind: Kind
    project_id: str
    currency: str
    amount: int
    occurred_at: datetime
    run_id: str | None = None
    by_user_id: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a project can spend, and what is held for its answers that are being made."""

    currency: str
    balance_micros: int
    reserved_micros: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be held for a run, in micro-units.

    Attributes:
        estimate: the most that the answer can cost.
        least: its prompt and one token of output; for less it is not begun.
    """

    run_id: str
    project_id: str
    user_id: str
    agent_id: str
    price_version: int
    currency: str
    estimate: int
    least: int


class Refusal(StrEnum):
    """Why nothing is held."""

    NO_CREDIT = "no_credit"
    BUDGET = "budget"
    SETTLED = "settled"


async def wallet(db: "Connection | asyncpg.Pool[asyncpg.Record]", project_id: str) -> Wallet | None:
    """A project's wallet; None where nobody has ever put anything into it."""
    row = await db.fetchrow(
        "SELECT currency, balance_micros, reserved_micros FROM wallets WHERE project_id = $1::uuid", project_id
    )
    return None if row is None else Wallet(**dict(row))


async def credit(connection: "Connection", what: Movement) -> bool:
    """Put money into a project's wallet, which is made where there is none; within a transaction of the caller's.

    Returns:
        whether it was done now; false where this transaction's id has been seen before.

    Raises:
        WrongCurrency: see there.
    """
    await connection.execute(
        "INSERT INTO wallets (project_id, currency) VALUES ($1::uuid, $2) ON CONFLICT DO NOTHING",
        what.project_id,
        what.currency,
    )
    there = await lock_wallets(connection, [what.project_id])
    if there[what.project_id].currency != what.currency:
        raise WrongCurrency(f"This project's credit is in {there[what.project_id].currency}")
    known = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM ledger_entries WHERE transaction_id = $1::uuid)", what.transaction_id
    )
    if not known:
        await post(connection, [what])
    return not known


async def reserve(pool: "asyncpg.Pool[asyncpg.Record]", wish: Wish) -> int | Refusal:
    """Hold money for a run, before its provider is called: what the answer can cost, or all that is left if it is less.

    It is held until the run's end is settled, whoever works on it meanwhile; asked again, the answer is the same. One
    round trip: `reserve_money` in the database locks, decides and writes.

    Returns:
        what is held, in micro-units; or why nothing is.
    """
    row = await pool.fetchrow(
        "SELECT amount, refusal FROM reserve_money($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        wish.run_id,
        wish.project_id,
        wish.user_id,
        wish.agent_id,
        wish.price_version,
        wish.currency,
        wish.estimate,
        wish.least,
        ids.reserve_id(wish.run_id),
    )
    assert row is not None, "a function returns"
    return Refusal(row["refusal"]) if row["refusal"] else int(row["amount"])


async def reverse(connection: "Connection", transaction_id: str, *, by_user_id: str | None, note: str) -> bool:
    """Take a credit or a charge back by entries that mirror it; within a transaction of the caller's.

    Returns:
        whether it was done now; false where it has been taken back before.

    Raises:
        NotReversible: see there.
        Overdrawn: the credit has been spent.
    """
    project_id = await connection.fetchval(
        "SELECT project_id::text FROM ledger_entries WHERE transaction_id = $1::uuid AND kind IN ('credit', 'charge')",
        transaction_id,
    )
    if project_id is None:
        raise NotReversible(f"transaction {transaction_id} is no credit and no charge")
    await lock_wallets(connection, [project_id])
    try:
        done = await connection.execute(
            """
            INSERT INTO ledger_entries (
                transaction_id, account, project_id, currency, amount_micros, kind, run_id, reverses_id, by_user_id,
                note, occurred_at
            )
            SELECT $2, account, project_id, currency, -amount_micros, 'reverse', run_id, transaction_id, $3, $4, now()
            FROM ledger_entries WHERE transaction_id = $1
                AND NOT EXISTS (SELECT FROM ledger_entries WHERE transaction_id = $2)
            """,
            transaction_id,
            ids.reverse_id(transaction_id),
            by_user_id,
            note,
        )
    except asyncpg.CheckViolationError as error:
        raise Overdrawn(f"less than that is left of transaction {transaction_id}") from error
    return done != "INSERT 0 0"


async def post(connection: "Connection", movements: Iterable[Movement]) -> None:
    """Write transactions, whose ids have not been seen before, in one statement, which changes the wallets too."""
    entries = [
        (
            m.transaction_id,
            account,
            m.project_id,
            m.currency,
            sign * m.amount,
            m.kind,
            m.run_id,
            m.by_user_id,
            m.note,
            m.occurred_at,
        )
        for m in movements
        if m.amount
        for account, sign in zip(_MOVES[m.kind], (-1, 1), strict=True)
    ]
    if entries:
        await connection.execute(
            """
            INSERT INTO ledger_entries (
                transaction_id, account, project_id, currency, amount_micros, kind, run_id, by_user_id, note,
                occurred_at
            )
            SELECT * FROM unnest(
                $1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::uuid[], $8::uuid[],
                $9::text[], $10::timestamptz[]
            )
            """,
            *map(list, zip(*entries, strict=True)),
        )


async def lock_wallets(connection: "Connection", project_ids: Sequence[str]) -> dict[str, Wallet]:
    """Lock, and read, the wallets of those projects that have one: before anything else of theirs is looked at."""
    rows = await connection.fetch(
        """
        SELECT project_id::text, currency, balance_micros, reserved_micros FROM wallets
        WHERE project_id = ANY($1::uuid[]) ORDER BY project_id FOR UPDATE
        """,
        list(project_ids),
    )
    return {row["project_id"]: Wallet(row["currency"], row["balance_micros"], row["reserved_micros"]) for row in rows}

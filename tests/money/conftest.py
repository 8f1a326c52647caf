"""A project with a wallet, on the real database."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from infra import ledger, postgres
from infra.ledger import Kind, Movement, Refusal, Wallet, Wish
from infra.settings import PostgresSettings
from infra.settling import Charge, settle
from schemas import ids
from schemas.events import AgentRef, Usage
from schemas.prices import Price
from schemas.usage import AttemptUsed, RunUsed
from tests.running import DEADLINE_S, Stack
from tests.stack.rest_api import api, api_process

if TYPE_CHECKING:
    import asyncpg

__all__ = ["Books", "api", "api_process", "books", "pool"]


@pytest.fixture
async def pool(stack: Stack) -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    async with await postgres.connect(PostgresSettings.from_env(stack.env)) as pool:
        yield pool


@dataclass
class Books:
    """One project's money, as those who handle it would."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    project_id: str = field(default_factory=ids.new_id)
    user_id: str = field(default_factory=ids.new_id)
    agent_id: str = field(default_factory=ids.new_id)

    async def priced(self, **figures: Any) -> Price:
        """A price for the agent: 1 micro-unit for a token in, 10 for one out, where nothing else is said."""
        usual: dict[str, Any] = {"currency": "USD", "input": 10**6, "cached_input": 10**6, "output": 10**7, "call": 0}
        figures = usual | figures
        version = await self.pool.fetchval(
            "INSERT INTO prices (project_id, agent_id, price, created_by) VALUES ($1, $2, $3, $4) RETURNING version",
            self.project_id,
            self.agent_id,
            msgspec.json.encode(figures).decode(),
            self.user_id,
        )
        return Price(version=version, **figures)

    async def credit(self, amount: int, transaction_id: str | None = None, currency: str = "USD") -> bool:
        what = Movement(
            transaction_id or ids.new_id(), Kind.CREDIT, self.project_id, currency, amount, datetime.now(UTC)
        )
        async with self.pool.acquire() as connection, connection.transaction():
            return await ledger.credit(connection, what)

    async def reserve(self, estimate: int, least: int = 1, run_id: str | None = None, **others: Any) -> int | Refusal:
        return await ledger.reserve(self.pool, self.wish(estimate, least, run_id, **others))

    def wish(self, estimate: int, least: int = 1, run_id: str | None = None, **others: Any) -> Wish:
        who = {"project_id": self.project_id, "user_id": self.user_id, "agent_id": self.agent_id, "currency": "USD"}
        return Wish(run_id=run_id or ids.new_id(), price_version=1, estimate=estimate, least=least, **(who | others))

    def run_used(self, run_id: str, cost: int, attempt: int = 1, usage: Usage | None = None) -> Charge:
        return Charge(ids.run_used_id(run_id), self._used(RunUsed, run_id, attempt, usage), cost, datetime.now(UTC))

    def attempt_used(self, run_id: str, cost: int, attempt: int = 1) -> Charge:
        used = self._used(AttemptUsed, run_id, attempt)
        return Charge(ids.attempt_used_id(run_id, attempt), used, cost, datetime.now(UTC))

    def _used(self, kind: Any, run_id: str, attempt: int, usage: Usage | None = None) -> Any:
        return kind(
            project_id=self.project_id,
            conversation_id=ids.new_id(),
            run_id=run_id,
            attempt=attempt,
            user_id=self.user_id,
            agent=AgentRef(agent_id=self.agent_id, version=1, price=1),
            status="completed",
            finish_reason="stop",
            usage=usage or Usage(input_tokens=10, output_tokens=5, source="provider", price_version=1),
        )

    async def settle(self, *charges: Charge) -> dict[str, int]:
        async with self.pool.acquire() as connection, connection.transaction():
            return await settle(connection, charges)

    async def reverse(self, transaction_id: str) -> bool:
        async with self.pool.acquire() as connection, connection.transaction():
            return await ledger.reverse(connection, transaction_id, by_user_id=None, note="a mistake")

    async def wallet(self) -> Wallet:
        found = await ledger.wallet(self.pool, self.project_id)
        assert found is not None
        return found

    async def sums(self) -> dict[str, int]:
        """What the entries of each account add up to."""
        rows = await self.pool.fetch(
            "SELECT account, sum(amount_micros)::bigint AS sum FROM ledger_entries WHERE project_id = $1 GROUP BY 1",
            self.project_id,
        )
        return {row["account"]: row["sum"] for row in rows}

    async def until_settled(self, runs: int) -> None:
        """Wait until so many runs are settled."""
        deadline = time.monotonic() + DEADLINE_S
        counted = "SELECT count(*) FROM usage_records WHERE project_id = $1 AND billable"
        while (settled := await self.pool.fetchval(counted, self.project_id)) < runs:
            assert time.monotonic() < deadline, f"{settled} runs of {runs} are settled"
            await asyncio.sleep(0.05)

    async def hash(self) -> str:
        """Of every entry of this project's, in the order in which they were written."""
        rows = await self.pool.fetch(
            "SELECT id, transaction_id, account, amount_micros, kind FROM ledger_entries WHERE project_id = $1 "
            "ORDER BY id",
            self.project_id,
        )
        return sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()

    async def proved(self) -> None:
        """The wallet is the sum of its entries, and all entries together are nothing."""
        sums, wallet = await self.sums(), await self.wallet()
        assert (sums.get("wallet", 0), sums.get("reservation", 0)) == (wallet.balance_micros, wallet.reserved_micros)
        assert sum(sums.values()) == 0

    async def budget(self, limit: int, *, hard: bool = True, period: str = "month", **whose: str | None) -> str:
        user_id, agent_id = whose.get("user_id"), whose.get("agent_id")
        id = ids.budget_id(self.project_id, user_id, agent_id, period)
        await self.pool.execute(
            """
            INSERT INTO budgets (id, project_id, user_id, agent_id, period, limit_micros, hard)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET limit_micros = excluded.limit_micros
            """,
            id,
            self.project_id,
            user_id,
            agent_id,
            period,
            limit,
            hard,
        )
        return id


@pytest.fixture
def books(pool: "asyncpg.Pool[asyncpg.Record]") -> Books:
    return Books(pool)

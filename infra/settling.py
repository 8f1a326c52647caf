"""Settling: what an accepted end took is charged, the rest of what was held for it is given back, once for ever."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from infra import budgets
from infra.ledger import Kind, Movement, lock_wallets, post
from schemas import ids
from schemas.usage import RunUsed, UsageEvent

if TYPE_CHECKING:
    import asyncpg

    from infra.ledger import Connection


@dataclass(frozen=True, slots=True)
class Charge:
    """One event to be settled.

    Attributes:
        id: the event's own.
        cost: what it took by its price, in micro-units; what was held for the run bounds what is charged of it.
        occurred_at: the event's time, which decides the day that it counts in.
    """

    id: str
    used: UsageEvent
    cost: int
    occurred_at: datetime


async def settle(connection: "Connection", charges: Sequence[Charge]) -> dict[str, int]:
    """Settle events, within a transaction of the caller's. What was settled before changes nothing.

    A run's one event ends its reservation: it is charged its cost, and never more than was held. What is above that,
    and all that other attempts took, is the provider's cost, and nobody is charged for it.

    Returns:
        what each event's run was charged, in micro-units, by the event's id: now, or when it was settled first.
    """
    charges = list({charge.id: charge for charge in reversed(charges)}.values())[::-1]  # the first of an id counts
    await lock_wallets(connection, sorted({c.used.project_id for c in charges}))
    rows = await connection.fetch(
        "SELECT id::text, charged_micros FROM usage_records WHERE id = ANY($1::uuid[])", [c.id for c in charges]
    )
    settled = {row["id"]: int(row["charged_micros"]) for row in rows}
    new = [charge for charge in charges if charge.id not in settled]
    held = await _held(connection, [c.used.run_id for c in new if isinstance(c.used, RunUsed)])
    movements: list[Movement] = []
    changes: list[budgets.Change] = []
    for charge in new:
        reservation = held.get(charge.used.run_id) if isinstance(charge.used, RunUsed) else None
        amount = 0 if reservation is None else reservation["amount_micros"]
        settled[charge.id] = charged = min(charge.cost, amount)
        currency = charge.used.usage.currency if reservation is None else reservation["currency"]
        movements += _movements(charge, currency, amount, charged)
        for period in () if reservation is None else reservation["budget_periods"]:
            changes.append(budgets.Change(period, spent=charged, reserved=-amount))
    await _record(connection, new, settled)
    await post(connection, movements)
    await _end(connection, {c.used.run_id: settled[c.id] for c in new if c.used.run_id in held})
    await budgets.move(connection, changes)
    return settled


def _movements(charge: Charge, currency: str, held: int, charged: int) -> Iterable[Movement]:
    used, at = charge.used, charge.occurred_at
    for transaction_id, kind, amount in (
        (ids.release_id(used.run_id), Kind.RELEASE, held),
        (ids.charge_id(used.run_id), Kind.CHARGE, charged),
        (ids.absorb_id(charge.id), Kind.ABSORB, charge.cost - charged),
    ):
        yield Movement(transaction_id, kind, used.project_id, currency, amount, at, run_id=used.run_id)


async def _held(connection: "Connection", run_ids: list[str]) -> "dict[str, asyncpg.Record]":
    rows = await connection.fetch(
        """
        SELECT run_id::text, currency, amount_micros, budget_periods FROM reservations
        WHERE run_id = ANY($1::uuid[]) AND settled_at IS NULL
        """,
        run_ids,
    )
    return {row["run_id"]: row for row in rows}


async def _end(connection: "Connection", charged: dict[str, int]) -> None:
    await connection.execute(
        """
        UPDATE reservations AS r SET charged_micros = ended.charged, settled_at = now()
        FROM unnest($1::uuid[], $2::bigint[]) AS ended (run_id, charged) WHERE r.run_id = ended.run_id
        """,
        list(charged),
        list(charged.values()),
    )


async def _record(connection: "Connection", charges: Sequence[Charge], charged: dict[str, int]) -> None:
    if not charges:
        return
    rows = [
        (
            c.id,
            c.used.run_id,
            c.used.attempt,
            isinstance(c.used, RunUsed),
            c.used.project_id,
            c.used.conversation_id,
            c.used.user_id,
            c.used.agent.agent_id,
            c.used.agent.version,
            c.used.status,
            c.used.finish_reason,
            c.used.usage.input_tokens,
            c.used.usage.output_tokens,
            c.used.usage.cached_input_tokens,
            c.used.usage.from_cache,
            c.used.usage.source,
            c.used.usage.price_version,
            c.used.usage.currency,
            c.cost,
            charged[c.id],
            c.occurred_at,
        )
        for c in charges
    ]
    await connection.execute(
        """
        INSERT INTO usage_records (
            id, run_id, attempt, billable, project_id, conversation_id, user_id, agent_id, agent_version, status,
            finish_reason, input_tokens, output_tokens, cached_input_tokens, from_cache, source, price_version,
            currency, cost_micros, charged_micros, occurred_at
        )
        SELECT * FROM unnest(
            $1::uuid[], $2::uuid[], $3::integer[], $4::boolean[], $5::uuid[], $6::uuid[], $7::uuid[], $8::uuid[],
            $9::integer[], $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[], $15::boolean[],
            $16::text[], $17::bigint[], $18::text[], $19::bigint[], $20::bigint[], $21::timestamptz[]
        )
        """,
        *map(list, zip(*rows, strict=True)),
    )

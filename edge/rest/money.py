"""A project's money: what it can spend, how that came about, what its agents cost, and credit that is put in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from fastapi import APIRouter
from pydantic import Field

from edge import audit, outbox
from edge.errors import Forbidden, Refused, invalid
from edge.problems import Conflict
from edge.rest.answers import Answer, Page
from edge.rest.changing import changing
from edge.rest.fields import Body, Cursor, Id, IdInPath, Limit, Name, Text
from edge.rest.openapi import refusals
from edge.rest.repeats import Once
from edge.rest.services import Caller, ServicesOf
from edge.rest.wholes import MOST_MICROS, WHOLE, Micros
from infra import ledger
from infra import prices as kept
from infra.ledger import Kind, Movement, NotReversible, Overdrawn, WrongCurrency
from schemas.frames import ErrorCode
from schemas.ids import credit_id, new_id, reverse_id
from schemas.roles import Action

if TYPE_CHECKING:
    import asyncpg

router = APIRouter(route_class=Once, tags=["money"], responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND))

DEFAULT_CURRENCY: Final = "USD"
_LARGEST: Final = 2**63 - 1
_REFUSED: Final = refusals(ErrorCode.FORBIDDEN, ErrorCode.INVALID, HTTPStatus.CONFLICT)

Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="As ISO 4217 names it.")]

_ENTRIES: Final = """
SELECT id, transaction_id::text, account, kind, amount_micros, currency, run_id::text, reverses_id::text,
    by_user_id::text, note, occurred_at, recorded_at
FROM ledger_entries WHERE project_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3
"""
_OF_PROJECT: Final = "SELECT EXISTS (SELECT FROM ledger_entries WHERE project_id = $1 AND transaction_id = $2)"
_AGENT: Final = """
SELECT a.project_id::text FROM agents a LEFT JOIN project_members m ON m.project_id = a.project_id AND m.user_id = $1
WHERE a.id = $2 AND a.deleted_at IS NULL AND (m.user_id IS NOT NULL OR $3)
"""
_HOLD: Final = "SELECT FROM projects WHERE id = $1 FOR UPDATE"
_PRICES: Final = """
SELECT version, model, price::text, created_at FROM prices WHERE agent_id = $1 AND version < $2
ORDER BY version DESC LIMIT $3
"""
_SET_PRICE: Final = """
INSERT INTO prices (project_id, agent_id, model, price, created_by) VALUES ($1, $2, $3, $4::jsonb, $5)
RETURNING version, model, price::text, created_at
"""
_AGAIN: Final = """
WITH before AS (SELECT version FROM agents WHERE id = $1), next AS (
    UPDATE agents SET version = version + 1 WHERE id = $1 RETURNING version
)
INSERT INTO agent_versions (agent_id, version, config, secret)
SELECT $1, next.version, v.config, v.secret
FROM next, before JOIN agent_versions AS v ON v.agent_id = $1 AND v.version = before.version
"""


class Wallet(Answer):
    """`balance_micros` can be spent; `reserved_micros` is held for answers that are being made."""

    currency: str
    balance_micros: int
    reserved_micros: int


class NewCredit(Body):
    """The same `credit_id` again is the same credit, and is given once."""

    amount_micros: Annotated[int, Field(ge=1, le=MOST_MICROS), WHOLE]
    currency: Currency = DEFAULT_CURRENCY
    note: Name | None = None
    credit_id: Id | None = None


class Reversal(Body):
    """`note` says why, to whoever reads the books."""

    note: Name


class Credited(Answer):
    transaction_id: str
    wallet: Wallet


class LedgerEntry(Answer):
    """One side of a transaction, whose entries add up to nothing. What is added to an account has a plus."""

    id: str
    transaction_id: str
    account: str
    kind: str
    amount_micros: int
    currency: str
    run_id: str | None
    reverses_id: str | None
    by_user_id: str | None
    note: str | None
    occurred_at: datetime
    recorded_at: datetime


class NewFigures(Body):
    """What answers cost: for 1,000,000 tokens of each kind, and for each call. Without `cached_input_micros`, what the
    provider had in its cache costs as much as the rest of the input."""

    currency: Currency = DEFAULT_CURRENCY
    input_micros: Micros
    output_micros: Micros
    cached_input_micros: Micros | None = None
    call_micros: Micros = 0


class NewPrice(Body):
    """From the next question on. With `model`, while the agent uses that model; `price` null: its answers are free."""

    price: NewFigures | None
    model: Annotated[Text, Field(min_length=1, max_length=200)] | None = None


class PriceFigures(Answer):
    """For 1,000,000 tokens of each kind, and for each call, in millionths of the currency's unit."""

    currency: str
    input_micros: int
    cached_input_micros: int
    output_micros: int
    call_micros: int


class Price(Answer):
    """`version` is named by every answer that was charged with it. A price never changes."""

    version: int
    model: str | None
    price: PriceFigures | None
    created_at: datetime


async def _wallet(connection: "ledger.Connection", project_id: str) -> Wallet:
    found = await ledger.wallet(connection, project_id)
    return Wallet.model_validate(found or ledger.Wallet(DEFAULT_CURRENCY, 0, 0))


def _is_treasurer(services: ServicesOf, user_id: str) -> bool:
    return user_id in services.settings.treasurers


async def sees_money(services: ServicesOf, user_id: str, project_id: str) -> None:
    """Raises `Refused`, `not_found`, for whoever is neither a member nor one of the installation's treasurers."""
    if not _is_treasurer(services, user_id):
        await services.access.project_role(user_id, project_id)


@asynccontextmanager
async def _books(services: ServicesOf, user_id: str, project_id: str) -> AsyncIterator["ledger.Connection"]:
    """Hold a project to change its books, in a transaction: as its owner or admin, or as one of the installation's
    treasurers where it has some, who need not be a member.

    Raises:
        Refused: `not_found` where there is no such project for the caller, `forbidden` where somebody else does this.
    """
    if not services.settings.treasurers:
        async with changing(services, user_id, project_id, Action.MANAGE_MONEY, tell=False) as held:
            yield held.connection
        return
    if not _is_treasurer(services, user_id):
        await services.access.project_role(user_id, project_id)
        raise Forbidden(project_id, Action.MANAGE_MONEY, "Here only the installation's treasurers do this; ask them.")
    async with services.database() as connection, connection.transaction():
        if await connection.fetchrow(_HOLD, project_id) is None:
            raise Refused(ErrorCode.NOT_FOUND)
        yield connection


@router.get("/v1/projects/{project_id}/wallet")
async def wallet(services: ServicesOf, caller: Caller, project_id: IdInPath) -> Wallet:
    """What the project can spend. Every member may see it."""
    await sees_money(services, caller.user_id, project_id)
    async with services.database() as connection:
        return await _wallet(connection, project_id)


@router.post("/v1/projects/{project_id}/credits", status_code=201, responses=_REFUSED)
async def credit(services: ServicesOf, caller: Caller, project_id: IdInPath, new: NewCredit) -> Credited:
    """Put credit in; it can be spent at once. Owners and admins may, or the
    installation's treasurers where it has some. The first credit decides the wallet's currency."""
    transaction_id = credit_id(project_id, new.credit_id or new_id())
    what = Movement(
        transaction_id,
        Kind.CREDIT,
        project_id,
        new.currency,
        new.amount_micros,
        datetime.now(UTC),
        by_user_id=caller.user_id,
        note=new.note,
    )
    async with _books(services, caller.user_id, project_id) as connection:
        try:
            await ledger.credit(connection, what)
        except WrongCurrency as error:
            raise Conflict(currency=f"{error}.") from error
        await audit.record(
            connection,
            audit.Event.SENSITIVE_CREATE,
            actor_id=caller.user_id,
            project_id=project_id,
            thing="credit",
            transaction_id=transaction_id,
            amount_micros=new.amount_micros,
        )
        return Credited(transaction_id=transaction_id, wallet=await _wallet(connection, project_id))


@router.get("/v1/projects/{project_id}/ledger")
async def entries(
    services: ServicesOf, caller: Caller, project_id: IdInPath, limit: Limit = 50, cursor: Cursor = None
) -> Page[LedgerEntry]:
    """The project's books, newest first. Every member may read them."""
    await sees_money(services, caller.user_id, project_id)
    before = _number(cursor)
    async with services.database() as connection:
        rows = await connection.fetch(_ENTRIES, project_id, before, limit + 1)
    found = [LedgerEntry(**dict(row) | {"id": str(row["id"])}) for row in rows[:limit]]
    return Page(data=found, next_cursor=found[-1].id if len(rows) > limit else None)


@router.post(
    "/v1/projects/{project_id}/ledger/{transaction_id}/reverse",
    status_code=201,
    responses=_REFUSED,
)
async def reverse(
    services: ServicesOf, caller: Caller, project_id: IdInPath, transaction_id: IdInPath, new: Reversal
) -> Credited:
    """Take a credit or a charge back, by a transaction that mirrors it; a second time changes nothing. Owners and
    admins may, and of a credit only what has not been spent."""
    async with _books(services, caller.user_id, project_id) as connection:
        if not await connection.fetchval(_OF_PROJECT, project_id, transaction_id):
            raise Refused(ErrorCode.NOT_FOUND)
        try:
            await ledger.reverse(connection, transaction_id, by_user_id=caller.user_id, note=new.note)
        except NotReversible as error:
            raise Conflict(transaction_id="is no credit and no charge: only those are taken back") from error
        except Overdrawn as error:
            raise Conflict(transaction_id="was spent: less than that is left in the wallet") from error
        await audit.record(
            connection,
            audit.Event.SENSITIVE_UPDATE,
            actor_id=caller.user_id,
            project_id=project_id,
            thing="reversal",
            transaction_id=transaction_id,
        )
        return Credited(transaction_id=reverse_id(transaction_id), wallet=await _wallet(connection, project_id))


@router.get("/v1/agents/{agent_id}/prices")
async def prices(
    services: ServicesOf, caller: Caller, agent_id: IdInPath, limit: Limit = 50, cursor: Cursor = None
) -> Page[Price]:
    """What the agent's answers cost, newest first; none where they are free, and always were."""
    before = _number(cursor)
    async with services.database() as connection:
        if await connection.fetchval(_AGENT, caller.user_id, agent_id, _is_treasurer(services, caller.user_id)) is None:
            raise Refused(ErrorCode.NOT_FOUND)
        rows = await connection.fetch(_PRICES, agent_id, before, limit + 1)
    found = [_price(row) for row in rows[:limit]]
    return Page(data=found, next_cursor=str(found[-1].version) if len(rows) > limit else None)


@router.put("/v1/agents/{agent_id}/price", responses=_REFUSED)
async def set_price(services: ServicesOf, caller: Caller, agent_id: IdInPath, new: NewPrice) -> Price:
    """What the agent's answers cost from the next question on. Owners and admins may. What was asked before is charged
    with the price of its own time."""
    async with services.database() as connection:
        project_id = await connection.fetchval(
            _AGENT, caller.user_id, agent_id, _is_treasurer(services, caller.user_id)
        )
    if project_id is None:
        raise Refused(ErrorCode.NOT_FOUND)
    async with _books(services, caller.user_id, project_id) as connection:
        there = await ledger.wallet(connection, project_id)
        if new.price is not None and there is not None and there.currency != new.price.currency:
            raise Conflict(**{"price.currency": f"This project's credit is in {there.currency}."})
        row = await connection.fetchrow(_SET_PRICE, project_id, agent_id, new.model, _stored(new.price), caller.user_id)
        assert row is not None, "what is inserted is returned"
        # Caches hear of agents by their version.
        await connection.execute(_AGAIN, agent_id)
        await outbox.agent_changed(connection, agent_id)
        await audit.record(
            connection,
            audit.Event.SENSITIVE_UPDATE,
            actor_id=caller.user_id,
            project_id=project_id,
            thing="price",
            agent_id=agent_id,
            price_version=row["version"],
        )
    await services.changed([agent_id])
    return _price(row)


def _number(cursor: str | None) -> int:
    if cursor is not None and not (cursor.isdecimal() and 0 < int(cursor) <= _LARGEST):
        raise invalid(cursor="is no cursor of this list")
    return int(cursor or _LARGEST)


def _stored(figure: NewFigures | None) -> str | None:
    if figure is None:
        return None
    cached = figure.input_micros if figure.cached_input_micros is None else figure.cached_input_micros
    figures = kept.Figures(
        currency=figure.currency,
        input=figure.input_micros,
        cached_input=cached,
        output=figure.output_micros,
        call=figure.call_micros,
    )
    return msgspec.json.encode(figures).decode()


def _price(row: "asyncpg.Record") -> Price:
    shown = None
    if row["price"] is not None:
        found = msgspec.json.decode(row["price"], type=kept.Figures)
        shown = PriceFigures(
            currency=found.currency,
            input_micros=found.input,
            cached_input_micros=found.cached_input,
            output_micros=found.output,
            call_micros=found.call,
        )
    return Price(version=row["version"], model=row["model"], price=shown, created_at=row["created_at"])

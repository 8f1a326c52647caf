"""Prices as they are kept: versions that never change, so what was found once is kept for ever."""

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from schemas.prices import Currency, Micros, Price

if TYPE_CHECKING:
    import asyncpg


class Figures(Struct, frozen=True, kw_only=True):
    """What `prices.price` holds; see `schemas.prices.Price`."""

    currency: Currency
    input: Micros
    cached_input: Micros
    output: Micros
    call: Micros = 0


class NoSuchPrice(LookupError):
    """Nobody has ever set a price of this version, or it is none: the answer was to be free."""


class Prices:
    """Finds prices by version."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._known: dict[int, Price] = {}

    async def price(self, version: int) -> Price:
        """The price of this version.

        Raises:
            NoSuchPrice: see there.
            one of `infra.postgres.AWAY`: it is not known here, and PostgreSQL is away.
        """
        if (known := self._known.get(version)) is None:
            text = await self._pool.fetchval("SELECT price FROM prices WHERE version = $1", version)
            if text is None:
                raise NoSuchPrice(f"there is no price {version}")
            found = msgspec.json.decode(text, type=Figures)
            known = self._known[version] = Price(version=version, **msgspec.structs.asdict(found))
        return known

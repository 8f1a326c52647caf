"""Amounts of money in requests: whole millionths of a currency's unit."""

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

MOST_MICROS: Final = 10**15
"""A billion of the currency's units."""
# JSON has one kind of number: 5.0 is an integer there.
WHOLE: Final = BeforeValidator(lambda n: int(n) if isinstance(n, float) and n.is_integer() else n)

Micros = Annotated[int, Field(ge=0, le=MOST_MICROS, description="Millionths of the currency's unit."), WHOLE]

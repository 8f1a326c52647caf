"""What answers cost. Pure: prices and counts of tokens go in, integer micro-units of the price's currency come out.

A price is a version of its own and never changes; another price is another version. A cost is exact until its end and
is rounded there, once, up to the next whole micro-unit: so a free call costs nothing, no call that has a price costs
nothing, and cost never falls while tokens grow. A micro-unit is a millionth of the currency's unit: 1.00 USD is
1,000,000.
"""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.events import Usage

TOKENS_PRICED = 1_000_000
"""Tokens that a price is given for."""

Micros = Annotated[int, Meta(ge=0, le=10**15)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class Price(Struct, frozen=True, kw_only=True):
    """What an agent's answers cost, in micro-units of `currency`.

    Attributes:
        version: names this price for ever, in all of the installation.
        input, cached_input, output: for 1,000,000 tokens of each kind. What the provider had in its cache is a part of
            the input, and costs `cached_input` in the place of `input`.
        call: for each answer whose provider was called, however long it is.
    """

    version: int
    currency: Currency
    input: Micros
    cached_input: Micros
    output: Micros
    call: Micros = 0


def cost_of(usage: Usage, price: Price) -> int:
    """What a call cost that took this; nothing where the answer was in our own cache, and no provider was called.

    A provider that counts more cached tokens than input is taken at the input it counts.
    """
    if usage.from_cache:
        return 0
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    return price.call + _whole(
        (usage.input_tokens - cached) * price.input + cached * price.cached_input + usage.output_tokens * price.output
    )


def upper_cost(input_tokens: int, output_tokens: int, price: Price) -> int:
    """The most that a call can cost with so many tokens: whether any of its input is cached is not known before it."""
    dearest = max(price.input, price.cached_input)
    return price.call + _whole(input_tokens * dearest + output_tokens * price.output)


def output_paid_by(amount: int, input_tokens: int, price: Price) -> int | None:
    """The most output tokens with which a call costs no more than `amount`, at worst; negative where not even its
    input is paid. None where output costs nothing, and any number is paid.
    """
    if upper_cost(input_tokens, 0, price) > amount:
        return -1
    if price.output == 0:
        return None
    left = (amount - price.call) * TOKENS_PRICED - input_tokens * max(price.input, price.cached_input)
    return left // price.output


def _whole(millionths: int) -> int:
    return -(-millionths // TOKENS_PRICED)

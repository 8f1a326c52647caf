"""What answers cost."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Usage
from schemas.prices import Price, cost_of, output_paid_by, upper_cost

micros = st.integers(0, 10**9)
tokens = st.integers(0, 10**7)
prices = st.builds(
    Price, version=st.just(1), currency=st.just("USD"), input=micros, cached_input=micros, output=micros, call=micros
)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    taken = draw(tokens)
    return Usage(input_tokens=taken, cached_input_tokens=draw(st.integers(0, taken)), output_tokens=draw(tokens))


def test_a_cost_is_the_sum_of_its_parts() -> None:
    """A price list's line, worked out by hand: 700 fresh and 300 cached tokens in, 50 out, and the call."""
    price = Price(version=7, currency="USD", input=2_500_000, cached_input=1_250_000, output=10_000_000, call=40)
    usage = Usage(input_tokens=1_000, cached_input_tokens=300, output_tokens=50, source="provider")

    assert cost_of(usage, price) == 1_750 + 375 + 500 + 40


@given(usages(), prices)
def test_a_cost_is_rounded_once_and_up(usage: Usage, price: Price) -> None:
    """It is less than one micro-unit above what exact fractions give, and never below."""
    fresh = usage.input_tokens - usage.cached_input_tokens
    exact = price.call + Fraction(
        fresh * price.input + usage.cached_input_tokens * price.cached_input + usage.output_tokens * price.output,
        10**6,
    )

    assert exact <= cost_of(usage, price) < exact + 1


@given(usages(), prices)
def test_nobody_pays_more_than_the_upper_cost(usage: Usage, price: Price) -> None:
    """What is reserved for so many tokens covers every call that takes no more, whatever was cached."""
    assert cost_of(usage, price) <= upper_cost(usage.input_tokens, usage.output_tokens, price)


@given(st.integers(0, 10**13), tokens, prices)
def test_an_amount_pays_for_so_many_tokens_and_for_no_more(amount: int, input_tokens: int, price: Price) -> None:
    """The last token that is paid for fits the amount, and the next one does not."""
    paid = output_paid_by(amount, input_tokens, price)

    if paid is None:
        assert price.output == 0
        assert upper_cost(input_tokens, 10**9, price) <= amount
    elif paid < 0:
        assert upper_cost(input_tokens, 0, price) > amount
    else:
        assert upper_cost(input_tokens, paid, price) <= amount < upper_cost(input_tokens, paid + 1, price)


@given(usages(), prices)
def test_our_own_cache_costs_nothing(usage: Usage, price: Price) -> None:
    """An answer for which no provider was called is free."""
    kept = Usage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, from_cache=True)

    assert cost_of(kept, price) == 0


@given(tokens, tokens, prices)
def test_what_is_said_to_be_cached_is_at_most_the_input(taken: int, cached: int, price: Price) -> None:
    """A provider that counts more cached tokens than input makes no answer cheaper than all of it cached."""
    usage = Usage(input_tokens=taken, cached_input_tokens=cached + taken)

    assert cost_of(usage, price) == cost_of(Usage(input_tokens=taken, cached_input_tokens=taken), price)

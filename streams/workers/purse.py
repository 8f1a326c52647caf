"""What is held for an answer: asked for before the agent is called, and the line that the answer may not cross."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from agents.catalog import AgentConfig
from agents.estimates import most_output
from agents.provider import Prompt
from agents.usage import message_tokens
from infra import ledger, postgres
from infra.ledger import Refusal, Wish
from infra.patience import patiently
from infra.prices import Prices
from schemas.events import AnswerRequested, RunError, Usage
from schemas.frames import ErrorCode
from schemas.prices import Price, cost_of, output_paid_by, upper_cost

if TYPE_CHECKING:
    import asyncpg

REFUSALS: Final = {
    Refusal.NO_CREDIT: RunError(
        code=ErrorCode.INSUFFICIENT_CREDITS, message="There is not enough credit left for an answer."
    ),
    Refusal.BUDGET: RunError(
        code=ErrorCode.INSUFFICIENT_CREDITS, message="A budget that counts here is used up for now."
    ),
    # Whoever hears of it has another end already: this one is ignored.
    Refusal.SETTLED: RunError(code=ErrorCode.RUN_ENDED, message="This answer has ended already."),
}


@dataclass(frozen=True, slots=True)
class Hold:
    """What an answer may cost.

    Attributes:
        amount: what is held, in micro-units.
        most_output: tokens of output that it pays for, where it pays for less than the answer may become; else None.
    """

    price: Price
    amount: int
    most_output: int | None

    def priced(self, usage: Usage) -> Usage:
        """The usage with what it costs: never more than is held."""
        return replace(
            usage,
            cost_micros=min(cost_of(usage, self.price), self.amount),
            currency=self.price.currency,
            price_version=self.price.version,
        )


class Purse:
    """Holds money for answers, however long PostgreSQL is away."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", prices: Prices) -> None:
        self._pool = pool
        self._prices = prices

    async def hold(
        self, request: AnswerRequested, config: AgentConfig, prompt: Prompt, max_answer_bytes: int
    ) -> Hold | Refusal | None:
        """Hold what the answer may cost, or all that is left; None where it is free, which takes no time at all.

        Raises:
            infra.prices.NoSuchPrice: the request names a price that nobody has ever set.
        """
        version = request.agent.price
        if version is None:
            return None
        price = await patiently("PostgreSQL", postgres.AWAY, lambda: self._prices.price(version))
        shown = sum(map(message_tokens, prompt.messages))
        most = most_output(config, prompt, max_answer_bytes)
        wish = Wish(
            run_id=request.run_id,
            project_id=request.project_id,
            user_id=request.user_id,
            agent_id=request.agent.agent_id,
            price_version=version,
            currency=price.currency,
            estimate=upper_cost(shown, most, price),
            least=upper_cost(shown, 1, price),
        )
        held = await patiently("PostgreSQL", postgres.AWAY, lambda: ledger.reserve(self._pool, wish))
        if isinstance(held, Refusal):
            return held
        return Hold(price, held, output_paid_by(held, shown, price) if held < wish.estimate else None)

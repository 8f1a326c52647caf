"""The replies processor holds money before it calls, on the real parts; billing has nothing to do with it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from agents.provider import ChatMessage
from agents.usage import estimated_tokens, message_tokens
from schemas.events import AgentRef, Usage
from schemas.prices import Price, cost_of
from tests.conftest import StartProcess
from tests.money.conftest import Books
from tests.running import Stack
from tests.stack.asking import Asker, asking

LINE = 20
"""Tokens that the agent is told to answer at most."""


@pytest.fixture
async def asker(stack: Stack, scripted_agent: str) -> AsyncIterator[Asker]:
    async with asking(stack, scripted_agent, params={"max_tokens": LINE}) as someone:
        yield someone


def of(asker: Asker) -> Books:
    return Books(asker.pool, asker.project_id, asker.user_id, asker.agent_id)


def at(asker: Asker, price: Price) -> dict[str, Any]:
    return {"agent": AgentRef(agent_id=asker.agent_id, version=1, price=price.version)}


def shown(text: str) -> int:
    return message_tokens(ChatMessage("user", text))


async def test_an_answer_says_what_it_cost(asker: Asker, start_process: StartProcess) -> None:
    """The most that it could cost is held, and the report has its cost by its price, which is what it took."""
    price, books, text = await of(asker).priced(), of(asker), f"/tokens 12 /delay 1 {uuid4().hex}"
    await books.credit(10_000)
    await start_process("streams", "replies")

    request = await asker.asked(text, **at(asker, price))
    end = await asker.end(request)

    took = Usage(input_tokens=shown(text), output_tokens=12, source="provider")
    assert end.usage is not None
    assert (end.usage.cost_micros, end.usage.price_version) == (cost_of(took, price), price.version)
    assert (end.user_id, end.agent) == (asker.user_id, request.agent)
    assert (await books.wallet()).reserved_micros == shown(text) + LINE * 10


async def test_as_many_are_begun_as_can_be_paid(asker: Asker, start_process: StartProcess) -> None:
    """Fifty questions at once on a wallet that pays for five answers: five calls, forty-five refusals."""
    price, books, word = await of(asker).priced(), of(asker), uuid4().hex
    text = f"/tokens {LINE} /delay 1 {word}"
    await books.credit(5 * (shown(text) + LINE * 10))
    await start_process("streams", "replies")

    requests = await asyncio.gather(*(asker.asked(text, **at(asker, price)) for _ in range(50)))
    ends = [await asker.end(request) for request in requests]

    refused = [end for end in ends if end.status == "failed"]
    assert len(await asker.calls(word)) == 5
    assert {(end.error.code, end.last_seq) for end in refused if end.error} == {("insufficient_credits", 0)}
    assert (len(refused), [asker.started(r) for r in requests].count([1])) == (45, 5)
    assert (await books.wallet()).balance_micros == 0
    await books.proved()


async def test_an_answer_ends_where_its_money_does(
    stack: Stack, scripted_agent: str, start_process: StartProcess
) -> None:
    """An agent that knows no limit is cut off by the delta with which its words are paid for no more, and its text is
    kept."""
    text = f"/tokens 3000 /delay 2 {uuid4().hex}"
    async with asking(stack, scripted_agent) as asker:
        price, books = await of(asker).priced(), of(asker)
        await books.credit(paid := shown(text) + 30 * 10)
        await start_process("streams", "replies")

        request = await asker.asked(text, **at(asker, price))
        end = await asker.end(request)

        said = asker.text(request, end)
        assert (end.status, end.finish_reason) == ("completed", "budget_exhausted")
        *before, last = await asker.told(request)
        assert said == "".join([*before, last])
        assert estimated_tokens("".join(before)) < 30 <= estimated_tokens(said)
        assert end.usage is not None
        assert (end.usage.source, end.usage.cost_micros) == ("estimated", paid)


async def test_a_run_whose_end_is_known_is_not_paid_again(asker: Asker, start_process: StartProcess) -> None:
    """A run that was settled meanwhile, by another worker's report, is not called any more."""
    price, books, word = await of(asker).priced(), of(asker), uuid4().hex
    await books.credit(10_000)
    request = asker.request(f"/tokens 5 {word}", **at(asker, price))
    await books.settle(books.run_used(request.run_id, 0))
    await start_process("streams", "replies")

    await asker.ask(request)

    assert (await asker.end(request)).status == "failed"
    assert await asker.calls(word) == []


async def test_a_price_that_is_gone_fails_the_answer(asker: Asker, start_process: StartProcess) -> None:
    """It is not answered for nothing, and it stops nobody else's."""
    await start_process("streams", "replies")

    lost = await asker.asked("/tokens 5", agent=AgentRef(agent_id=asker.agent_id, version=1, price=10**9))
    free = await asker.asked("/tokens 5")

    assert ((await asker.end(lost)).status, (await asker.end(free)).status) == ("failed", "completed")

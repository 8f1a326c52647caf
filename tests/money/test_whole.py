"""Money on everything together: sockets, gateways, processors, agent and books."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import uuid4

import aiohttp
import pytest

from agents.provider import ChatMessage
from agents.usage import estimated_tokens, message_tokens
from tests.client import Frame, Person, Refusal, Socket, sign_up, socket, watch
from tests.running import Chorus, until

PRICE = {"input_micros": 1_000_000, "output_micros": 10_000_000}
"""1 micro-unit for a token in, 10 for one out."""
TOKENS = 20
"""The most that the agent answers."""


@dataclass
class Payer:
    """Somebody whose agent costs."""

    person: Person
    agent_id: str
    agent_url: str

    @property
    def project(self) -> str:
        return f"/v1/projects/{self.person.project_id}"

    async def credit(self, amount: int) -> None:
        await self.person.call("POST", f"{self.project}/credits", {"amount_micros": amount})

    async def answers_up_to(self, tokens: int) -> None:
        """Give the agent another longest answer."""
        config = {"kind": "openai", "url": self.agent_url, "model": "scripted", "params": {"max_tokens": tokens}}
        await self.person.call("PATCH", f"/v1/agents/{self.agent_id}", {"config": config})

    async def wallet(self) -> tuple[int, int]:
        """What can be spent, and what is held."""
        told = await self.person.call("GET", f"{self.project}/wallet")
        return told["balance_micros"], told["reserved_micros"]

    async def charges(self) -> dict[str, int]:
        """What each run was charged."""
        entries = (await self.person.call("GET", f"{self.project}/ledger", limit=200))["data"]
        return {e["run_id"]: e["amount_micros"] for e in entries if (e["account"], e["kind"]) == ("revenue", "charge")}

    async def until_settled(self) -> None:
        async def is_so() -> bool:
            return (await self.wallet())[1] == 0

        await until("nothing is held any more", is_so)

    async def calls(self, word: str) -> int:
        """How often the agent was asked something with this word in it."""
        async with self.person.http.get(f"{self.agent_url.removesuffix('/v1')}/stats") as answer:
            return sum(word in call["asked"] for call in (await answer.json())["calls"])


@pytest.fixture
async def payer(chorus: Chorus) -> AsyncIterator[Payer]:
    async with aiohttp.ClientSession() as http:
        person = await sign_up(http, chorus.url)
        config = {
            "kind": "openai", "url": chorus.agent_url, "model": "scripted", "params": {"max_tokens": TOKENS},
        }  # fmt: skip
        made = await person.call(
            "POST", f"/v1/projects/{person.project_id}/agents", {"name": "Costs", "config": config}
        )
        await person.call("PUT", f"/v1/agents/{made['id']}/price", {"price": PRICE})
        yield Payer(person, made["id"], chorus.agent_url)


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_five_of_fifty(chorus: Chorus, payer: Payer, rounds: int) -> None:
    """A wallet pays for exactly five answers, and fifty are asked for at once, over four sockets on two gateways: five
    calls, forty-five refusals, never less than nothing in the wallet, and nothing held when it is over."""
    person = payer.person
    async with AsyncExitStack() as open:
        sockets = [
            await open.enter_async_context(socket(url, person.access_token))
            for url in (*chorus.gateway_urls, *chorus.gateway_urls)
        ]
        for _ in range(rounds):
            word = uuid4().hex
            text = f"/tokens {TOKENS} /delay 5 {word}"
            wheres = await asyncio.gather(*(person.conversation(agent_id=payer.agent_id) for _ in range(50)))
            for n, here in enumerate(wheres):
                await watch(sockets[n % 4], here)
            await payer.credit(5 * (message_tokens(ChatMessage("user", text)) + TOKENS * 10))

            outcomes = await asyncio.gather(*(_asked(sockets[n % 4], here, text) for n, here in enumerate(wheres)))

            assert outcomes.count("completed") == 5
            assert outcomes.count("insufficient_credits") == 45
            assert await payer.calls(word) == 5
            await payer.until_settled()
            assert await payer.wallet() == (0, 0)


async def _asked(online: Socket, here: str, text: str) -> str:
    """What became of a question: how its answer ended, or why there is none."""
    try:
        run_id = (await online.send(here, text))["run_id"]
    except Refusal as refusal:
        return refusal.code
    finished = await online.finished(run_id)
    return str(finished["error"]["code"] if finished["status"] == "failed" else finished["status"])


async def test_a_stop_costs_what_was_seen(chorus: Chorus, payer: Payer) -> None:
    """Stopped at the fiftieth word of five thousand: the question and the text that every screen shows are charged,
    once. Who stops an answer that is finished is told so, and it is paid for."""
    person = payer.person
    await payer.answers_up_to(5000)
    await payer.credit(100_000)
    text = "/tokens 5000 /delay 5 go on"
    async with socket(chorus.ws_url, person.access_token) as online:
        here = await person.conversation(agent_id=payer.agent_id)
        screen = await watch(online, here)
        run_id = (await online.send(here, text))["run_id"]
        await online.until(lambda f: f["type"] == "run.delta" and f["run_id"] == run_id and f["seq"] >= 50)
        await online.command("run.cancel", conversation_id=here, run_id=run_id)
        finished = await online.finished(run_id)
        seen = screen.runs[run_id].text
        other = (await online.send(here, "/tokens 5"))["run_id"]
        await online.finished(other)
        with pytest.raises(Refusal) as late:
            await person.call("POST", f"/v1/conversations/{here}/runs/{other}/cancel")
    assert (late.value.code, late.value.status) == ("run_ended", 409)

    assert finished["status"] == "cancelled"
    assert 50 <= finished["last_seq"] < 5000
    cost = message_tokens(ChatMessage("user", text)) + estimated_tokens(seen) * 10
    assert (finished["usage"]["cost_micros"], finished["usage"]["source"]) == (cost, "estimated")
    await payer.until_settled()
    charges = await payer.charges()
    assert charges.keys() == {run_id, other}
    assert charges[run_id] == cost
    assert await payer.wallet() == (100_000 - sum(charges.values()), 0)


@pytest.mark.parametrize(
    ("how", "source", "tokens"),
    [
        ("", "provider", 100),
        ("/usage cumulative", "provider", 100),
        ("/repeat", "provider", 100),
        ("/usage cumulative /repeat", "provider", 100),
        ("/usage zero", "provider", 0),
        ("/usage none", "estimated", None),
        ("/usage none /repeat", "estimated", None),
        ("/fail-after 30", "estimated", None),
        ("/usage cumulative /fail-after 30", "provider", 30),
    ],
)
async def test_however_a_provider_counts(
    chorus: Chorus, payer: Payer, how: str, source: str, tokens: int | None
) -> None:
    """A hundred tokens are a hundred, once: the provider's last count, a zero included; where it tells none, what was
    shown and what every screen has."""
    await payer.answers_up_to(100)
    await payer.credit(100_000)
    person, text = payer.person, f"/tokens 100 /delay 2 {how}"
    async with socket(chorus.ws_url, person.access_token) as online:
        here = await person.conversation(agent_id=payer.agent_id)
        screen = await watch(online, here)
        run_id = (await online.send(here, text))["run_id"]
        finished = await online.finished(run_id)
        said = screen.runs[run_id].text

    shown = message_tokens(ChatMessage("user", text))
    usage = finished["usage"]
    if tokens is None:
        tokens = estimated_tokens(said)
    assert len(said.split()) == (30 if "fail" in how else 100)
    assert (usage["source"], usage["output_tokens"]) == (source, tokens)
    cost = 0 if "zero" in how else shown + min(tokens, 100) * 10  # no more than was held for the longest answer
    assert usage["cost_micros"] == cost
    await payer.until_settled()
    assert await payer.charges() == ({run_id: cost} if cost else {})
    assert await payer.wallet() == (100_000 - cost, 0)


async def test_an_answer_that_was_begun_twice_is_paid_once(chorus: Chorus, payer: Payer) -> None:
    """Its worker is killed after thirty tokens; the answer is given again from its beginning, and its hundred tokens
    are charged as a hundred."""
    await payer.answers_up_to(100)
    await payer.credit(100_000)
    person, text = payer.person, "/tokens 100 /delay 20"
    async with socket(chorus.ws_url, person.access_token) as online:
        here = await person.conversation(agent_id=payer.agent_id)
        await watch(online, here)
        run_id = (await online.send(here, text))["run_id"]
        await online.until(lambda f: f["type"] == "run.delta" and f["run_id"] == run_id and f["seq"] >= 5)
        chorus.kill("replies")
        finished = await online.finished(run_id, patience_s=60)

    assert (finished["status"], finished["attempt"], finished["usage"]["output_tokens"]) == ("completed", 2, 100)
    await payer.until_settled()
    cost = message_tokens(ChatMessage("user", text)) + 100 * 10
    assert await payer.charges() == {run_id: cost}
    assert await payer.wallet() == (100_000 - cost, 0)


async def test_a_stop_in_the_queue_costs_nothing(chorus: Chorus, payer: Payer) -> None:
    """The second question waits for the first one's answer and is taken back: nobody is called for it."""
    await payer.credit(100_000)
    word, person = uuid4().hex, payer.person
    async with socket(chorus.ws_url, person.access_token) as online:
        here = await person.conversation(agent_id=payer.agent_id)
        await watch(online, here)
        first = (await online.send(here, f"/tokens {TOKENS} /delay 100"))["run_id"]
        second = (await online.send(here, f"/tokens {TOKENS} {word}"))["run_id"]
        await online.command("run.cancel", conversation_id=here, run_id=second)
        ended = await online.finished(second)
        await online.finished(first)

    assert (ended["status"], ended["last_seq"]) == ("cancelled", 0)
    await payer.until_settled()
    assert list(await payer.charges()) == [first]
    assert await payer.calls(word) == 0


async def test_chat_goes_on_without_billing(chorus: Chorus, payer: Payer) -> None:
    """While billing stands still answers are made, within what is held for them; then it catches up."""
    await payer.credit(100_000)
    person = payer.person
    stopped = chorus.kill("billing", signal.SIGSTOP)
    try:
        async with socket(chorus.ws_url, person.access_token) as online:
            here = await person.conversation(agent_id=payer.agent_id)
            await watch(online, here)
            finished: list[Frame] = []
            for n in range(3):
                run_id = (await online.send(here, f"/tokens {TOKENS} number {n}"))["run_id"]
                finished.append(await online.finished(run_id))
        assert [f["status"] for f in finished] == ["completed"] * 3
        assert (await payer.wallet())[1] > 0, "held"
        assert await payer.charges() == {}
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    await payer.until_settled()
    assert await payer.charges() == {f["run_id"]: f["usage"]["cost_micros"] for f in finished}

"""How much Chorus adds to an agent's own time, at a steady rate of messages.

Question: from a person's send to the first delta on their screen, minus the agent's own delay; from the agent's token
to the client's frame; from the send to the acknowledgement and to the other person's screen. People talk in pairs; one
message in six is answered by the scripted agent, 40 tokens at 20 ms each, every token carrying the time it left.

    python -m tests.benchmarks latency --rate 50 --seconds 30
"""

import asyncio
import contextlib
import random
import re
import time
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp

from tests.benchmarks.figures import Series, cpu_seconds
from tests.client import Frame, Socket, sign_up, socket, watch

TOKENS = 40
TOKEN_MS = 20
ANSWERED_ONE_IN = 6
STAMP = re.compile(r"@(\d+)")
"""The scripted agent's `/stamp` writes CLOCK_MONOTONIC in microseconds into each token."""


@dataclass
class Measured:
    """Milliseconds each, over one run at one rate."""

    acknowledged: Series = field(default_factory=lambda: Series("send → acknowledged"))
    delivered: Series = field(default_factory=lambda: Series("send → other screen"))
    first_delta: Series = field(default_factory=lambda: Series("send → first delta, less the agent's delay"))
    delta: Series = field(default_factory=lambda: Series("agent's token → client's frame"))
    finished: int = 0
    unfinished: int = 0


@dataclass
class Pair:
    """One conversation that two connections watch: one writes, the other reads."""

    conversation_id: str
    agent_id: str
    writer: Socket
    reader: Socket


async def measure(http_url: str, ws_url: str, *, rate: float, seconds: float, people: int = 10) -> Measured:
    """Send `rate` messages a second for `seconds`, over six conversations of each of `people`."""
    found = Measured()
    sent: dict[str, float] = {}
    asked: dict[str, float] = {}
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        pairs = [pair for _ in range(people) for pair in await meet(stack, http, http_url, ws_url)]
        for pair in pairs:
            note(pair, found, sent, asked)
        async with asyncio.TaskGroup() as group:
            began = time.perf_counter()
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
                answered = number % ANSWERED_ONE_IN == 0
                group.create_task(say(random.choice(pairs), answered, found, sent, asked))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while asked:  # noqa: ASYNC110 - answers end one by one, each on its own screen
                    await asyncio.sleep(0.1)
        found.unfinished = len(asked)
    return found


async def meet(stack: contextlib.AsyncExitStack, http: aiohttp.ClientSession, http_url: str, ws_url: str) -> list[Pair]:
    """A new person with two connections, both watching six conversations."""
    person = await sign_up(http, http_url, "Bench")
    agents = (await person.call("GET", f"/v1/projects/{person.project_id}/agents"))["data"]
    writer = await stack.enter_async_context(socket(ws_url, person.access_token))
    reader = await stack.enter_async_context(socket(ws_url, person.access_token))
    pairs = [Pair(await person.conversation(), agents[0]["id"], writer, reader) for _ in range(6)]
    for pair in pairs:
        await watch(writer, pair.conversation_id)
        await watch(reader, pair.conversation_id)
    return pairs


async def say(pair: Pair, answered: bool, found: Measured, sent: dict[str, float], asked: dict[str, float]) -> None:
    text = f"/stamp /tokens {TOKENS} /delay {TOKEN_MS}" if answered else f"hello {uuid4().hex}"
    began = time.perf_counter()
    client_message_id = str(uuid4())
    reply = await pair.writer.command(
        "message.send",
        conversation_id=pair.conversation_id,
        client_message_id=client_message_id,
        content=text,
        agent_id=pair.agent_id if answered else None,
    )
    found.acknowledged.add(time.perf_counter() - began)
    sent[reply["message_id"]] = began
    if answered:
        asked[reply["run_id"]] = began


def note(pair: Pair, found: Measured, sent: dict[str, float], asked: dict[str, float]) -> None:
    """Take the times of what arrives on the reader (messages) and the writer (answers)."""
    waiting: set[str] = set()
    late: set[str] = set()

    def on_reader(frame: Frame) -> None:
        if frame.get("conversation_id") != pair.conversation_id:
            return
        if frame["type"] == "message.created" and frame["message"]["role"] == "user":
            began = sent.pop(frame["message"]["id"], None)
            if began is not None:
                found.delivered.add(time.perf_counter() - began)

    def on_writer(frame: Frame) -> None:
        if frame.get("conversation_id") != pair.conversation_id:
            return
        match frame["type"]:
            case "run.queued":
                if waiting:  # it waits for the answer before it: that is not added latency
                    late.add(frame["run_id"])
                waiting.add(frame["run_id"])
            case "run.delta":
                now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                for stamp in STAMP.findall(frame["text"]):
                    found.delta.add((now_us - int(stamp)) / 1e6)
                run_id = frame["run_id"]
                if frame["from_seq"] == 1 and run_id in asked and run_id not in late:
                    found.first_delta.add(time.perf_counter() - asked[run_id] - TOKEN_MS / 1000)
            case "run.finished":
                waiting.discard(frame["run_id"])
                found.finished += 1
                asked.pop(frame["run_id"], None)

    pair.reader.watch(on_reader)
    pair.writer.watch(on_writer)


async def main(http_url: str, ws_url: str, rate: float, seconds: float) -> None:
    cpu = cpu_seconds()
    began = time.perf_counter()
    found = await measure(http_url, ws_url, rate=rate, seconds=seconds)
    took = time.perf_counter() - began
    print(f"{rate:.0f} messages/s for {seconds:.0f} s, one in {ANSWERED_ONE_IN} answered with {TOKENS} tokens")
    for series in (found.acknowledged, found.delivered, found.first_delta, found.delta):
        print(f"  {series}")
    print(f"  answers finished {found.finished}, unfinished {found.unfinished}")
    print(f"  load generator: {(cpu_seconds() - cpu) / took:.2f} cores")

"""Conversations that are not in memory: they are what they were, whatever of PostgreSQL and history is there."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from infra import postgres
from infra.kafka import partition_of, topic_ids
from infra.keyring import Keyring
from infra.settings import KafkaSettings, PostgresSettings, SealingSettings
from schemas import events, ids
from schemas.conversation import running
from schemas.topics import CONVERSATION_EVENTS, CONVERSATION_PARTITIONS
from streams.rules import context
from streams.rules.state import State
from streams.workers.states import States
from tests.conftest import StartProcess
from tests.running import Stack
from tests.stack.conversing import Someone, conversing


@pytest_asyncio.fixture
async def someone(stack: Stack) -> AsyncIterator[Someone]:
    async with conversing(stack) as someone:
        yield someone


@pytest.fixture
def dice() -> random.Random:
    seed = int(os.environ.get("CHORUS_TEST_SEED") or random.randrange(2**32))
    print(f"seed {seed} (CHORUS_TEST_SEED)")
    return random.Random(seed)


async def live_a_little(someone: Someone, here: str, dice: random.Random, steps: int, prefix: str) -> None:
    """Send random commands and reports, then wait until all of them are decided."""
    sent: list[events.SendMessage] = []
    for n in range(steps):
        runs = someone.runs_requested(here) or [ids.new_id()]
        match dice.randrange(8):
            case 0 | 1 | 2:
                way = dice.choice(["enqueue", "reject", "interrupt", "rollback"])
                agent = dice.choice([someone.agent, someone.agent, None])
                sent.append(someone.message(here, f"{prefix} {n}", when_busy=way, agent=agent))
                await someone.put(sent[-1])
            case 3:
                await someone.started(here, dice.choice(runs), dice.randrange(1, 3))
            case 4:
                await someone.ended(here, dice.choice(runs), dice.randrange(1, 3), last_seq=dice.randrange(2))
            case 5:
                await someone.cancel(here, dice.choice([*runs, ids.new_id()]))
            case 6:
                await someone.update(here, archived=dice.random() < 0.2, title=someone.key.seal(here, f"title {n}"))
            case _ if sent:
                await someone.put(someone.message(here, "other", message_id=dice.choice(sent).message_id, ask=None))
    await someone.decided(await someone.update(here, agent_id=ids.new_id()))


@asynccontextmanager
async def cold(stack: Stack) -> AsyncIterator[States]:
    """What a new worker would know of the partitions of all conversations."""
    kafka, settings = KafkaSettings.from_env(stack.env), PostgresSettings.from_env(stack.env)
    topic_id = (await topic_ids(kafka, [CONVERSATION_EVENTS.topic]))[CONVERSATION_EVENTS.topic]
    async with await postgres.connect(settings) as pool:
        keyring = Keyring(pool, SealingSettings.from_env(stack.env))
        states = States(kafka, pool, keyring, topic_id, 2**20)
        await states.open(frozenset(range(CONVERSATION_PARTITIONS)))
        yield states


async def loaded(states: States, conversation_id: str) -> State:
    state = await states.get(partition_of(conversation_id, CONVERSATION_PARTITIONS), conversation_id)
    assert state is not None
    return state


def shown(someone: Someone, state: State | None) -> list[str]:
    """The plain texts that the running run's agent is shown."""
    run = None if state is None else running(state.view)
    if state is None or run is None:
        return []
    request = context.request(state, run.run_id)
    return [someone.key.unseal(message.message_id, message.content) for message in request.context]


async def test_a_cold_conversation_is_the_warm_one(
    someone: Someone,
    stack: Stack,
    start_process: StartProcess,
    dice: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loaded from history alone, from history and the facts it lacks, or from the facts alone: the state is the fold of
    all records, and an agent is shown the same texts."""
    await start_process("streams", "conversations")
    history = await start_process("streams", "history")
    stored, halfway, fresh = [await someone.create() for _ in range(3)]
    await live_a_little(someone, stored, dice, 40, "early")
    await live_a_little(someone, halfway, dice, 40, "early")
    await someone.send(stored, "and this")
    await someone.decided(await someone.update(stored, agent_id=None))
    for here in (stored, halfway):
        await until_history_has(someone, here)
    assert 0 == await history.stop()
    await live_a_little(someone, halfway, dice, 40, "late")
    await live_a_little(someone, fresh, dice, 40, "late")

    for kept in (10_000, 3):  # with three records a partition, the rest is read from the log again
        monkeypatch.setattr("streams.workers.states.MAX_RECORDS", kept)
        async with cold(stack) as states:
            for here in (stored, halfway, fresh):
                someone.holds(here)
                state, expected = await loaded(states, here), someone.state(here)
                assert expected == state
                # Else a change that nobody has seen could be undone by one that names what it has seen.
                assert expected.updated_position <= state.updated_position <= len(someone.story(here))
                assert shown(someone, expected) == shown(someone, state)
                if (run := running(state.view)) is not None:
                    state.texts.clear()
                    await states.complete(partition_of(here, CONVERSATION_PARTITIONS), state, run.run_id)
                    assert shown(someone, expected) == shown(someone, state)


async def until_history_has(someone: Someone, here: str) -> None:
    async with asyncio.timeout(60):
        while True:
            position = await someone.pool.fetchval("SELECT position FROM conversations WHERE id = $1", here)
            if position == len(someone.story(here)):
                return
            await asyncio.sleep(0.05)


class Gate:
    """A way to PostgreSQL that can be shut."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._open: set[asyncio.StreamWriter] = set()
        self.shut = False

    async def start(self) -> str:
        """The URL through this gate."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return self._to._replace(netloc=f"{self._to.username}@127.0.0.1:{port}").geturl()

    def close(self) -> None:
        self.shut = True
        for writer in self._open:
            writer.transport.abort()

    def reopen(self) -> None:
        self.shut = False

    async def stop(self) -> None:
        self.close()
        self._server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.shut:
            writer.transport.abort()
            return
        there = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._open |= {writer, there[1]}
        await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        self._open -= {writer, there[1]}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.mark.slow
async def test_without_postgresql_the_warm_go_on_and_the_cold_wait(
    someone: Someone, stack: Stack, start_process: StartProcess
) -> None:
    """A conversation in memory needs no database; one that is not waits for it, holds nobody up, and loses nothing."""
    gate = Gate(stack.database_url)
    url = await gate.start()
    await start_process("streams", "history")
    first = await start_process("streams", "conversations")
    sleeping, busy = await someone.create(), await someone.create()
    await someone.decided(await someone.put(someone.message(sleeping, "before", agent=None)))
    await until_history_has(someone, sleeping)
    await until_history_has(someone, busy)
    await first.stop()
    second = await start_process("streams", "conversations", CHORUS_DATABASE_URL=url)
    await someone.decided(await someone.put(someone.message(busy, "warm me", agent=None)))

    gate.close()
    waiting = await someone.send(sleeping, "cold")
    for n in range(20):
        run_id = await someone.send(busy, f"busy {n}")
        await someone.requested(busy, run_id)
        await someone.ended(busy, run_id)
    await someone.told(busy, 2 + 2 * 20)
    assert 2 == len(someone.story(sleeping))
    gate.reopen()
    await someone.requested(sleeping, waiting)

    assert 0 == await second.stop()
    assert [["message.posted", "run.queued", "run.requested"]] == someone.tags(sleeping)[2:]
    someone.holds(busy)
    await gate.stop()


@pytest.mark.slow
async def test_killed_again_and_again_under_load(
    someone: Someone, stack: Stack, start_process: StartProcess, dice: random.Random
) -> None:
    """Three SIGKILLs while ten conversations are busy, with somebody who answers what is requested: every question is
    answered once, nothing is lost or doubled, and nobody stays busy."""
    worker = await start_process("streams", "conversations")
    await start_process("streams", "history")
    places = [await someone.create() for _ in range(10)]
    answered: set[str] = set()

    async def answer_everything() -> None:
        while True:
            for here in places:
                for run_id in set(someone.runs_requested(here)) - answered:
                    answered.add(run_id)
                    await someone.started(here, run_id)
                    await someone.ended(here, run_id)
            await asyncio.sleep(0.01)

    answering = asyncio.create_task(answer_everything())
    asked: dict[str, list[str]] = {here: [] for here in places}
    for n in range(300):
        here = dice.choice(places)
        asked[here].append(f"question {n}")
        await someone.send(here, f"question {n}")
        if n in (60, 140, 220):
            worker.kill(signal.SIGKILL)
            await worker.ended()
            worker = await start_process("streams", "conversations")
        await asyncio.sleep(0.005)

    def is_over() -> bool:
        states = [someone.state(here) for here in places]
        said = sum(len(state.messages) for state in states if state is not None)
        return said == 2 * 300

    await someone.until("every question is answered", is_over)
    answering.cancel()

    for here in places:
        someone.holds(here)
        state = someone.state(here)
        assert state is not None
        assert {} == state.view.runs
        posted = [f.digest for r in someone.story(here) for f in r.facts if isinstance(f, events.MessagePosted)]
        assert [someone.key.digest(text) for text in asked[here]] == [digest for digest in posted if digest]
        assert len(someone.story(here)) == len(someone.written[here]), "no position was written twice"

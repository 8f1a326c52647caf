"""The load of a soak: people who talk at a steady rate, for as long as asked, and remember nothing of it themselves."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from tests.benchmarks.latency import ANSWERED_ONE_IN, STAMP, Measured, Pair, say
from tests.client import Frame, Person, Screen, Socket, sign_up, socket, watch

PEOPLE = 6
CONVERSATIONS_EACH = 6
MESSAGES_EACH = 100
"""Messages after which a conversation is left for a new one. As in life, and so that what is kept for each conversation
stays as large as it is: what grows then is a leak, and not a long conversation."""

LAST_ANSWERS_S = 30.0

REFRESH_S = 20 * 60.0
"""Seconds between new tokens; one is valid for an hour."""


@dataclass
class Talker:
    """One person with two connections: what one writes, the other reads."""

    person: Person
    agent_id: str
    writer: Socket
    reader: Socket


@dataclass
class Talk:
    """One conversation that is watched on both connections, and how much was said in it.

    Attributes:
        speaking: messages that are on their way.
        unanswered: runs that were asked for and have not ended.
    """

    talker: Talker
    pair: Pair
    screens: tuple[Screen, Screen]
    said: int = 0
    speaking: int = 0
    unanswered: dict[str, float] = field(default_factory=dict)


class Load:
    """Sends at a rate, and takes the times of what comes back.

    Attributes:
        measured: since somebody last took it.
    """

    def __init__(self, http_url: str, ws_url: str, rate: float) -> None:
        self._http_url = http_url
        self._ws_url = ws_url
        self._rate = rate
        self._sent: dict[str, float] = {}
        self._talks: list[Talk] = []
        self._talkers: list[Talker] = []
        self._watched: dict[str, Talk] = {}
        self.measured = Measured()
        self.counts: Counter[str] = Counter()

    @property
    def unanswered(self) -> int:
        """Runs that were asked for and have not ended."""
        return sum(len(talk.unanswered) for talk in self._watched.values())

    def take(self) -> Measured:
        """What was measured since the last time; what the screens have seen is forgotten with it."""
        taken, self.measured = self.measured, Measured()
        for talker in self._talkers:
            talker.writer.pushes.clear()
            talker.reader.pushes.clear()
        for talk in self._watched.values():
            for screen in talk.screens:
                screen.messages.clear()
        return taken

    async def run(self, seconds: float) -> None:
        """Talk for so long, then wait for the last answers (at most `LAST_ANSWERS_S`).

        Raises:
            AssertionError: a screen was shown something twice, out of order, or with a hole.
        """
        async with contextlib.AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            for _ in range(PEOPLE):
                talker = await self._meet(stack, http)
                self._talkers.append(talker)
                for _ in range(CONVERSATIONS_EACH):
                    talk = await self._begin(talker)
                    talk.said = random.randrange(MESSAGES_EACH)  # so that they are not all left at once
                    self._talks.append(talk)
            async with asyncio.TaskGroup() as group:
                refreshing = group.create_task(self._refresh())
                began = time.perf_counter()
                for number in range(int(self._rate * seconds)):
                    await asyncio.sleep(max(0.0, began + number / self._rate - time.perf_counter()))
                    group.create_task(self._say(random.randrange(len(self._talks)), number % ANSWERED_ONE_IN == 0))
                refreshing.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_ANSWERS_S):
                    while self.unanswered:  # noqa: ASYNC110 - answers end one by one, each on its own screen
                        await asyncio.sleep(0.1)

    async def _meet(self, stack: contextlib.AsyncExitStack, http: aiohttp.ClientSession) -> Talker:
        person = await sign_up(http, self._http_url, "Soak")
        agents = (await person.call("GET", f"/v1/projects/{person.project_id}/agents"))["data"]
        writer = await stack.enter_async_context(socket(self._ws_url, person.access_token))
        reader = await stack.enter_async_context(socket(self._ws_url, person.access_token))
        writer.watch(self._on_writer)
        reader.watch(self._on_reader)
        return Talker(person, agents[0]["id"], writer, reader)

    async def _begin(self, talker: Talker) -> Talk:
        conversation_id = await talker.person.conversation()
        screens = await watch(talker.writer, conversation_id), await watch(talker.reader, conversation_id)
        talk = Talk(talker, Pair(conversation_id, talker.agent_id, talker.writer, talker.reader), screens)
        self._watched[conversation_id] = talk
        return talk

    async def _leave(self, talk: Talk) -> None:
        """Once all is told that was asked: who has left is told no more. What is not told in time stays counted."""
        try:
            async with asyncio.timeout(LAST_ANSWERS_S):
                while talk.speaking or talk.unanswered:  # noqa: ASYNC110 - they end one by one
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return
        del self._watched[talk.pair.conversation_id]
        for connection, screen in zip((talk.talker.writer, talk.talker.reader), talk.screens, strict=True):
            await connection.command("unsubscribe", conversation_id=screen.conversation_id)
            connection._watchers.remove(screen.push)

    async def _say(self, place: int, answered: bool) -> None:
        talk, left = self._talks[place], None
        talk.said += 1
        if talk.said == MESSAGES_EACH:
            self._talks[place] = await self._begin(talk.talker)
            self.counts["conversations"] += 1
            left, talk = talk, self._talks[place]
        talk.speaking += 1
        await say(talk.pair, answered, self.measured, self._sent, talk.unanswered)
        talk.speaking -= 1
        self.counts["messages"] += 1
        if left is not None:
            await self._leave(left)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            for talker in self._talkers:
                person = talker.person
                tokens = await person.call("POST", "/v1/auth/refresh", {"refresh_token": person.refresh_token})
                person.access_token, person.refresh_token = tokens["access_token"], tokens["refresh_token"]
                for connection in (talker.writer, talker.reader):
                    await connection.command("token.refresh", token=person.access_token)

    def _on_reader(self, frame: Frame) -> None:
        message = frame.get("message", {})  # an answer has none that was sent
        if (began := self._sent.pop(message.get("id"), None)) is not None:
            self.measured.delivered.add(time.perf_counter() - began)

    def _on_writer(self, frame: Frame) -> None:
        match frame["type"]:
            case "run.delta":
                now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                for stamp in STAMP.findall(frame["text"]):
                    self.measured.delta.add((now_us - int(stamp)) / 1e6)
            case "run.finished":
                self.measured.finished += 1
                self._watched[frame["conversation_id"]].unanswered.pop(frame["run_id"], None)

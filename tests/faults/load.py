"""People who talk while things break, as careful clients do: they send again until it is acknowledged, come back by
themselves, go on from where their screen was, and write down every promise that was broken.

Two people share each conversation, each on a gateway of their own. One message in a few is a question, answered by the
agent. Nobody writes the next message to a conversation before the last one is acknowledged, as in front of a screen
that says "sending": so each sender's own order is known.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.client import Frame, Person, Refusal, Screen, sign_up
from tests.faults.money import pays

TOKENS = 40
TOKEN_MS = 20
WORD_S = 20.0
"""Seconds until a reply must have come; a gateway says `unavailable` after 5, so this is a broken promise."""
_AGAIN_S = (0.1, 0.5)
"""Pause, in seconds, before sending or connecting again: a few times what a restart takes would hide how long it took,
and none at all would measure the clients."""
_RETRY = frozenset({"unavailable", "rate_limited"})
_UNASKED = "reply without a command"

T = TypeVar("T")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Sent:
    """A message that was acknowledged, and its place in what its sender said in this conversation."""

    message_id: str
    run_id: str | None
    conversation_id: str
    author_id: str
    number: int
    content: str


@dataclass
class Records:
    """What the clients know."""

    acked: dict[str, Sent] = field(default_factory=dict)
    by_content: dict[str, Sent] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    """Sends that were not acknowledged, by the code of the reply; `lost` and `silent` where there was none."""
    told: set[str] = field(default_factory=set)
    """Whoever was told `unavailable`."""
    broken: list[str] = field(default_factory=list)
    """Promises that a push or a reply broke, as sentences."""
    sending: dict[int, float] = field(default_factory=dict)
    """When each message that is not acknowledged yet was first sent."""
    unseen: dict[tuple[int, str], float] = field(default_factory=dict)
    """When each message was acknowledged that a window does not show yet."""
    longest_silence_s: float = 0.0
    resets: int = 0
    """Screens that were told to begin anew because too much had happened meanwhile."""


class Connection:
    """One socket that has said hello. `heard` gets every push in order."""

    def __init__(self, socket: ClientConnection, heard: Callable[[Frame], None]) -> None:
        self._socket = socket
        self._heard = heard
        self._replies: dict[int, asyncio.Future[Frame]] = {}
        self._next = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                frame = _decode(text)
                if (number := frame.get("id")) is not None:
                    if (reply := self._replies.pop(number, None)) is None:
                        self._heard({"type": _UNASKED})
                    elif not reply.done():
                        reply.set_result(frame)
                elif frame["type"] == "ping":
                    await self._socket.send('{"type":"ping"}')
                else:
                    self._heard(frame)
        except ConnectionClosed:
            pass
        finally:
            self.over.set_result(None)
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(ConnectionError("closed"))

    async def command(self, type: str, **fields: object) -> Frame:
        """Raises `Refusal` where the reply says no, ConnectionError, or TimeoutError where none comes in time."""
        self._next += 1
        reply = self._replies[self._next] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(_encode({"id": self._next, "type": type, **fields}).decode())
        except ConnectionClosed as error:
            reply.cancel()
            raise ConnectionError("closed") from error
        async with asyncio.timeout(WORD_S):
            frame = await reply
        if not frame["ok"]:
            raise Refusal(frame["error"]["code"], frame["error"]["message"])
        return frame

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.wait([self._reader])


class Window:
    """One person's window on one gateway: it shows several conversations, and stays open whatever happens."""

    def __init__(self, number: int, url: str, person: Person, conversations: list[str], records: Records) -> None:
        self.number = number
        self.person = person
        self.screens = {c: Screen(c) for c in conversations}
        self.seen: set[str] = set()
        self.reset: set[str] = set()
        """Conversations whose screen began anew: it holds only the newest messages since."""
        self._url = url
        self._records = records
        self._live: set[str] = set()
        self._early: defaultdict[str, list[Frame]] = defaultdict(list)
        self._connection: Connection | None = None
        self._online = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._staying = asyncio.create_task(self._stay())

    async def online(self) -> Connection:
        """The connection, once there is one with every conversation on it."""
        while self._connection is None:
            await self._online.wait()
        return self._connection

    def is_current(self) -> bool:
        return self._connection is not None and len(self._live) == len(self.screens)

    async def close(self) -> None:
        self._staying.cancel()
        await asyncio.gather(self._staying, return_exceptions=True)
        for task in self._tasks:
            task.cancel()

    async def _stay(self) -> None:
        while True:
            with contextlib.suppress(OSError, WebSocketException, ConnectionError, TimeoutError, Refusal, EOFError):
                await self._be_online()
            self._connection = None
            self._online.clear()
            self._live.clear()
            self._early.clear()
            await asyncio.sleep(random.uniform(*_AGAIN_S))

    async def _be_online(self) -> None:
        async with connect(self._url, compression=None, max_size=None, ping_interval=None, open_timeout=5) as socket:
            connection = Connection(socket, self._heard)
            try:
                resume = [screen.cursors() for screen in self.screens.values() if screen.cursor]
                await connection.command("hello", token=self.person.access_token, resume=resume)
                for conversation_id, screen in self.screens.items():
                    if not screen.cursor:
                        await self._subscribe(connection, conversation_id)
                self._connection = connection
                self._online.set()
                await asyncio.shield(connection.over)
            finally:
                await connection.close()

    async def _subscribe(self, connection: Connection, conversation_id: str) -> None:
        screen = self.screens[conversation_id]
        cursors = screen.cursors() if screen.cursor else {"conversation_id": conversation_id}
        self._subscribed(conversation_id, await connection.command("subscribe", **cursors))

    async def _subscribe_again(self, conversation_id: str) -> None:
        """What could not be resumed is asked for until it can, as long as this connection lives."""
        connection = await self.online()
        while not connection.over.done() and conversation_id not in self._live:
            await asyncio.sleep(random.uniform(*_AGAIN_S))
            with contextlib.suppress(ConnectionError, TimeoutError, Refusal):
                await self._subscribe(connection, conversation_id)

    # -- what comes --

    def _heard(self, frame: Frame) -> None:
        if frame["type"] == _UNASKED:
            self._records.broken.append(f"doubled: a second reply to one command, on window {self.number}")
            return
        conversation_id = frame.get("conversation_id") or frame.get("conversation", {}).get("id")
        if conversation_id not in self.screens:
            return
        if frame["type"] == "subscribed":
            if "error" in frame:
                self._spawn(self._subscribe_again(conversation_id))
            else:
                self._subscribed(conversation_id, frame)
        elif conversation_id in self._live:
            self._show(conversation_id, frame)
        else:
            self._early[conversation_id].append(frame)

    def _subscribed(self, conversation_id: str, frame: Frame) -> None:
        screen = self.screens[conversation_id]
        if screen.cursor and not frame["recovered"]:
            self._records.resets += 1
            self.reset.add(conversation_id)
            screen.runs.clear()
            self._spawn(self._fetch(conversation_id))
        with self._noting(f"the answer to subscribe on the screen {self.number} of {conversation_id}"):
            screen.subscribed(frame)
        for message in frame["messages"]:
            self._saw(message["id"])
        self._live.add(conversation_id)
        for early in self._early.pop(conversation_id, []):
            self._show(conversation_id, early)

    def _show(self, conversation_id: str, frame: Frame) -> None:
        if frame["type"] == "message.rejected":
            self._records.broken.append(f"lost: {frame['code']} for the message {frame['message_id']}")
        with self._noting(f"{frame['type']} on the screen {self.number} of {conversation_id}"):
            self.screens[conversation_id].push(frame)
        if frame["type"] == "message.created":
            self._saw(frame["message"]["id"])

    async def _fetch(self, conversation_id: str) -> None:
        """What happened before the screen began anew is in the history, as it is for anybody who scrolls up."""
        while True:
            with contextlib.suppress(Refusal, OSError, TimeoutError, aiohttp.ClientError):
                for message in await self.person.messages(conversation_id):
                    self._saw(message["id"])
                return
            await asyncio.sleep(random.uniform(*_AGAIN_S))

    def _saw(self, message_id: str) -> None:
        self.seen.add(message_id)
        self._records.unseen.pop((self.number, message_id), None)

    @contextlib.contextmanager
    def _noting(self, where: str) -> Iterator[None]:
        try:
            yield
        except (AssertionError, KeyError) as error:
            what = "doubled" if "twice" in str(error) else "order"
            self._records.broken.append(f"{what}: {error!r}: {where}")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(eq=False)
class Lane:
    """One person's side of one conversation."""

    window: Window
    conversation_id: str
    sent: int = 0


async def _patiently(ask: Callable[[], Coroutine[None, None, T]]) -> T:
    """Ask again while the answer is `unavailable`: the scenario before may not be over for everybody."""
    for _ in range(10):
        try:
            return await ask()
        except Refusal as refusal:
            if refusal.code != "unavailable":
                raise
        await asyncio.sleep(random.uniform(*_AGAIN_S))
    return await ask()


class Load:
    """Everybody who talks.

    Args:
        rate: messages a second, of all people together.
        answered: of these, how many are questions to the agent.
    """

    def __init__(
        self, url: str, gateways: list[str], database_url: str, *, rate: float, answered: float, seed: int
    ) -> None:
        self.records = Records()
        self.windows: list[Window] = []
        self.conversations: dict[str, Person] = {}
        """Each conversation, and somebody who may read it."""
        self._url = url
        self._gateways = gateways
        self._database_url = database_url
        self._rate = rate
        self._answered = answered
        self._random = random.Random(seed)
        self._lanes: list[Lane] = []
        self._resting: list[Lane] = []
        self._agents: dict[str, str] = {}
        self._number = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._talking: asyncio.Task[None] | None = None
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))

    async def begin(self) -> None:
        """Sign up, meet, connect, and start to talk."""
        conversations = max(6, round(2 * self._answered))
        pairs = max(1, conversations // 6)
        for _ in range(pairs):
            await self._meet(-(-conversations // pairs))
        for window in self.windows:
            await window.online()
        self._resting = list(self._lanes)
        self._talking = asyncio.create_task(self._talk())

    async def _meet(self, conversations: int) -> None:
        ada, ben = [await _patiently(partial(sign_up, self._http, self._url, name)) for name in ("Ada", "Ben")]
        # Inviting has no route yet.
        connection = await asyncpg.connect(self._database_url)
        try:
            await connection.execute(
                "INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, 'member')",
                ada.project_id,
                ben.user["id"],
            )
        finally:
            await connection.close()
        agent = (await ada.call("GET", f"/v1/projects/{ada.project_id}/agents"))["data"][0]["id"]
        await _patiently(partial(pays, ada, agent))
        theirs = [await _patiently(partial(ada.conversation, id=str(uuid4()))) for _ in range(conversations)]
        for person, url in ((ada, self._gateways[0]), (ben, self._gateways[1])):
            window = Window(len(self.windows), url, person, theirs, self.records)
            self.windows.append(window)
            self._lanes += [Lane(window, conversation_id) for conversation_id in theirs]
        for conversation_id in theirs:
            self.conversations[conversation_id] = ada
            self._agents[conversation_id] = agent

    async def rest(self, within_s: float) -> bool:
        """Say nothing new; true where everything that was being sent is acknowledged in time."""
        if self._talking is not None:
            self._talking.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        return not self._tasks

    async def end(self) -> None:
        if self._talking is not None:
            self._talking.cancel()
        for task in self._tasks:
            task.cancel()
        for window in self.windows:
            await window.close()
        await self._http.close()

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        while True:
            at = max(at + 1 / self._rate, loop.time() - 1)  # a moment's delay is made up for, a long one is not
            await asyncio.sleep(at - loop.time())
            if not self._resting:
                continue  # everybody waits for an acknowledgement: people do not write on
            drawn = self._random.randrange(len(self._resting))
            self._resting[drawn], lane = self._resting[-1], self._resting[drawn]
            self._resting.pop()
            asks = self._random.random() < self._answered / self._rate
            task = asyncio.create_task(self._say(lane, asks))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _say(self, lane: Lane, asks: bool) -> None:
        self._number += 1
        number = self._number
        lane.sent += 1
        directions = f"/tokens {TOKENS} /delay {TOKEN_MS} " if asks else ""
        content = f"{directions}message {number} of {lane.conversation_id}"
        fields = {
            "conversation_id": lane.conversation_id,
            "client_message_id": str(UUID(int=self._random.getrandbits(128), version=4)),
            "content": content,
            "agent_id": self._agents[lane.conversation_id] if asks else None,
        }
        self.records.sending[number] = time.monotonic()
        reply = await self._until_acknowledged(lane.window, fields)
        del self.records.sending[number]
        now = time.monotonic()
        sent = Sent(
            reply["message_id"],
            reply["run_id"],
            lane.conversation_id,
            lane.window.person.user["id"],
            lane.sent,
            content,
        )
        self.records.acked[sent.message_id] = self.records.by_content[content] = sent
        for window in self.windows:
            if lane.conversation_id in window.screens and sent.message_id not in window.seen:
                self.records.unseen[window.number, sent.message_id] = now
        self._resting.append(lane)

    async def _until_acknowledged(self, window: Window, fields: dict[str, object]) -> Frame:
        records = self.records
        while True:
            connection = await window.online()
            began = time.monotonic()
            try:
                return await connection.command("message.send", **fields)
            except Refusal as refusal:
                records.refused[refusal.code] += 1
                if refusal.code not in _RETRY:
                    records.broken.append(f"refused: {refusal} for {fields['content']!r}")
                if refusal.code == "unavailable":
                    records.told.add(window.person.user["id"])
            except TimeoutError:
                records.refused["silent"] += 1
            except ConnectionError:
                records.refused["lost"] += 1
            finally:
                records.longest_silence_s = max(records.longest_silence_s, time.monotonic() - began)
            await asyncio.sleep(random.uniform(*_AGAIN_S))

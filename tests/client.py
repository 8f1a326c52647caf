"""A client of the public interface, as a careful program outside would be: REST, socket, and what a screen shows.

`Screen` checks while it applies: a push that is doubled, out of order or leaves a hole fails the test that watches it.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 30.0
PASSWORD = "correct horse battery"
"""Of everybody who signs up here."""

Frame = dict[str, Any]


class Refusal(Exception):
    """The server answered `ok: false`, or a problem."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status


@dataclass
class Person:
    """Someone who signed up, and what they use to call REST."""

    http: aiohttp.ClientSession
    base: str
    user: Frame
    access_token: str
    refresh_token: str
    project_id: str = ""

    async def call(self, method: str, path: str, body: object = None, **params: str | int) -> Any:
        """One REST call; the decoded answer. Raises `Refusal` for a problem."""
        async with self.http.request(
            method,
            f"{self.base}{path}",
            json=body,
            params=params,
            headers={"Authorization": f"Bearer {self.access_token}"},
        ) as answer:
            content = await answer.read()
            found = json.loads(content) if content else {}
            if answer.status >= 400:
                raise Refusal(found.get("code", "?"), found.get("detail", ""), answer.status)
            return found

    async def conversation(self, **fields: object) -> str:
        """A new conversation in this person's project; its id."""
        created = await self.call("POST", f"/v1/projects/{self.project_id}/conversations", fields)
        return str(created["id"])

    async def messages(self, conversation_id: str) -> list[Frame]:
        """Every message of a conversation, oldest first."""
        found: list[Frame] = []
        after = None
        while True:
            params: dict[str, str | int] = {"limit": 200}
            if after is not None:
                params["after"] = after
            page = (await self.call("GET", f"/v1/conversations/{conversation_id}/messages", **params))["data"]
            if not page:
                return found
            found += page
            after = page[-1]["cursor"]


async def sign_up(http: aiohttp.ClientSession, base: str, name: str = "Ada") -> Person:
    """A new person with an e-mail address of their own."""
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "display_name": name}
    async with http.post(f"{base}/v1/auth/register", json=body) as answer:
        made = await answer.json()
        if answer.status != 201:
            raise Refusal(made.get("code", "?"), str(made), answer.status)
    person = Person(http, base, made["user"], made["access_token"], made["refresh_token"])
    person.project_id = (await person.call("GET", "/v1/projects"))["data"][0]["id"]
    return person


class Socket:
    """One connection: commands with their replies, and the pushes in the order of their arrival."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._replies: dict[int, asyncio.Future[Frame]] = {}
        self._next = 0
        self.pushes: list[Frame] = []
        self.broken: AssertionError | None = None
        """The first promise that a push broke."""
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()
        self._watchers: list[Callable[[Frame], None]] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for text in self._connection:
                frame = json.loads(text)
                if "id" in frame:
                    self._replies.pop(frame["id"]).set_result(frame)
                    continue
                if frame["type"] == "ping":
                    await self._connection.send('{"type":"ping"}')
                    continue
                self.pushes.append(frame)
                for watch in self._watchers:
                    watch(frame)
                self._news.set()
        except ConnectionClosed:
            pass
        except AssertionError as error:
            self.broken = error
        finally:
            self.closed.set_result(self._connection.close_code or 1006)
            self._news.set()
            for reply in self._replies.values():
                if not reply.done():
                    reply.set_exception(ConnectionError(f"closed with {self._connection.close_code}"))

    def watch(self, watcher: Callable[[Frame], None]) -> None:
        """Call `watcher` with each push as it arrives."""
        self._watchers.append(watcher)

    async def command(self, type: str, **fields: object) -> Frame:
        """Send a command and wait for its reply. Raises `Refusal` where it says no."""
        self._next += 1
        reply = self._replies[self._next] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps({"id": self._next, "type": type, **fields}))
        async with asyncio.timeout(PATIENCE_S):
            frame: Frame = await reply
        if not frame["ok"]:
            raise Refusal(frame["error"]["code"], frame["error"]["message"])
        return frame

    async def raw(self, text: str | bytes) -> None:
        await self._connection.send(text)

    async def until(self, wanted: Callable[[Frame], bool], patience_s: float = PATIENCE_S) -> Frame:
        """The first push, of those that came and those that will, that is wanted."""
        seen = 0
        async with asyncio.timeout(patience_s):
            while True:
                for frame in self.pushes[seen:]:
                    if wanted(frame):
                        return frame
                seen = len(self.pushes)
                if self.broken:
                    raise self.broken
                if self.closed.done():
                    raise ConnectionError(f"closed with {self.closed.result()} before what was waited for")
                self._news.clear()
                await self._news.wait()

    async def finished(self, run_id: str, patience_s: float = PATIENCE_S) -> Frame:
        return await self.until(lambda f: f["type"] == "run.finished" and f["run_id"] == run_id, patience_s)

    async def send(self, conversation_id: str, content: str, **fields: object) -> Frame:
        """Send a message under a new id of the client's."""
        message = {"client_message_id": str(uuid4()), "content": content, **fields}
        return await self.command("message.send", conversation_id=conversation_id, **message)

    async def close(self) -> None:
        await self._connection.close()
        await self._reader
        if self.broken:
            raise self.broken


@contextlib.asynccontextmanager
async def socket(url: str, token: str | None, resume: list[Frame] | None = None) -> AsyncIterator[Socket]:
    """A connection that has said hello."""
    async with connect(url, compression=None, max_size=None, ping_interval=None) as connection:
        made = Socket(connection)
        await made.command("hello", **({"token": token} if token else {}), resume=resume or [])
        try:
            yield made
        finally:
            await made.close()


@dataclass
class RunOnScreen:
    attempt: int = 0
    seq: int = 0
    text: str = ""
    status: str = "queued"


@dataclass
class Screen:
    """What a screen shows of one conversation, and the promises that every push to it must keep."""

    conversation_id: str
    cursor: str = ""
    messages: dict[str, Frame] = field(default_factory=dict)
    runs: dict[str, RunOnScreen] = field(default_factory=dict)
    restarts: int = 0

    def cursors(self) -> Frame:
        """What `subscribe` and `hello` want to know of a client that comes back."""
        open_runs = {
            run_id: {"attempt": run.attempt, "seq": run.seq}
            for run_id, run in self.runs.items()
            if run.status in ("queued", "in_progress")
        }
        return {"conversation_id": self.conversation_id, "cursor": self.cursor, "runs": open_runs}

    def position(self) -> int:
        return int(self.cursor.rpartition(":")[2] or 0)

    def subscribed(self, reply: Frame) -> None:
        """Apply the reply to `subscribe`."""
        if not reply["recovered"]:
            self.messages.clear()
        for message in reply["messages"]:
            self.say(message)
        for run in reply["runs"]:
            shown = self.runs.setdefault(run["run_id"], RunOnScreen())
            shown.status = run["status"]
            if run["attempt"] != shown.attempt or run["from_seq"] == 1:
                shown.attempt, shown.seq, shown.text = run["attempt"], 0, ""
            assert run["from_seq"] == shown.seq + 1, f"hole in {run['run_id']}: {shown.seq} → {run['from_seq']}"
            shown.seq, shown.text = run["seq"], shown.text + run["text"]
        self.cursor = reply["cursor"]

    def say(self, message: Frame) -> None:
        """Show one more message. What it follows, where that is shown, is a person's: only answers have no answers."""
        assert message["id"] not in self.messages, f"message {message['id']} shown twice"
        parent = self.messages.get(message["parent_message_id"] or "")
        assert parent is None or parent["role"] == "user", f"{message} follows an answer"
        assert message["role"] == "user" or message["parent_message_id"], f"{message} answers nothing"
        self.messages[message["id"]] = message

    def siblings(self, message_id: str) -> list[Frame]:
        """The versions of a message that are shown, itself included, in the order in which they were said."""
        one = self.messages[message_id]
        alike = ("role", "parent_message_id")
        return [m for m in self.messages.values() if all(m[name] == one[name] for name in alike)]

    def path(self) -> list[Frame]:
        """The newest path: from the newest question back as far as is shown, each with its newest answer."""
        questions = [m for m in self.messages.values() if m["role"] == "user"]
        question = questions[-1] if questions else None
        path: list[Frame] = []
        while question is not None:
            answers = [m for m in self.messages.values() if m["parent_message_id"] == question["id"]]
            path += [*[m for m in answers if m["role"] != "user"][-1:], question]
            question = self.messages.get(question["parent_message_id"] or "")
        return path[::-1]

    def push(self, frame: Frame) -> None:
        """Apply one push."""
        if frame.get("conversation_id", self.conversation_id) != self.conversation_id:
            return
        if "conversation" in frame and frame["conversation"]["id"] != self.conversation_id:
            return
        if (cursor := frame.get("cursor")) is not None:
            at = int(cursor.rpartition(":")[2])
            assert at >= self.position(), f"{frame['type']} at {cursor} after {self.cursor}"
            self.cursor = cursor
        match frame["type"]:
            case "message.created":
                self.say(frame["message"])
            case "run.queued":
                self.runs.setdefault(frame["run_id"], RunOnScreen())
            case "run.started":
                run = self.runs.setdefault(frame["run_id"], RunOnScreen())
                run.status = "in_progress"
                if frame["attempt"] > run.attempt:
                    run.attempt, run.seq, run.text = frame["attempt"], 0, ""
            case "run.restarted":
                self.restarts += 1
                run = self.runs[frame["run_id"]]
                run.attempt, run.seq, run.text = frame["attempt"], 0, ""
            case "run.delta":
                run = self.runs[frame["run_id"]]
                assert frame["attempt"] == run.attempt, f"delta of attempt {frame['attempt']} in {run.attempt}"
                assert frame["from_seq"] == run.seq + 1, f"hole: {run.seq} → {frame['from_seq']}"
                run.seq, run.text = frame["seq"], run.text + frame["text"]
            case "run.finished":
                run = self.runs[frame["run_id"]]
                assert run.status not in ("completed", "cancelled", "failed"), "finished twice"
                if frame["attempt"]:
                    assert (frame["attempt"], frame["last_seq"]) == (run.attempt, run.seq), f"{frame} but {run}"
                run.status = frame["status"]
                answers = [m for m in self.messages.values() if m["run_id"] == frame["run_id"] and m["role"] != "user"]
                for answer in answers:
                    assert answer["content"] == run.text, "the joined deltas are not the message"


async def watch(socket: Socket, conversation_id: str, screen: Screen | None = None) -> Screen:
    """Subscribe, from where the screen is if one is given, and keep it up to date."""
    screen = screen or Screen(conversation_id)
    came: list[Frame] = []
    socket.watch(came.append)
    cursors = screen.cursors()
    if not screen.cursor:
        del cursors["cursor"]
    reply = await socket.command("subscribe", **cursors)
    screen.subscribed(reply)
    for frame in came:
        screen.push(frame)
    socket._watchers.remove(came.append)
    socket.watch(screen.push)
    return screen

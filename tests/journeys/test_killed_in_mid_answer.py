"""Whatever dies in mid-answer, nothing acknowledged is lost or doubled, and it heals by itself."""

import asyncio
import contextlib
import signal
import time
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from tests.client import Frame, Person, Refusal, Screen, Socket, socket, watch
from tests.running import Chorus

HEALED_S = 30.0
LONG_ANSWER = "/tokens 200 /delay 25"


class Window:
    """A page that stays open: it connects again by itself, resumes where it was, and sends until it is acknowledged."""

    def __init__(self, url: str, person: Person, conversation: str) -> None:
        self.url, self.person = url, person
        self.screen = Screen(conversation)
        self.finished: dict[str, Frame] = {}
        self._online: asyncio.Future[Socket] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._stay())

    async def _stay(self) -> None:
        while True:
            with contextlib.suppress(OSError, Refusal, TimeoutError, ConnectionError):
                async with socket(self.url, self.person.access_token) as connection:
                    await watch(connection, self.screen.conversation_id, self.screen)
                    if not self._online.done():
                        self._online.set_result(connection)
                    await asyncio.shield(connection.closed)
                    assert connection.broken is None, connection.broken
            if self._online.done():
                self._online = asyncio.get_running_loop().create_future()
            await asyncio.sleep(0.2)

    async def send(self, content: str) -> Frame:
        """Send under one id until it is acknowledged, as a careful client does."""
        mine = str(uuid4())
        async with asyncio.timeout(HEALED_S):
            while True:
                try:
                    connection = await asyncio.shield(self._online)
                    return await connection.send(self.screen.conversation_id, content, client_message_id=mine)
                except (ConnectionError, Refusal, OSError):
                    await asyncio.sleep(0.2)

    async def until(self, wanted: str, run_id: str, at_least: int = 1) -> None:
        """Wait until the screen shows the run in this state (`completed`, …) or, for `delta`, so many deltas of it."""
        async with asyncio.timeout(HEALED_S + 30):
            while True:
                assert not self._task.done(), self._task.result()
                run = self.screen.runs.get(run_id)
                if run and (run.seq >= at_least if wanted == "delta" else run.status == wanted):
                    return
                kept = [m for m in self.screen.messages.values() if m["run_id"] == run_id and m["role"] == "assistant"]
                if wanted == "completed" and kept:  # it ended while this window was away
                    return
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


async def in_mid_answer(window: Window) -> str:
    sent = await window.send(LONG_ANSWER)
    run_id = str(sent["run_id"])
    await window.until("delta", run_id, at_least=10)
    return run_id


async def all_is_well(window: Window, person: Person, run_ids: list[str]) -> None:
    """Every question has exactly one answer, history and screen agree, and the conversation is not busy."""
    for run_id in run_ids:
        await window.until("completed", run_id)
    after = await window.send("/tokens 3 are you there?")
    await window.until("completed", after["run_id"])
    deadline = time.monotonic() + HEALED_S
    while True:
        kept = await person.messages(window.screen.conversation_id)
        if len(kept) == len(window.screen.messages) or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    assert [m["id"] for m in kept] == list(window.screen.messages)
    assert [m["role"] for m in kept] == ["user", "assistant"] * (len(run_ids) + 1)
    assert [m["run_id"] for m in kept if m["role"] == "assistant"] == [*run_ids, after["run_id"]]
    for message in kept:
        assert window.screen.messages[message["id"]]["content"] == message["content"]


# Everything else that can die, and how, is in tests/faults.
@pytest.mark.parametrize("role", ["conversations", "replies"])
async def test_kill(chorus: Chorus, person: Person, ws_url: str, role: str) -> None:
    """`kill -9` of any process in mid-answer: the answer comes to its end, once, on every screen."""
    conversation = await person.conversation()
    window = Window(ws_url, person, conversation)
    try:
        run_id = await in_mid_answer(window)
        killed = await asyncio.to_thread(chorus.kill, role, signal.SIGKILL)
        began = time.monotonic()
        await asyncio.to_thread(chorus.ready_again, role, killed)
        await all_is_well(window, person, [run_id])
        print(f"{role}: whole again {time.monotonic() - began:.1f} s after the kill")
    finally:
        await window.close()


async def test_redis_flushed(chorus: Chorus, person: Person, ws_url: str) -> None:
    """Redis loses everything in mid-answer: screens go on, and miss nothing in the end."""
    conversation = await person.conversation()
    window = Window(ws_url, person, conversation)
    try:
        run_id = await in_mid_answer(window)
        async with Redis.from_url(chorus.env["CHORUS_REDIS_URL"]) as redis:
            await redis.flushall()
        await all_is_well(window, person, [run_id])
    finally:
        await window.close()

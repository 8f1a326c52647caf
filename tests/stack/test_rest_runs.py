"""Runs over REST: an answer as it is written, from wherever a reader got to, whatever Redis has lost."""

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from redis.asyncio import Redis

from infra import redis as our_redis
from infra.deltas import Deltas, conversation_channel, deltas_key
from infra.deltas import Written as WrittenDeltas
from infra.live import LiveRecord, encode_record
from infra.settings import RedisSettings
from schemas import events
from tests.running import Stack
from tests.stack.rest_api import Api, Someone, Written, opened, start_api

PATIENCE_S = 20.0
USAGE = {"input_tokens": 3, "output_tokens": 4, "source": "provider"}

Event = tuple[str, str | None, dict[str, Any]]
"""Name, id and data of a Server-Sent Event."""


@dataclass
class Answering:
    """An answer that is being written, as replies, history and live do it."""

    someone: Someone
    conversation_id: str
    run_id: str
    message_id: str
    database: "asyncpg.Connection[asyncpg.Record]"
    redis: Redis
    written: Written

    @property
    def path(self) -> str:
        return f"/v1/conversations/{self.conversation_id}/runs/{self.run_id}"

    async def say(self, *deltas: str, attempt: int = 1, after: int = 0) -> None:
        """All of the attempt's deltas, of which those after a number are new."""
        await Deltas(self.redis).append_many(
            [
                WrittenDeltas(
                    conversation_id=self.conversation_id,
                    run_id=self.run_id,
                    attempt=attempt,
                    from_seq=after + 1,
                    deltas=deltas,
                )
            ]
        )

    async def tell(self, *facts: events.KnownFact) -> None:
        """What live publishes of a record."""
        record = events.ConversationAdvanced(
            conversation_id=self.conversation_id,
            project_id=str(uuid4()),
            position=9,
            cause=str(uuid4()),
            at=datetime.now(UTC),
            facts=list(facts),
        )
        message = encode_record(LiveRecord(epoch="00000000", record=record))
        await self.redis.publish(conversation_channel(self.conversation_id), message)

    def ended(self, attempt: int, last_seq: int, status: str = "completed") -> events.RunEnded:
        return events.RunEnded(
            run_id=self.run_id,
            attempt=attempt,
            last_seq=last_seq,
            status=status,
            finish_reason="stop",
            usage=events.Usage(**USAGE),  # type: ignore[arg-type]
        )

    async def store_end(self, attempt: int, last_seq: int, content: str | None) -> None:
        """What history writes of an end; content None where the answer was not kept."""
        if content is not None:
            await self.written.message(
                self.conversation_id, self.someone.id, 2, id=self.message_id, role="assistant", content=content
            )
        await self.database.execute(
            "UPDATE runs SET status = 'completed', attempt = $2, last_seq = $3, finish_reason = 'stop', usage = $4, "
            "ended_at = now() WHERE id = $1",
            self.run_id,
            attempt,
            last_seq,
            json.dumps(USAGE),
        )

    @asynccontextmanager
    async def stream(self, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
        """The events as they come, until the server ends the stream."""
        path, _, query = headers.pop("path", f"{self.path}/events").partition("?")
        sent = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.someone.signed_in['access_token']}"}
        async with (
            asyncio.timeout(PATIENCE_S),
            self.someone.api.http.get(f"{self.someone.api.url}{path}?{query}", headers=sent | headers) as response,
        ):
            assert response.status == 200, await response.text()
            assert response.headers["Content-Type"].startswith("text/event-stream")
            yield _events(response.content)


async def _events(lines: AsyncIterable[bytes]) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in lines:
        if line == b"\n" and "data" in fields:
            yield fields["event"], fields.get("id"), json.loads(fields["data"])
            fields = {}
        elif not line.startswith(b":"):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            fields[name] = value


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    client = our_redis.connect(RedisSettings(stack.redis_url))
    yield client
    await client.aclose()


@pytest.fixture
async def answering(
    api: Api, written: Written, database: "asyncpg.Connection[asyncpg.Record]", redis: Redis
) -> Answering:
    """An answer whose first attempt has begun."""
    ada = await api.sign_up()
    conversation_id = await written.conversation(await ada.project_id(), ada.id)
    question_id = await written.message(conversation_id, ada.id, 1)
    message_id = str(uuid4())
    run_id = await written.run(conversation_id, ada.id, question_id=question_id, message_id=message_id, attempt=1)
    return Answering(ada, conversation_id, run_id, message_id, database, redis, written)


async def told(events: AsyncIterator[Event], count: int) -> list[Event]:
    return [await anext(events) for _ in range(count)]


def texts(came: list[Event]) -> list[tuple[int, int, int, str]]:
    return [
        (data["attempt"], data["from_seq"], data["seq"], data["text"]) for name, _, data in came if name == "run.delta"
    ]


async def test_a_run(answering: Answering) -> None:
    """State, attempts and usage of an answer can be read, from the first moment to after its end."""
    run = (await answering.someone.call("GET", answering.path)).json
    assert (run["status"], run["attempt"], run["usage"], run["ended_at"]) == ("in_progress", 1, None, None)
    await answering.store_end(1, 2, "Hello")
    run = (await answering.someone.call("GET", answering.path)).json

    assert (run["status"], run["last_seq"], run["finish_reason"]) == ("completed", 2, "stop")
    assert run["usage"]["input_tokens"] == 3
    assert run["message_id"] == answering.message_id


async def test_the_deltas_so_far(answering: Answering) -> None:
    """As JSON, the deltas that the reader does not have."""
    await answering.say("He", "l", "lo")
    answer = (await answering.someone.call("GET", f"{answering.path}/events", after_seq=1)).json

    assert answer["data"] == [{"from_seq": 2, "seq": 2, "text": "l"}, {"from_seq": 3, "seq": 3, "text": "lo"}]
    assert (answer["status"], answer["attempt"]) == ("in_progress", 1)


async def test_the_deltas_when_redis_has_forgotten(answering: Answering) -> None:
    """After the end the message has the text: the reader gets all of it as one, to take the place of what it has."""
    await answering.store_end(1, 3, "Hello")
    for after_seq in (0, 2):
        answer = (await answering.someone.call("GET", f"{answering.path}/events", after_seq=after_seq)).json
        assert answer["data"] == [{"from_seq": 1, "seq": 3, "text": "Hello"}]
    complete = (await answering.someone.call("GET", f"{answering.path}/events", after_seq=3)).json

    assert complete["data"] == []


async def test_following_to_the_end(answering: Answering) -> None:
    """What is there comes at once, what follows as it is written, and the end last; then the stream is over."""
    await answering.say("He", "l")
    async with answering.stream(path=f"{answering.path}/events?after_seq=1") as stream:
        assert await told(stream, 1) == [
            (
                "run.delta",
                "1:2",
                {
                    "type": "run.delta",
                    "run_id": answering.run_id,
                    "conversation_id": answering.conversation_id,
                    "attempt": 1,
                    "from_seq": 2,
                    "seq": 2,
                    "text": "l",
                },
            )
        ]
        await answering.say("He", "l", "l", "o", after=2)
        assert texts(await told(stream, 1)) == [(1, 3, 4, "lo")]
        await answering.tell(answering.ended(1, 4))
        ((name, _, end),) = [event async for event in stream]

    assert (name, end["status"], end["last_seq"], end["usage"]["output_tokens"]) == ("run.finished", "completed", 4, 4)


async def test_another_attempt(answering: Answering) -> None:
    """When the agent is called again the reader is told to forget, and reads from the beginning."""
    await answering.say("Hel")
    async with answering.stream() as stream:
        assert texts(await told(stream, 1)) == [(1, 1, 1, "Hel")]
        await answering.tell(events.RunStarted(run_id=answering.run_id, attempt=2))
        ((name, _, restarted),) = await told(stream, 1)
        assert (name, restarted["attempt"]) == ("run.restarted", 2)
        await answering.say("Good", "bye", attempt=2)
        assert texts(await told(stream, 1)) == [(2, 1, 2, "Goodbye")]
        await answering.tell(answering.ended(2, 2))
        assert [name async for name, _, _ in stream] == ["run.finished"]


@pytest.mark.parametrize(
    ("last", "expected"),
    [("2:1", ["run.delta", "run.finished"]), ("1:7", ["run.restarted", "run.delta", "run.finished"])],
)
async def test_coming_back(answering: Answering, last: str, expected: list[str]) -> None:
    """A reader that says which event came last gets those after it, or all of the attempt that took its place."""
    await answering.say("He", "llo", attempt=2)
    await answering.store_end(2, 2, "Hello")
    async with answering.stream(**{"Last-Event-ID": last}) as stream:
        came = [event async for event in stream]

    assert [name for name, _, _ in came] == expected
    assert "".join(text for _, _, _, text in texts(came)) == ("llo" if last == "2:1" else "Hello")


@pytest.mark.parametrize("last", ["x", "1", "1:", ":1", "-1:2", "1:99999999999", "1:2:3"])
async def test_ids_that_no_event_had(answering: Answering, last: str) -> None:
    """What is no event's id is refused by name."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
    answer = await answering.someone.call("GET", f"{answering.path}/events", headers=headers)

    assert (answer.status, answer.fields) == (422, {"last-event-id"})


async def test_redis_is_flushed_under_a_reader(answering: Answering) -> None:
    """What Redis lost is written again, and the reader goes on where it was: no hole, nothing twice."""
    await answering.say("a", "b")
    async with answering.stream() as stream:
        assert texts(await told(stream, 1)) == [(1, 1, 2, "ab")]
        await answering.redis.delete(deltas_key(answering.run_id, 1))
        await answering.say("a", "b", "c", "d", after=2)
        assert texts(await told(stream, 1)) == [(1, 3, 4, "cd")]
        await answering.redis.delete(deltas_key(answering.run_id, 1))
        await answering.tell(answering.ended(1, 6))  # live is ahead of history
        await asyncio.sleep(0.2)
        await answering.store_end(1, 6, "abcdef")
        came = [event async for event in stream]

    assert texts(came) == [(1, 1, 6, "abcdef")]
    assert came[-1][0] == "run.finished"


async def test_an_end_that_nobody_told(answering: Answering) -> None:
    """An end that was published while nobody heard is found in PostgreSQL."""
    await answering.say("Hello")
    async with answering.stream() as stream:
        await told(stream, 1)
        await answering.store_end(1, 1, "Hello")
        assert [name async for name, _, _ in stream] == ["run.finished"]


async def test_an_answer_that_was_not_kept(answering: Answering) -> None:
    """A rolled back answer whose deltas are gone has no text any more, but an end."""
    await answering.store_end(1, 5, None)
    async with answering.stream() as stream:
        assert [name async for name, _, _ in stream] == ["run.finished"]


async def test_a_run_that_history_has_not_seen(answering: Answering) -> None:
    """Who has just been told a run's id may follow it at once."""
    run_id = str(uuid4())

    async def later() -> None:
        await asyncio.sleep(0.3)
        await answering.written.run(answering.conversation_id, answering.someone.id, id=run_id)

    writing = asyncio.create_task(later())
    path = f"/v1/conversations/{answering.conversation_id}/runs/{run_id}/events"

    assert (await answering.someone.call("GET", path)).status == 200
    await writing


async def test_a_reader_that_leaves(answering: Answering) -> None:
    """Nothing is kept for a reader that went away."""
    channel = conversation_channel(answering.conversation_id)

    async def listeners() -> int:
        ((_, count),) = await answering.redis.pubsub_numsub(channel)
        return int(count)

    await answering.say("Hello")
    async with answering.stream() as stream:
        await told(stream, 1)
        assert await listeners() == 1
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await listeners() == 0:
                return
            await asyncio.sleep(0.05)


async def test_a_process_that_stops(
    stack: Stack, written: Written, database: "asyncpg.Connection[asyncpg.Record]", redis: Redis
) -> None:
    """Streams do not hold up a stop; their readers come back to another process."""
    running, url = start_api(stack)
    async with opened(running, url) as api:
        ada = await api.sign_up()
        conversation_id = await written.conversation(await ada.project_id(), ada.id)
        run_id = await written.run(conversation_id, ada.id, attempt=1)
        answering = Answering(ada, conversation_id, run_id, "", database, redis, written)
        await answering.say("Hello")
        async with answering.stream() as stream:
            await told(stream, 1)
            stopping = asyncio.create_task(running.stop())
            assert [event async for event in stream] == []
        assert await stopping == 0


async def test_redis_is_away(
    stack: Stack, written: Written, database: "asyncpg.Connection[asyncpg.Record]", redis: Redis
) -> None:
    """Running text is unavailable, all else goes on."""
    running, url = start_api(stack, CHORUS_REDIS_URL="redis://127.0.0.1:1/0")
    try:
        async with opened(running, url) as api:
            ada = await api.sign_up()
            conversation_id = await written.conversation(await ada.project_id(), ada.id)
            run_id = await written.run(conversation_id, ada.id, attempt=1)
            answering = Answering(ada, conversation_id, run_id, "", database, redis, written)
            answer = await ada.call("GET", f"{answering.path}/events")
            assert (answer.status, answer.code) == (503, "unavailable")
            assert (await ada.call("GET", answering.path)).status == 200
            async with answering.stream() as stream:
                assert [event async for event in stream] == []
    finally:
        await running.stop()

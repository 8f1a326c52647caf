"""What is stored reaches the screens of its person, whatever dies in between; and what is read is read on all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from infra import notifications
from infra import redis as our_redis
from infra.kafka import Publisher
from infra.live import user_channel
from infra.settings import KafkaSettings, RedisSettings
from infra.stack.ports import free_port
from schemas.topics import CONVERSATION_EVENTS
from streams.teller import Teller
from tests.conftest import StartProcess
from tests.notifications.conftest import Told
from tests.running import DEADLINE_S, Stack
from tests.stack.stage import Raw, raw


class Channel:
    """A person's channel, heard from the beginning of the test."""

    def __init__(self, pubsub: Any) -> None:
        self._pubsub = pubsub

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while (message := await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=1)) is None:
                pass
        found: dict[str, Any] = msgspec.json.decode(message["data"])
        return found

    async def is_silent(self) -> bool:
        return await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=0.2) is None


@pytest.fixture
async def channel(redis: Redis, told: Told) -> AsyncIterator[Channel]:
    """Bob's."""
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(user_channel(told.bob.user_id))
        assert await pubsub.get_message(timeout=DEADLINE_S)
        yield Channel(pubsub)


async def all_told(told: Told) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while any([row["told_at"] is None for row in await told.rows()]):  # noqa: ASYNC110, C419  # others set it
            await asyncio.sleep(0.02)


async def test_a_notification_is_told_once(told: Told, channel: Channel) -> None:
    """With what it is about and how many are unread; a teller that starts later tells it to nobody."""
    teller = asyncio.create_task(Teller(told.pool, told.redis).run())
    said = told.said("@Bob")
    await (await told.sink()).handle_batch([told.write(said)])

    push = await channel.hear()

    await all_told(told)
    assert (push["type"], push["unread"]) == ("notification.created", 1)
    [row] = await told.rows()
    shown = push["notification"]
    assert (shown["id"], shown["kind"], shown["read"]) == (row["id"], "mention", False)
    assert shown["data"] == {
        "conversation_id": told.conversation_id, "message_id": said.message_id, "by": told.ada.user_id
    }  # fmt: skip
    teller.cancel()
    again = asyncio.create_task(Teller(told.pool, told.redis).run())
    assert await channel.is_silent()
    again.cancel()


async def test_a_teller_that_dies_forgets_nothing(
    told: Told, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before it tells, another one tells; killed before it has noted so, it is told again, as the same."""
    await (await told.sink()).handle_batch([told.write(told.said("@Bob"))])

    async def dies(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(notifications, "told", dies)
        with pytest.raises(RuntimeError, match="killed"):
            await Teller(told.pool, told.redis).run()
    teller = asyncio.create_task(Teller(told.pool, told.redis).run())
    first, second = await channel.hear(), await channel.hear()
    await all_told(told)
    teller.cancel()

    assert first == second


async def test_nobody_waits_for_redis(told: Told) -> None:
    """While Redis hangs what is stored waits to be told, and its person reads it all the same."""
    asked = asyncio.Event()

    async def hangs(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(DEADLINE_S)
        writer.close()

    await (await told.sink()).handle_batch([told.write(told.said("@Bob"))])
    [row] = await told.rows()
    server = await asyncio.start_server(hangs, "127.0.0.1", 0)
    away = RedisSettings(url=f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    async with our_redis.connect(away, timeout_s=DEADLINE_S) as nowhere:
        teller = asyncio.create_task(Teller(told.pool, nowhere).run())
        async with asyncio.timeout(DEADLINE_S / 6), told.pool.acquire() as connection:
            await asked.wait()
            assert await notifications.read(connection, told.bob.user_id, row["id"]) == 0
        assert (await told.rows())[0]["told_at"] is None
        assert not teller.done()
        teller.cancel()
    server.close()


async def test_what_nobody_wants_to_see_is_not_told(told: Told, channel: Channel) -> None:
    """A kind that is turned off reaches no screen."""
    await told.pool.execute(
        "INSERT INTO notification_preferences VALUES ($1, 'mention', false, true)", told.bob.user_id
    )
    teller = asyncio.create_task(Teller(told.pool, told.redis).run())

    await (await told.sink()).handle_batch([told.write(told.said("@Bob"))])

    assert await channel.is_silent()
    teller.cancel()


# -- through the processes --


async def push_of(socket: Raw, type: str) -> dict[str, Any]:
    while (frame := await socket.hear()).get("type") != type:
        pass
    return frame


async def publish(told: Told, stack: Stack) -> None:
    """Write the log into Kafka, as the conversations processor does."""
    publisher = Publisher(KafkaSettings.from_env(stack.env), "/test")
    await publisher.start()
    for d in told.log:
        await publisher.publish(CONVERSATION_EVENTS, d.event, key=told.conversation_id, id=d.envelope.id)
    await publisher.stop()


async def test_read_on_one_is_read_on_all(told: Told, stack: Stack, start_process: StartProcess) -> None:
    """From the log to two screens on two gateways; read on one, the other is told, REST says so, and a process that is
    killed and started again tells nothing new."""
    ports = (free_port(), free_port())
    process, *_ = await asyncio.gather(
        start_process("streams", "notifications"),
        *(start_process("edge", "gateway", CHORUS_WS_PORT=str(port), CHORUS_DRAIN_S="0.1") for port in ports),
    )
    told.write(told.said("@Bob one"))
    told.write(told.said("@Bob two"))
    urls = [f"ws://127.0.0.1:{port}/v1/ws" for port in ports]
    async with raw(urls[0], told.bob.token) as first, raw(urls[1], told.bob.token) as second:
        await publish(told, stack)
        for socket in (first, second):
            pushed = [await push_of(socket, "notification.created") for _ in range(2)]
            newest = pushed[-1]["notification"]["id"]
            assert pushed[-1]["unread"] == 2
        reply = await first.ask("notifications.read", up_to=newest.upper())
        assert (reply["ok"], reply["unread"]) == (True, 0)
        read = await push_of(second, "notifications.read")
        assert (read["up_to"], read["unread"]) == (newest, 0)
        assert await first.refused("notifications.read", up_to=told.ada.user_id) == "not_found"

        before = await told.rows()
        process.kill()
        await process.ended()
        told.log = told.log[:1]
        await publish(told, stack)  # the same record once more
        told.write(told.said("@Bob three"))
        told.log = told.log[1:]
        await publish(told, stack)
        await start_process("streams", "notifications")
        third = await push_of(second, "notification.created")
    assert third["unread"] == 1
    assert (await told.rows())[:-1] == before
    assert all(row["read_at"] is not None for row in before)

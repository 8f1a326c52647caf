"""A gateway whose neighbours fail, and one that is told to go: what was acknowledged is safe, and nobody hangs."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest

from infra.kafka import end_offsets, partition_of, read_partition
from infra.settings import KafkaSettings
from infra.stack.ports import free_port
from schemas import ids
from schemas.events import ConversationCommand, Decision, SendMessage, UpdateConversation
from schemas.topics import CONVERSATION_COMMANDS, CONVERSATION_PARTITIONS
from tests.client import Refusal, socket, watch
from tests.conftest import StartProcess
from tests.running import Running, Stack
from tests.stack.stage import Play, Someone, Stage, frozen, raw, staged

DRAIN_S = 3.0


@pytest.fixture
async def stage(stack: Stack) -> AsyncIterator[Stage]:
    async with staged(stack) as stage:
        yield stage


@pytest.fixture
async def gateway(start_process: StartProcess) -> tuple[Running, str]:
    port = free_port()
    running = await start_process(
        "edge", "gateway", CHORUS_WS_PORT=str(port), CHORUS_DRAIN_S=str(DRAIN_S), CHORUS_WS_CHECK_S="1"
    )
    return running, f"ws://127.0.0.1:{port}/v1/ws"


@pytest.fixture
async def ada(stage: Stage) -> Someone:
    return await stage.person()


@pytest.fixture
async def play(stage: Stage, ada: Someone) -> Play:
    return await stage.play(ada)


async def commands(stage: Stage, conversation_id: str, start: int) -> list[SendMessage]:
    """The messages sent to a conversation since an offset of its partition."""
    return [c for c, _ in await inbox(stage, conversation_id, start) if isinstance(c, SendMessage)]


async def inbox(stage: Stage, conversation_id: str, start: int) -> list[tuple[ConversationCommand, str]]:
    """Everything asked of a conversation since an offset of its partition, with the commands' ids."""
    settings = KafkaSettings.from_env(stage.stack.env)
    topic = CONVERSATION_COMMANDS.topic
    partition = partition_of(conversation_id, CONVERSATION_PARTITIONS)
    end = (await end_offsets(settings, topic, {partition}))[partition]
    found = []
    async for record in read_partition(settings, topic, partition, start, end):
        command, envelope = CONVERSATION_COMMANDS.decode(record.value, record.headers)
        if command.conversation_id == conversation_id:
            found.append((command, envelope.id))
    return found


async def end(stage: Stage, conversation_id: str) -> int:
    partition = partition_of(conversation_id, CONVERSATION_PARTITIONS)
    settings = KafkaSettings.from_env(stage.stack.env)
    return (await end_offsets(settings, CONVERSATION_COMMANDS.topic, {partition}))[partition]


async def test_what_is_acknowledged_is_in_kafka(
    gateway: tuple[Running, str], stage: Stage, ada: Someone, play: Play
) -> None:
    """The reply comes after the broker's: the command is there, sealed, with its sender's role; and again is once."""
    start = await end(stage, play.conversation_id)
    mine = str(uuid4())
    async with socket(gateway[1], ada.token) as online:
        first = await online.send(play.conversation_id, "a secret", client_message_id=mine)
        there = await commands(stage, play.conversation_id, start)
        again = await online.send(play.conversation_id, "a secret", client_message_id=mine)

        assert len(there) == 1
        assert (there[0].role, there[0].user_id) == ("owner", ada.user_id)
        assert "secret" not in there[0].content
        assert there[0].message_id == first["message_id"] == ids.message_id(play.conversation_id, ada.user_id, mine)
        assert first["run_id"] == ids.run_id(first["message_id"])
        assert {k: v for k, v in again.items() if k != "id"} == {k: v for k, v in first.items() if k != "id"}
        assert len(await commands(stage, play.conversation_id, start)) == 1
        async with raw(gateway[1], ada.token) as other:
            message = {"conversation_id": play.conversation_id, "client_message_id": mine}
            assert await other.refused("message.send", **message, content="another text") == "idempotency_mismatch"


async def test_messages_of_one_connection_keep_their_order(
    gateway: tuple[Running, str], stage: Stage, ada: Someone, play: Play
) -> None:
    """What one client sends in a row stands in the log in that row."""
    start = await end(stage, play.conversation_id)
    sent = [str(uuid4()) for _ in range(60)]
    async with socket(gateway[1], ada.token) as online:
        await asyncio.gather(*(online.send(play.conversation_id, m, client_message_id=m) for m in sent))

    assert [c.client_message_id for c in await commands(stage, play.conversation_id, start)] == sent


@pytest.mark.slow
async def test_kafka_stands_still(gateway: tuple[Running, str], stage: Stage, ada: Someone, play: Play) -> None:
    """No acknowledgement that was not earned: `unavailable`, retryable, within 5 s; watching goes on meanwhile, and
    the same message sent again when Kafka is back is stored once."""
    start = await end(stage, play.conversation_id)
    mine = str(uuid4())
    message = {"conversation_id": play.conversation_id, "client_message_id": mine, "content": "hello"}
    async with raw(gateway[1], ada.token) as online, socket(gateway[1], ada.token) as other:
        assert (await online.ask("message.send", **message | {"client_message_id": str(uuid4())}))["ok"]
        await watch(other, play.conversation_id)
        async with frozen(stage.pid_of("kafka")):
            began = time.monotonic()
            asking = asyncio.create_task(online.ask("message.send", **message))
            await play.tell(play.happen(play.words(1)))
            await other.until(lambda f: f["type"] == "message.created", 5)
            refused = await asking
            assert time.monotonic() - began < 7
        assert (refused["error"]["code"], refused["error"]["retryable"]) == ("unavailable", True)
        deadline = time.monotonic() + 60
        while not (reply := await online.ask("message.send", **message))["ok"]:
            assert reply["error"]["code"] == "unavailable"
            assert time.monotonic() < deadline

    there = {c.message_id for c in await commands(stage, play.conversation_id, start) if c.client_message_id == mine}
    assert there == {reply["message_id"]}


@pytest.mark.parametrize("code", [None, "conversation_archived"])
async def test_a_decision_that_was_not_heard_is_asked_for_again(
    gateway: tuple[Running, str], stage: Stage, ada: Someone, play: Play, code: str | None
) -> None:
    """Without a decision the very same command is published again; what is then decided is the reply."""
    start = await end(stage, play.conversation_id)
    async with raw(gateway[1], ada.token) as online:
        asking = asyncio.create_task(
            online.ask("conversation.update", conversation_id=play.conversation_id, title="Another")
        )
        async with asyncio.timeout(20):
            while len(asked := await inbox(stage, play.conversation_id, start)) < 2:
                assert not asking.done()
                await asyncio.sleep(0.1)
        (command, command_id), (again, id_again) = asked
        assert isinstance(command, UpdateConversation)
        assert (again, id_again) == (command, command_id)
        decision = Decision(command_id=command_id, conversation_id=play.conversation_id, position=1, code=code)
        await stage.redis.publish(f"decisions:{command.ask}", msgspec.json.encode(decision))
        reply = await asking

    assert reply["ok"] is (code is None)
    assert code is None or reply["error"]["code"] == code


async def test_no_decision(gateway: tuple[Running, str], stage: Stage, ada: Someone, play: Play) -> None:
    """With nobody to decide: `unavailable` within 5 s, while other commands of the connection pass."""
    async with socket(gateway[1], ada.token) as online:
        began = time.monotonic()
        waiting = asyncio.create_task(online.send(play.conversation_id, "busy?", when_busy="reject"))
        assert (await online.command("ping"))["ok"]
        assert not waiting.done()
        with pytest.raises(Refusal) as refused:
            await waiting

    assert refused.value.code == "unavailable"
    assert 4 < time.monotonic() - began < 8


async def test_postgresql_stands_still(gateway: tuple[Running, str], stage: Stage, ada: Someone, play: Play) -> None:
    """A warm conversation goes on without PostgreSQL: messages are acknowledged, pushes come."""
    async with socket(gateway[1], ada.token) as online:
        await watch(online, play.conversation_id)
        await online.send(play.conversation_id, "warm")
        await asyncio.sleep(3.5)  # what is known of access grows stale, so that PostgreSQL would be asked again
        async with frozen(stage.pid_of("postgres")):
            began = time.monotonic()
            assert (await online.send(play.conversation_id, "still warm"))["ok"]
            assert time.monotonic() - began < 6
            await play.tell(play.happen(play.words(1)))
            await online.until(lambda f: f["type"] == "message.created", 10)


@pytest.mark.slow
async def test_redis_stands_still(gateway: tuple[Running, str], stage: Stage, ada: Someone, play: Play) -> None:
    """Sockets stay while Redis does not answer; messages are still acknowledged, and what was missed comes after."""
    async with socket(gateway[1], ada.token) as online:
        screen = await watch(online, play.conversation_id)
        await online.send(play.conversation_id, "before")
        async with frozen(stage.pid_of("redis")):
            assert (await online.send(play.conversation_id, "meanwhile"))["ok"]
            await asyncio.sleep(11)  # two pings of the line to Redis: it is given up
            assert (await online.command("ping"))["ok"]
        await play.tell(play.happen(play.words(1)))
        await online.until(lambda f: f["type"] == "message.created", 20)
        assert len(screen.messages) == 1
        assert not online.closed.done()


async def test_sigterm(gateway: tuple[Running, str], stage: Stage, ada: Someone, play: Play) -> None:
    """The listener closes first; goodbyes and closes are spread over the drain time; what is under way is answered;
    then the process ends, well."""
    running, url = gateway
    count = 12
    went: list[float] = []

    async def stay() -> int:
        async with raw(url, ada.token) as online:
            await online.ask("subscribe", conversation_id=play.conversation_id)
            staying.release()
            while (push := await online.hear())["type"] != "goodbye":
                pass
            went.append(time.monotonic())
            assert 0 < push["reconnect_in_ms"] <= 1_000
            return await online.closed()

    staying = asyncio.Semaphore(0)
    connections = [asyncio.create_task(stay()) for _ in range(count)]
    for _ in connections:
        await staying.acquire()
    running.kill(signal.SIGTERM)
    began = time.monotonic()
    await asyncio.sleep(DRAIN_S / 2)
    with pytest.raises(ConnectionRefusedError):
        async with raw(url):
            pass
    assert set(await asyncio.gather(*connections)) == {4001}
    assert await running.ended(deadline_s=DRAIN_S + 10) == 0

    assert max(went) - min(went) > DRAIN_S / 2
    assert max(went) - began < DRAIN_S + 3
    assert sum(at - began < DRAIN_S / 2 for at in went) < count


async def test_a_stopping_gateway_hands_its_port_on(
    gateway: tuple[Running, str], start_process: StartProcess, ada: Someone
) -> None:
    """Of two gateways on one port the one that stays takes every new connection, from the first moment on."""
    running, url = gateway
    port = url.split(":")[2].split("/")[0]
    await start_process("edge", "gateway", CHORUS_WS_PORT=port)
    async with raw(url, ada.token):
        running.kill(signal.SIGTERM)
        await asyncio.sleep(0.5)
        for _ in range(20):
            async with raw(url, ada.token) as online:
                assert (await online.ask("ping"))["ok"]


async def test_its_own_port(stack: Stack, start_process: StartProcess, ada: Someone) -> None:
    """A gateway can be reached on a port of its own beside the shared one."""
    shared, own = free_port(), free_port()
    await start_process("edge", "gateway", CHORUS_WS_PORT=str(shared), CHORUS_WS_EXTRA_PORT=str(own))
    for port in (shared, own):
        async with raw(f"ws://127.0.0.1:{port}/v1/ws", ada.token) as online:
            assert (await online.ask("ping"))["ok"]


async def test_a_port_in_use(stack: Stack, gateway: tuple[Running, str]) -> None:
    """A port that somebody else has is told in one sentence."""
    taken = gateway[0].health_port
    running = stack.start("edge", "gateway", CHORUS_WS_PORT=str(taken))
    assert await running.ended() == 1

    [*_, last] = running.output.read_text().strip().splitlines()
    assert f"cannot listen on 127.0.0.1:{taken}" in last
    with pytest.raises(json.JSONDecodeError):
        json.loads(last)

"""Following conversations through a real gateway: joining, resuming, holes, losses and slow readers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from infra.redis import connect
from infra.settings import RedisSettings
from infra.stack.ports import free_port
from schemas import events
from tests.client import Screen, Socket, socket, watch
from tests.running import Stack
from tests.stack.stage import Play, Raw, Someone, Stage, raw, staged


@pytest.fixture
async def stage(stack: Stack) -> AsyncIterator[Stage]:
    async with staged(stack) as stage:
        yield stage


def _gateway(stack: Stack, **settings: str) -> str:
    port = free_port()
    running = stack.start("edge", "gateway", CHORUS_WS_PORT=str(port), **settings)
    asyncio.run(running.ready())
    return f"ws://127.0.0.1:{port}/v1/ws"


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    """A gateway for all tests of this module; it looks at the top every second."""
    return _gateway(stack, CHORUS_WS_CHECK_S="1")


@pytest.fixture(scope="module")
def other_url(stack: Stack) -> str:
    """Another gateway, on another port."""
    return _gateway(stack, CHORUS_WS_CHECK_S="1")


@pytest.fixture
async def ada(stage: Stage) -> Someone:
    return await stage.person()


@pytest.fixture
async def play(stage: Stage, ada: Someone) -> Play:
    return await stage.play(ada)


@pytest.fixture
async def online(url: str, ada: Someone) -> AsyncIterator[Socket]:
    async with socket(url, ada.token) as online:
        yield online


def said(screen: Screen) -> list[str]:
    return [message["content"] for message in screen.messages.values()]


async def caught(socket: Socket, content: str) -> None:
    await socket.until(lambda f: f["type"] == "message.created" and f["message"]["content"] == content, 20)


async def up_to(socket: Socket, seq: int) -> None:
    await socket.until(lambda f: f["type"] == "run.delta" and f["seq"] >= seq)


# -- joining --


async def test_what_happens_is_told(online: Socket, play: Play) -> None:
    """A question, the text as it comes, the answer, the end: in order, the text equal to the message."""
    screen = await watch(online, play.conversation_id)
    run_id = play.ask(1)
    await play.tell_all()
    play.start(run_id)
    await play.tell_all()
    await play.speak(run_id, 1, "Hel", "lo")
    await play.speak(run_id, 1, " there")
    await play.tell(play.end(run_id, 1))
    await online.finished(run_id)

    assert said(screen) == ["question 1", "Hello there"]
    kinds = [f["type"] for f in online.pushes if f["type"].startswith(("run", "message"))]
    assert kinds[:3] == ["message.created", "run.queued", "run.started"]
    assert kinds[-2:] == ["message.created", "run.finished"]


@pytest.mark.parametrize("forgotten", [False, True], ids=["from redis", "from postgresql"])
async def test_the_newest_fifty(online: Socket, play: Play, forgotten: bool) -> None:
    """Without a cursor: the newest 50 messages, `recovered: false`, the state and where the client now is."""
    for number in range(70):
        play.happen(play.words(number))
    await play.tell_all()
    await play.store()
    if forgotten:
        await play.forget()
    reply = await online.command("subscribe", conversation_id=play.conversation_id)

    assert [m["content"] for m in reply["messages"]] == [f"words {n}" for n in range(20, 70)]
    assert (reply["recovered"], reply["cursor"]) == (False, f"{play.epoch}:71")
    assert (reply["state"]["id"], reply["state"]["title"]) == (play.conversation_id, "Talk")


async def test_window_and_history_together(online: Socket, play: Play) -> None:
    """Where the window begins late, PostgreSQL gives what is before it, and nothing comes twice."""
    for number in range(30):
        play.happen(play.words(number))
    await play.store()
    for number in range(30, 40):
        play.happen(play.words(number))
    for live in play.records[31:]:  # as live does after Redis forgot: the window begins where history stands
        await play.tell(live)
    await play.store()
    old = await online.command("subscribe", conversation_id=play.conversation_id, cursor=f"{play.epoch}:11")
    anew = await online.command("subscribe", conversation_id=play.conversation_id)

    assert old["recovered"]
    assert [m["content"] for m in old["messages"]] == [f"words {n}" for n in range(10, 40)]
    assert [m["content"] for m in anew["messages"]] == [f"words {n}" for n in range(40)]


async def test_history_that_is_behind_is_waited_for(online: Socket, play: Play) -> None:
    """What the window says that history will have is waited for, not left out."""
    for number in range(5):
        play.happen(play.words(number))
    for live in play.records[3:]:
        await play.tell(live)
    asking = asyncio.create_task(online.command("subscribe", conversation_id=play.conversation_id))
    await asyncio.sleep(0.3)
    assert not asking.done()
    await play.store()

    assert [m["content"] for m in (await asking)["messages"]] == [f"words {n}" for n in range(5)]


# -- resuming --


@pytest.mark.parametrize("forgotten", [False, True], ids=["from redis", "from postgresql"])
async def test_resume_after_a_cursor(url: str, ada: Someone, play: Play, forgotten: bool) -> None:
    """With a cursor: everything after it, `recovered: true`; runs that ended meanwhile, and those still open."""
    async with socket(url, ada.token) as before:
        screen = await watch(before, play.conversation_id)
        first = play.ask(1)
        play.start(first)
        await play.tell_all()
        await play.speak(first, 1, "one ", "and ")
        await before.until(lambda f: f["type"] == "run.delta" and f["seq"] == 2)
    await play.speak(first, 1, "only")
    second = play.ask(2)
    play.end(first, 1)
    play.start(second)
    play.happen(
        events.MessageRejected(
            message_id=str(uuid4()), client_message_id=str(uuid4()), user_id=ada.user_id, code="conversation_archived"
        )
    )
    await play.tell_all()
    await play.speak(second, 1, "two ")
    await play.store()
    if forgotten:
        await play.forget()
    async with socket(url, ada.token) as after:
        reply = await after.command("subscribe", **screen.cursors())
        screen.subscribed(reply)
        after.watch(screen.push)
        await play.speak(second, 1, "too")
        await play.tell(play.end(second, 1))
        await after.finished(second)

    assert reply["recovered"]
    assert said(screen) == ["question 1", "question 2", "one and only", "two too"]
    ended = next(r for r in reply["runs"] if r["run_id"] == first)
    assert (ended["from_seq"], ended["seq"], ended["text"], ended["status"]) == (3, 3, "only", "completed")
    assert [r["code"] for r in reply["rejected"]] == ["conversation_archived"]
    assert (screen.runs[first].text, screen.runs[second].text) == ("one and only", "two too")


async def test_hello_resumes(url: str, ada: Someone, stage: Stage, play: Play) -> None:
    """One `subscribed` push for each conversation that hello names, errors among them; then live."""
    lost = str(uuid4())
    play.happen(play.words(1))
    await play.tell_all()
    points: list[dict[str, Any]] = [
        {"conversation_id": play.conversation_id.upper(), "cursor": f"{play.epoch}:1"},
        {"conversation_id": lost, "cursor": f"{play.epoch}:1"},
    ]
    async with socket(url, ada.token, points) as online:
        mine = await online.until(lambda f: f["type"] == "subscribed" and f["conversation_id"] == play.conversation_id)
        gone = await online.until(lambda f: f["type"] == "subscribed" and f["conversation_id"] == lost)
        await play.tell(play.happen(play.words(2)))
        await caught(online, "words 2")

    assert mine["recovered"]
    assert [m["content"] for m in mine["messages"]] == ["words 1"]
    assert gone["error"]["code"] == "not_found"


@pytest.mark.parametrize("cursor", ["ffffffff:1", "nonsense", "", "0:x", "ffffffff:99999999999999999999"])
async def test_a_cursor_of_another_epoch_starts_anew(online: Socket, play: Play, cursor: str) -> None:
    """Another epoch's cursor, or none at all: the newest messages, `recovered: false`."""
    play.happen(play.words(1))
    await play.tell_all()
    reply = await online.command("subscribe", conversation_id=play.conversation_id, cursor=cursor)

    assert (reply["recovered"], len(reply["messages"])) == (False, 1)


async def test_too_much_missed_starts_anew(online: Socket, play: Play) -> None:
    """More than 500 messages, or more than 1 MiB, are not recovered but shown anew."""
    for number in range(510):
        play.happen(play.words(number))
    await play.tell_all()
    await play.store()
    many = await online.command("subscribe", conversation_id=play.conversation_id, cursor=f"{play.epoch}:1")
    few = await online.command("subscribe", conversation_id=play.conversation_id, cursor=f"{play.epoch}:11")

    assert (many["recovered"], len(many["messages"])) == (False, 50)
    assert (few["recovered"], len(few["messages"])) == (True, 500)


async def test_a_client_that_is_ahead_of_live(online: Socket, play: Play) -> None:
    """A cursor beyond what live has told here, but that history has, is caught up with; nothing comes twice."""
    missing = [play.happen(play.words(n)) for n in range(3)]
    await play.store()
    reply = await online.command("subscribe", conversation_id=play.conversation_id, cursor=f"{play.epoch}:4")
    for live in missing:
        await play.tell(live)
    await play.tell(play.happen(play.words(9)))
    await caught(online, "words 9")

    assert (reply["recovered"], reply["cursor"], reply["messages"]) == (True, f"{play.epoch}:4", [])
    assert [f["message"]["content"] for f in online.pushes if f["type"] == "message.created"] == ["words 9"]


async def test_resume_on_another_gateway_in_mid_answer(url: str, other_url: str, ada: Someone, play: Play) -> None:
    """A client goes from gateway to gateway in mid-answer; the text has no hole and no repeat."""
    run_id = play.ask(1)
    play.start(run_id)
    await play.tell_all()
    screen = Screen(play.conversation_id)
    for round in range(6):
        async with socket((url, other_url)[round % 2], ada.token) as online:
            await watch(online, play.conversation_id, screen)
            await play.speak(run_id, 1, f"{round}a ", f"{round}b ")
            told = await play.speak(run_id, 1, f"{round}c ")
            await up_to(online, told.seq)
        await play.speak(run_id, 1, f"unheard {round} ")
    async with socket(url, ada.token) as online:
        await watch(online, play.conversation_id, screen)
        await play.tell(play.end(run_id, 1))
        await online.finished(run_id)

    assert screen.runs[run_id].text == "".join(play.deltas[run_id, 1])


# -- what is lost on the way --


async def test_a_record_that_was_not_heard(online: Socket, play: Play) -> None:
    """The next record shows the hole; what is missing comes first."""
    screen = await watch(online, play.conversation_id)
    await play.tell(play.happen(play.words(1)), aloud=False)
    await play.tell(play.happen(play.words(2)))
    await caught(online, "words 2")

    assert said(screen) == ["words 1", "words 2"]


async def test_a_last_record_that_was_not_heard(online: Socket, play: Play) -> None:
    """With nothing after it, the look at the top finds it."""
    screen = await watch(online, play.conversation_id)
    await play.tell(play.happen(play.words(1)), aloud=False)
    await caught(online, "words 1")

    assert said(screen) == ["words 1"]


async def test_deltas_that_were_not_heard(online: Socket, play: Play) -> None:
    """A hole in the text is read back; the end waits for the last of it."""
    screen = await watch(online, play.conversation_id)
    run_id = play.ask(1)
    play.start(run_id)
    await play.tell_all()
    await play.speak(run_id, 1, "a")
    await play.speak(run_id, 1, "b", "c", aloud=False)
    await play.speak(run_id, 1, "d")
    await online.until(lambda f: f["type"] == "run.delta" and f["seq"] == 4)
    await play.speak(run_id, 1, "e", aloud=False)
    await play.tell(play.end(run_id, 1))
    await online.finished(run_id)

    assert screen.runs[run_id].text == "abcde"


async def test_redis_forgets_everything(online: Socket, play: Play) -> None:
    """Redis is flushed and comes back at history's position: sockets stay, and what was missed comes from PostgreSQL:
    an answer that began and ended unseen, another that is still being written, a new title."""
    screen = await watch(online, play.conversation_id)
    first = play.ask(1)
    await play.tell_all()
    await play.forget()
    play.start(first)
    play.say(first, 1, "seen ", "by nobody")
    play.end(first, 1)
    second = play.ask(2)
    play.start(second)
    play.happen(events.ConversationUpdated(user_id=play.user_id, title="While you were away"))
    await play.store()
    await caught(online, "question 2")
    await play.tell(play.happen(play.words(9)))
    await caught(online, "words 9")
    await play.speak(second, 1, "on ")
    await play.speak(second, 1, "air")
    await play.tell(play.end(second, 1))
    await online.finished(second)

    assert (screen.runs[first].text, screen.runs[second].text) == ("seen by nobody", "on air")
    assert said(screen) == ["question 1", "seen by nobody", "question 2", "words 9", "on air"]
    updated = [f for f in online.pushes if f["type"] == "conversation.updated"]
    assert updated[-1]["conversation"]["title"] == "While you were away"


async def test_the_connection_to_redis_is_cut(online: Socket, play: Play, stage: Stage) -> None:
    """The gateway watches again by itself, and brings everybody up to date at once."""
    screen = await watch(online, play.conversation_id)
    run_id = play.ask(1)
    play.start(run_id)
    await play.tell_all()
    await play.speak(run_id, 1, "before ")
    await stage.redis.client_kill_filter(_type="pubsub")
    await play.tell(play.happen(play.words(1)), aloud=False)
    await play.speak(run_id, 1, "during ", aloud=False)
    await caught(online, "words 1")
    await online.until(lambda f: f["type"] == "run.delta" and f["seq"] == 2)
    await play.speak(run_id, 1, "after")
    await online.until(lambda f: f["type"] == "run.delta" and f["seq"] == 3)

    assert screen.runs[run_id].text == "before during after"


async def test_another_epoch_while_watching(online: Socket, play: Play, stage: Stage) -> None:
    """Where the log was made anew, those who watch are closed with 4010 and start anew."""
    await watch(online, play.conversation_id)
    play.epoch = "ffffffff"
    play.happen(play.words(1))
    await play.tell_all()

    assert await asyncio.wait_for(asyncio.shield(online.closed), 20) == 4010


# -- lists and refusals --


async def test_lists_are_told_to_every_member(url: str, stage: Stage, ada: Someone) -> None:
    """Created, renamed, deleted: each told once to every socket of a member, whether it follows or not; strangers
    hear nothing."""
    bob, stranger = await stage.person(role="viewer", of=ada), await stage.person()
    async with socket(url, bob.token) as idle, socket(url, ada.token) as following, socket(url, stranger.token) as far:
        play = await stage.play(ada)
        await idle.until(lambda f: f["type"] == "conversation.created")
        screen = await watch(following, play.conversation_id)
        await play.tell(play.happen(events.ConversationUpdated(user_id=ada.user_id, title="Renamed")))
        await play.tell(play.happen(events.ConversationDeleted(user_id=ada.user_id)))
        for online in (idle, following):
            await online.until(lambda f: f["type"] == "conversation.deleted")
        seen = {
            online: [f["type"] for f in online.pushes if f["type"].startswith("conversation")]
            for online in (idle, following)
        }

        assert seen[idle] == ["conversation.created", "conversation.updated", "conversation.deleted"]
        assert seen[following][-2:] == ["conversation.updated", "conversation.deleted"]
        assert seen[following].count("conversation.updated") == 1
        assert screen.position() == 3
        assert far.pushes == []


async def test_a_refusal_reaches_all_sockets_of_its_sender(url: str, stage: Stage, ada: Someone, play: Play) -> None:
    """Whether they follow the conversation or not, once each; and nobody else's."""
    bob = await stage.person(role="member", of=ada)
    async with socket(url, ada.token) as one, socket(url, ada.token) as two, socket(url, bob.token) as other:
        await watch(one, play.conversation_id)
        await watch(other, play.conversation_id)
        refused = events.MessageRejected(
            message_id=str(uuid4()), client_message_id=str(uuid4()), user_id=ada.user_id, code="conversation_archived"
        )
        await play.tell(play.happen(refused))
        await play.tell(play.happen(play.words(1)))
        for online in (one, two):
            push = await online.until(lambda f: f["type"] == "message.rejected")
            assert (push["code"], push["message_id"]) == ("conversation_archived", refused.message_id)
        await caught(one, "words 1")
        await caught(other, "words 1")

        assert [f["type"] for f in one.pushes].count("message.rejected") == 1
        assert [f["type"] for f in two.pushes].count("message.rejected") == 1
        assert "message.rejected" not in [f["type"] for f in other.pushes]


async def test_unsubscribed(online: Socket, play: Play) -> None:
    """After unsubscribing nothing of the conversation comes; subscribing again goes on."""
    await watch(online, play.conversation_id)
    await online.command("unsubscribe", conversation_id=play.conversation_id)
    await play.tell(play.happen(play.words(1)))
    reply = await online.command("subscribe", conversation_id=play.conversation_id, cursor=f"{play.epoch}:1")
    await play.tell(play.happen(play.words(2)))
    await caught(online, "words 2")

    assert [m["content"] for m in reply["messages"]] == ["words 1"]
    assert [f["message"]["content"] for f in online.pushes if f["type"] == "message.created"] == ["words 2"]


# -- slow readers --


async def _flood(play: Play, run_id: str, blocks: int) -> None:
    redis: Redis = connect(RedisSettings(play.stage.stack.redis_url))
    for _ in range(blocks):
        told = play.say(run_id, 1, "x" * 16_384)
        message = {"kind": "delta", "run_id": run_id, "attempt": 1, "from_seq": told.seq, "seq": told.seq}
        await redis.publish(f"conversation:{play.conversation_id}", json.dumps(message | {"text": told.text}))
    await redis.aclose()


async def _stalled(url: str, someone: Someone, play: Play) -> tuple[Any, Raw]:
    """A connection that follows, and then reads nothing more."""
    context = raw(url, someone.token, max_queue=1)
    stalled = await context.__aenter__()
    assert (await stalled.ask("subscribe", conversation_id=play.conversation_id))["ok"]
    stalled.connection.transport.pause_reading()
    return context, stalled


async def test_a_reader_that_falls_behind_gets_it_gathered(
    stack: Stack, stage: Stage, ada: Someone, play: Play
) -> None:
    """Deltas wait for a slow reader and come gathered, far fewer frames for the same text; others get each at once."""
    url = await asyncio.to_thread(_gateway, stack)
    run_id = play.ask(1)
    play.start(run_id)
    await play.tell_all()
    context, stalled = await _stalled(url, ada, play)
    async with socket(url, ada.token) as quick:
        screen = await watch(quick, play.conversation_id)
        await _flood(play, run_id, 150)
        await quick.until(lambda f: f["type"] == "run.delta" and f["seq"] == 150)
        assert len(screen.runs[run_id].text) == 150 * 16_384
    stalled.connection.transport.resume_reading()
    frames, text = 0, ""
    while len(text) < 150 * 16_384:
        push = await stalled.hear()
        assert push["type"] == "run.delta"
        frames, text = frames + 1, text + push["text"]
    await context.__aexit__(None, None, None)

    assert text == "".join(play.deltas[run_id, 1])
    assert frames < 150


async def test_a_reader_that_does_not_read_is_closed(stack: Stack, stage: Stage, ada: Someone, play: Play) -> None:
    """What cannot be gathered piles up to a bound; then the reader is closed with 4008, and others do not notice."""
    url = await asyncio.to_thread(_gateway, stack)
    context, stalled = await _stalled(url, ada, play)
    async with socket(url, ada.token) as quick:
        screen = await watch(quick, play.conversation_id)
        for number in range(400):
            await play.tell(play.happen(play.words(number, f"{number} " + "y" * 16_000)))
        await caught(quick, "399 " + "y" * 16_000)
        assert len(screen.messages) == 400
    stalled.connection.transport.resume_reading()

    assert await stalled.closed() == 4008
    await context.__aexit__(None, None, None)


async def test_many_join_while_it_is_told(url: str, other_url: str, ada: Someone, play: Play) -> None:
    """Twenty clients come and go on two gateways while records and deltas flow: each sees everything once."""
    run_id = play.ask(1)
    play.start(run_id)
    await play.tell_all()
    done = asyncio.Event()

    async def come_and_go(number: int) -> Screen:
        screen = Screen(play.conversation_id)
        while not done.is_set():
            async with socket((url, other_url)[number % 2], ada.token) as online:
                await watch(online, play.conversation_id, screen)
                await asyncio.sleep(0.05 * (number % 5))
        async with socket(url, ada.token) as online:
            await watch(online, play.conversation_id, screen)
            if screen.runs[run_id].status == "in_progress":
                await online.finished(run_id)
        return screen

    async def flow() -> None:
        for number in range(60):
            await play.tell(play.happen(play.words(number)))
            await play.speak(run_id, 1, f"{number} ", "and ")
            await asyncio.sleep(0.02)
        await play.tell(play.end(run_id, 1))
        await play.store()
        done.set()

    *screens, _ = await asyncio.gather(*(come_and_go(n) for n in range(20)), flow())
    for screen in screens:
        assert screen is not None
        assert [c for c in said(screen) if c.startswith("words")] == [f"words {n}" for n in range(60)]
        assert screen.runs[run_id].text == "".join(play.deltas[run_id, 1])


async def test_a_frame_for_many_is_the_same(url: str, ada: Someone, play: Play) -> None:
    """Everybody who follows is told the very same bytes."""
    async with AsyncExitStack() as open:
        online = [await open.enter_async_context(raw(url, ada.token)) for _ in range(10)]
        for one in online:
            await one.ask("subscribe", conversation_id=play.conversation_id)
        await play.tell(play.happen(play.words(1)))
        heard = {await one.connection.recv() for one in online}

    assert len(heard) == 1

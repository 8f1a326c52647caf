"""From a frame in to a frame out: a person asks, the agent's answer streams, and everything is kept."""

import asyncio
from uuid import uuid4

import pytest

from tests.client import Person, Refusal, Screen, Socket, socket, watch

ANSWER_SLOWLY = "/tokens 60 /delay 30"


async def test_an_answer_streams_and_is_kept(person: Person, online: Socket) -> None:
    """What streamed is what is stored: question and answer, in order, once, the same for screen and REST."""
    conversation = await person.conversation(title="First")
    screen = await watch(online, conversation)

    sent = await online.send(conversation, "/tokens 12 tell me something")
    finished = await online.finished(sent["run_id"])

    assert (finished["status"], finished["finish_reason"]) == ("completed", "stop")
    assert finished["usage"]["output_tokens"] > 0
    kept = await person.messages(conversation)
    assert [m["role"] for m in kept] == ["user", "assistant"]
    assert kept[1]["content"] == screen.runs[sent["run_id"]].text != ""
    assert [m["id"] for m in kept] == list(screen.messages)


async def test_two_people_in_step(person: Person, ws_url: str) -> None:
    """Two windows show the same frames in the same order."""
    conversation = await person.conversation()
    async with socket(ws_url, person.access_token) as one, socket(ws_url, person.access_token) as other:
        first, second = await watch(one, conversation), await watch(other, conversation)
        runs = [(await one.send(conversation, f"/tokens 10 question {n}"))["run_id"] for n in range(3)]
        for run_id in runs:
            await one.finished(run_id)
            await other.finished(run_id)

        assert first.messages == second.messages
        assert [m["role"] for m in first.messages.values()].count("assistant") == 3


async def test_the_same_client_message_id_again(person: Person, online: Socket) -> None:
    """A repeated send gives the same reply and no other effect; with other words it is refused."""
    conversation = await person.conversation()
    await watch(online, conversation)
    mine = str(uuid4())
    first = await online.send(conversation, "/tokens 5", client_message_id=mine)
    await online.finished(first["run_id"])

    again = await online.send(conversation, "/tokens 5", client_message_id=mine)

    assert (again["message_id"], again["run_id"]) == (first["message_id"], first["run_id"])
    with pytest.raises(Refusal) as refused:
        await online.send(conversation, "something else", client_message_id=mine)
    assert refused.value.code == "idempotency_mismatch"
    assert len(await person.messages(conversation)) == 2


async def test_stop(person: Person, online: Socket) -> None:
    """Stop ends the answer at once; what was shown is what is kept, and stopping again answers the same."""
    conversation = await person.conversation()
    screen = await watch(online, conversation)
    sent = await online.send(conversation, "/tokens 2000 /delay 20")
    await online.until(lambda f: f["type"] == "run.delta" and f["seq"] >= 3)

    first = await online.command("run.cancel", conversation_id=conversation, run_id=sent["run_id"])
    finished = await online.finished(sent["run_id"], 5)

    assert finished["status"] == "cancelled"
    kept = await person.messages(conversation)
    assert kept[-1]["content"] == screen.runs[sent["run_id"]].text
    assert kept[-1]["finish_reason"] == "cancelled"
    again = await online.command("run.cancel", conversation_id=conversation, run_id=sent["run_id"])
    assert again["status"] == first["status"]


async def test_stop_by_the_clients_own_id(person: Person, online: Socket) -> None:
    """A message can be stopped by the id that its sender gave it, even before it was sent."""
    conversation = await person.conversation()
    await watch(online, conversation)
    mine = str(uuid4())

    await online.command("run.cancel", conversation_id=conversation, client_message_id=mine)
    await online.send(conversation, ANSWER_SLOWLY, client_message_id=mine)
    await online.until(lambda f: f["type"] == "message.created")
    after = await online.send(conversation, "/tokens 3")
    await online.finished(after["run_id"])

    assert [m["role"] for m in await person.messages(conversation)] == ["user", "user", "assistant"]


async def test_too_late_to_stop(person: Person, online: Socket) -> None:
    """An answer that has ended cannot be stopped."""
    conversation = await person.conversation()
    await watch(online, conversation)
    sent = await online.send(conversation, "/tokens 3")
    await online.finished(sent["run_id"])

    with pytest.raises(Refusal) as refused:
        await online.command("run.cancel", conversation_id=conversation, run_id=sent["run_id"])
    assert refused.value.code == "run_ended"


@pytest.mark.parametrize("reload_at", [1, 5, 20])
async def test_reload_in_mid_answer(person: Person, ws_url: str, reload_at: int) -> None:
    """A page that is loaded anew in mid-answer shows the text so far, then the rest, without a hole or a repeat."""
    conversation = await person.conversation()
    async with socket(ws_url, person.access_token) as before:
        await watch(before, conversation)
        sent = await before.send(conversation, ANSWER_SLOWLY)
        await before.until(lambda f: f["type"] == "run.delta" and f["seq"] >= reload_at)

    async with socket(ws_url, person.access_token) as after:
        screen = await watch(after, conversation)
        await after.finished(sent["run_id"])

        kept = await person.messages(conversation)
        assert screen.runs[sent["run_id"]].text == kept[-1]["content"]


async def test_resume_where_it_was_cut(person: Person, ws_url: str) -> None:
    """A client that says how far it got gets what it missed, in order, nothing twice, again and again."""
    conversation = await person.conversation()
    async with socket(ws_url, person.access_token) as first:
        screen = await watch(first, conversation)
        sent = await first.send(conversation, "/tokens 150 /delay 20")
        await first.until(lambda f: f["type"] == "run.delta")
    for _ in range(6):
        async with socket(ws_url, person.access_token) as again:
            reply = await again.command("subscribe", **screen.cursors())
            assert reply["recovered"]
            screen.subscribed(reply)
            again.watch(screen.push)
            for frame in again.pushes:
                screen.push(frame)
            await again.until(lambda f: f["type"] in ("run.delta", "run.finished"))
    async with socket(ws_url, person.access_token) as last:
        screen = await watch(last, conversation, screen)
        if screen.runs[sent["run_id"]].status == "in_progress":
            await last.finished(sent["run_id"])

        assert screen.runs[sent["run_id"]].text == (await person.messages(conversation))[-1]["content"]


async def test_questions_wait_their_turn(person: Person, online: Socket) -> None:
    """While an answer is being written the next questions wait, and are answered in their order."""
    conversation = await person.conversation()
    await watch(online, conversation)
    runs = [(await online.send(conversation, f"/tokens 8 /delay 10 number {n}"))["run_id"] for n in range(4)]
    for run_id in runs:
        await online.finished(run_id)

    ended = [f["run_id"] for f in online.pushes if f["type"] == "run.finished"]
    assert ended == runs
    for at, frame in enumerate(online.pushes):
        if frame["type"] == "run.started" and frame["run_id"] != runs[0]:
            before = runs[runs.index(frame["run_id"]) - 1]
            assert any(f["type"] == "run.finished" and f["run_id"] == before for f in online.pushes[:at])


async def test_reject_while_busy(person: Person, online: Socket) -> None:
    """`reject` refuses while an answer is being written, stores nothing, and is final for that id."""
    conversation = await person.conversation()
    await watch(online, conversation)
    busy = await online.send(conversation, "/tokens 300 /delay 20")
    await online.until(lambda f: f["type"] == "run.started")
    mine = str(uuid4())

    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            await online.send(conversation, "me too", client_message_id=mine, when_busy="reject")
        assert refused.value.code == "conversation_busy"
    await online.command("run.cancel", conversation_id=conversation, run_id=busy["run_id"])
    await online.finished(busy["run_id"])

    assert "me too" not in [m["content"] for m in await person.messages(conversation)]


@pytest.mark.parametrize(("when_busy", "kept"), [("interrupt", True), ("rollback", False)])
async def test_cutting_in(person: Person, online: Socket, when_busy: str, kept: bool) -> None:
    """`interrupt` stops the running answer and keeps its text, `rollback` keeps it nowhere; both are answered next."""
    conversation = await person.conversation()
    await watch(online, conversation)
    cut = await online.send(conversation, "/tokens 2000 /delay 20")
    await online.until(lambda f: f["type"] == "run.delta" and f["seq"] >= 2)
    waiting = await online.send(conversation, "/tokens 3 waiting")

    urgent = await online.send(conversation, "/tokens 3 urgent", when_busy=when_busy)
    await online.finished(waiting["run_id"])

    ended = [f["run_id"] for f in online.pushes if f["type"] == "run.finished"]
    assert ended == [cut["run_id"], urgent["run_id"], waiting["run_id"]]
    answers = [m["run_id"] for m in await person.messages(conversation) if m["role"] == "assistant"]
    assert (cut["run_id"] in answers) is kept


async def test_regenerate(person: Person, online: Socket) -> None:
    """Another answer to the same question is a sibling of the first, once for each request id."""
    conversation = await person.conversation()
    await watch(online, conversation)
    sent = await online.send(conversation, "/tokens 4")
    await online.finished(sent["run_id"])
    request = {"message_id": sent["message_id"], "client_request_id": str(uuid4())}

    again = await online.command("message.regenerate", conversation_id=conversation, **request)
    await online.finished(again["run_id"])
    repeated = await online.command("message.regenerate", conversation_id=conversation, **request)

    assert repeated["run_id"] == again["run_id"] != sent["run_id"]
    kept = await person.messages(conversation)
    assert [m["parent_message_id"] for m in kept[1:]] == [sent["message_id"]] * 2


async def test_the_agent_fails(person: Person, online: Socket) -> None:
    """A failing agent ends the run as failed, says so in a sentence, and what it had said is kept."""
    conversation = await person.conversation()
    screen = await watch(online, conversation)
    sent = await online.send(conversation, "/tokens 40 /fail-after 5")
    finished = await online.finished(sent["run_id"])

    assert (finished["status"], finished["finish_reason"]) == ("failed", "error")
    assert finished["error"]["code"] == "agent_unavailable"
    assert finished["error"]["message"].endswith(".")
    kept = await person.messages(conversation)
    assert kept[-1]["content"] == screen.runs[sent["run_id"]].text != ""
    fine = await online.send(conversation, "/tokens 3")
    assert (await online.finished(fine["run_id"]))["status"] == "completed"


async def test_a_conversations_life(person: Person, online: Socket) -> None:
    """Create, rename, archive, restore and delete are seen by every window; archived and deleted ones refuse."""
    conversation = str(uuid4())
    await online.command("conversation.create", conversation_id=conversation, project_id=person.project_id, title="A")
    await watch(online, conversation)
    await online.until(lambda f: f["type"] == "conversation.created" and f["conversation"]["id"] == conversation)
    await online.command("conversation.update", conversation_id=conversation, title="B")
    renamed = await online.until(lambda f: f["type"] == "conversation.updated")
    assert renamed["conversation"]["title"] == "B"

    await online.command("conversation.update", conversation_id=conversation, archived=True)
    with pytest.raises(Refusal) as refused:
        await online.send(conversation, "hello?")
    assert refused.value.code == "conversation_archived"
    await online.command("conversation.update", conversation_id=conversation, archived=False)
    sent = await online.send(conversation, "/tokens 3")
    await online.finished(sent["run_id"])

    await online.command("conversation.delete", conversation_id=conversation)
    await online.until(lambda f: f["type"] == "conversation.deleted")
    listed = (await person.call("GET", f"/v1/projects/{person.project_id}/conversations"))["data"]
    assert conversation not in [c["id"] for c in listed]
    with pytest.raises(Refusal) as gone:
        await person.call("GET", f"/v1/conversations/{conversation}")
    assert gone.value.status == 404


async def test_people_without_an_agent(person: Person, online: Socket) -> None:
    """Where no agent answers there is no run."""
    conversation = await person.conversation(agent_id=None)
    screen = await watch(online, conversation)
    sent = await online.send(conversation, "just us")
    await online.until(lambda f: f["type"] == "message.created")

    assert sent["run_id"] is None
    assert [m["content"] for m in screen.messages.values()] == ["just us"]


async def test_many_talk_at_once(person: Person, online: Socket) -> None:
    """Forty conversations with three questions each: every question has one answer, in order, on every screen."""
    conversations = await asyncio.gather(*(person.conversation() for _ in range(40)))
    screens: dict[str, Screen] = {c: await watch(online, c) for c in conversations}

    async def talk(conversation: str) -> None:
        runs = [(await online.send(conversation, f"/tokens 10 /delay 10 {n}"))["run_id"] for n in range(3)]
        for run_id in runs:
            assert (await online.finished(run_id))["status"] == "completed"

    await asyncio.gather(*(talk(c) for c in conversations))

    for conversation, screen in screens.items():
        kept = await person.messages(conversation)
        assert len(kept) == 6
        assert {m["id"] for m in kept} == set(screen.messages)

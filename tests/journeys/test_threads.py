"""Versions of a message, a name by itself, and the way back from the bin, as every window sees them."""

from uuid import uuid4

import pytest

from tests.client import Person, Refusal, Socket, watch


async def test_versions_on_every_screen(person: Person, online: Socket) -> None:
    """A question said differently and an answer made anew stand beside the first; the newest path is what a screen
    shows, what REST reads, and what the agent was shown."""
    conversation = await person.conversation()
    screen = await watch(online, conversation)
    first = await online.send(conversation, "What do rivers do? /say They flow.")
    await online.finished(first["run_id"])
    titled = await online.until(lambda f: f["type"] == "conversation.updated")
    assert titled["conversation"]["title"] == "What do rivers do?"
    second = await online.send(conversation, "And lakes? /say They stay.")
    await online.finished(second["run_id"])

    client_id = str(uuid4())
    edit = {"client_message_id": client_id, "content": "/context", "edits": second["message_id"].upper()}
    edited = await online.command("message.send", conversation_id=conversation, **edit)
    again = await online.command("message.send", conversation_id=conversation, **edit)
    assert (again["message_id"], again["run_id"]) == (edited["message_id"], edited["run_id"])
    await online.finished(edited["run_id"])

    assert [m["id"] for m in screen.siblings(second["message_id"])] == [second["message_id"], edited["message_id"]]
    path = screen.path()
    assert [m["id"] for m in path][::2] == [first["message_id"], edited["message_id"]]
    assert path[1]["content"].split() == ["They", "flow."]
    assert "lakes" not in path[3]["content"], "the agent is shown the path, and not what was said before"
    assert "rivers" in path[3]["content"]

    other = await online.command(
        "message.regenerate",
        conversation_id=conversation,
        message_id=path[1]["id"],
        client_request_id=str(uuid4()),
    )
    await online.finished(other["run_id"])
    assert len(screen.siblings(path[1]["id"])) == 2
    assert [m["id"] for m in await person.messages(conversation)] == list(screen.messages)

    for what, code in ((path[1]["id"], "invalid"), (str(uuid4()), "not_found")):
        with pytest.raises(Refusal) as refused:
            await online.send(conversation, "anew", edits=what)
        assert refused.value.code == code
    assert len(screen.messages) == 7


async def test_back_from_the_bin(person: Person, online: Socket) -> None:
    """What was deleted is there again, for every window, with all that was said."""
    conversation = await person.conversation(agent_id=None, title="Kept")
    await online.send(conversation, "a word", when_busy="reject")
    await online.command("conversation.delete", conversation_id=conversation)
    deleted = await online.until(
        lambda f: f["type"] == "conversation.deleted" and f["conversation"]["id"] == conversation
    )
    assert deleted["conversation"]["deleted_at"] is not None
    with pytest.raises(Refusal):
        await online.command("subscribe", conversation_id=conversation)

    await online.command("conversation.restore", conversation_id=conversation)
    await online.until(
        lambda f: (
            f["type"] == "conversation.updated"
            and f["conversation"]["id"] == conversation
            and not f["conversation"]["deleted"]
        )
    )
    screen = await watch(online, conversation)
    assert [m["content"] for m in screen.messages.values()] == ["a word"]
    with pytest.raises(Refusal) as unknown:
        await online.command("conversation.restore", conversation_id=str(uuid4()))
    assert unknown.value.code == "not_found"

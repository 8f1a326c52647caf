"""`chorus tail`: records decoded, texts sealed unless they are asked for, and a conversation as it happened."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from msgspec.structs import replace

from schemas import events
from schemas.account_events import AgentChanged, Member, ProjectChanged
from schemas.conversation import apply
from schemas.sealing import DataKey
from schemas.topics import CONVERSATION_EVENTS
from tests.operator.conftest import Operator
from tests.projections.talk import Talk
from tests.running import CHORUS, ROOT
from tests.streams.conftest import MakeTopic

TOPIC = CONVERSATION_EVENTS.topic


@pytest.fixture
def talk(key: DataKey) -> Talk:
    return Talk(random.Random(7), key)


async def test_a_conversation_is_seen_as_it_happened(operator: Operator, talk: Talk) -> None:
    """Fact by fact with the state after each, which is the fold of the facts; what is odd is said; texts stay
    sealed."""
    records = talk.go_on(25)
    await operator.publish(*records[:10], records[4], *records[12:])
    lines = await operator.lines("tail", TOPIC, "--key", talk.conversation_id)
    assert [line["event"]["position"] for line in lines] == [*range(1, 11), 5, *range(13, 26)]
    view = None
    for line, record in zip(lines[:10], records, strict=False):
        view = apply(view, record)
        assert line["state"]["position"] == record.position
        assert list(line["state"]["runs"]) == list(view.runs)
        assert line["odd"] is None
    assert "been there before" in lines[10]["odd"]
    assert "positions 11 to 12 are missing" in lines[11]["odd"]
    assert {line["key"] for line in lines} == {talk.conversation_id}
    assert lines[0]["event"]["facts"][0]["fact"] == "conversation.created"

    shown = await operator.run("tail", TOPIC, "--key", talk.conversation_id, "--from", "-3")
    assert shown.stdout.count("caused by") == 3
    assert "position 25 ·" in shown.stdout
    assert not any(text in shown.stdout for text in talk.said.values())


async def test_texts_are_opened_when_asked_for(
    operator: Operator, talk: Talk, pool: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    """With whose keys is said; nothing in them is obeyed by a terminal; a destroyed key makes them deleted."""
    await operator.publish(talk.created("Title"), talk.record(talk.posted("red \x1b[31m\nnext \u202e")))
    sealed = await operator.run("tail", TOPIC, "--key", talk.conversation_id)
    assert "<sealed, " in sealed.stdout
    opened = await operator.run("tail", TOPIC, "--key", talk.conversation_id, "--open")
    assert r'"red \x1b[31m\nnext \u202e"' in opened.stdout
    assert 'title "Title"' in opened.stdout
    assert talk.user_id in opened.stderr
    assert all(character.isprintable() or character == "\n" for character in opened.stdout)
    line = (await operator.lines("tail", TOPIC, "--key", talk.conversation_id, "--open"))[1]
    assert (line["event"]["facts"][0]["content"], line["deleted"]) == ("red \x1b[31m\nnext \u202e", [])
    complete = (await operator.lines("tail", TOPIC, "--key", talk.conversation_id))[1]
    message = complete["event"]["facts"][0]
    assert talk.key.unseal(message["message_id"], message["content"]).startswith("red")

    await pool.execute("UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE user_id = $1", talk.user_id)
    gone = await operator.run("tail", TOPIC, "--key", talk.conversation_id, "--open")
    assert "<deleted>" in gone.stdout
    assert "deleted" in gone.stderr
    line = (await operator.lines("tail", TOPIC, "--key", talk.conversation_id, "--open"))[1]
    assert line["deleted"] == [message["message_id"]]


async def test_where_it_begins_and_ends(operator: Operator, talk: Talk) -> None:
    """earliest, a time, the last so many, a limit; and records of a whole topic come by their times."""
    before = datetime.now(UTC)
    await operator.publish(*talk.go_on(5))
    only = ("--key", talk.conversation_id)

    async def positions(*arguments: str) -> list[int]:
        return [line["event"]["position"] for line in await operator.lines("tail", TOPIC, *only, *arguments)]

    assert await positions("--from", "earliest") == [1, 2, 3, 4, 5]
    assert await positions("--from", before.isoformat()) == [1, 2, 3, 4, 5]
    assert await positions("--from", (before + timedelta(hours=1)).isoformat()) == []
    assert await positions("--from", "latest", "--no-follow") == []
    assert await positions("--from", "-2") == [4, 5]
    assert await positions("--from", "1h", "--limit", "2") == [1, 2]

    times = [line["at"] for line in await operator.lines("tail", TOPIC, "--from", "-30")]
    assert times == sorted(times)
    assert len(await operator.lines("tail", TOPIC)) <= 10


async def test_it_follows(operator: Operator, talk: Talk) -> None:
    """From the latest it waits for what comes, until it is interrupted or has shown enough."""
    await operator.publish(talk.next())
    process = await asyncio.create_subprocess_exec(
        *CHORUS, "tail", TOPIC, "--from", "latest", "--key", talk.conversation_id, "--limit", "1",
        cwd=ROOT, env=operator.stack.env, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        said = asyncio.ensure_future(process.stdout.readline())
        while not said.done():
            await operator.publish(talk.next())
            await asyncio.wait({said}, timeout=0.2)
        assert b"position" in said.result()
        assert await process.wait() == 0


async def test_what_no_contract_explains_is_shown_without_harm(operator: Operator, make_topic: MakeTopic) -> None:
    """Poison is shown with why, escaped, and in JSON with all its bytes; other records go on."""
    await operator.send("conversation-commands", b"\x1b]0;evil\x07 \xff", b"\xfe\x1b")
    shown = await operator.run("tail", "conversation-commands", "--from", "1m")
    assert r"\x1b]0;evil\x07 \xff" in shown.stdout
    assert all(character.isprintable() or character == "\n" for character in shown.stdout)
    lines = await operator.lines("tail", "conversation-commands", "--from", "1m")
    assert {"base64": "G10wO2V2aWwHIP8="} in [line.get("value") for line in lines]

    other = make_topic(2)
    await operator.send(other, b"words")
    assert "no contract explains this topic: words" in (await operator.run("tail", other)).stdout


async def test_what_cannot_be_done_is_said(operator: Operator) -> None:
    """An unknown topic lists the known ones; a bad time the forms; no master key, what to set."""
    assert TOPIC in await operator.refused("tail", "conversations")
    assert "RFC 3339" in await operator.refused("tail", TOPIC, "--from", "soonish")
    assert "CHORUS_MASTER_KEY" in await operator.refused("tail", TOPIC, "--open", CHORUS_MASTER_KEY="")


def test_facts_of_a_later_version_are_shown_by_name() -> None:
    """What this version does not know is neither hidden nor an error."""
    from infra.operator import lines

    unknown = events.UnknownFact(fact="message.pinned", raw=b'{"fact":"message.pinned"}')
    record = replace(Talk(random.Random(1), DataKey.of("a" * 36, bytes(32))).created(None), facts=[unknown])
    assert "message.pinned of a later version" in lines.said(record)


def test_accounts_say_who_is_in_them() -> None:
    """A project's line names its members and their roles, or that it was deleted; an agent's what it is."""
    from infra.operator import lines

    project = ProjectChanged(
        project_id="p" * 36,
        revision=3,
        members=[Member(user_id="u" * 36, role="owner"), Member(user_id="v" * 36, role="viewer")],
    )
    assert lines.said(project) == "3: uuuuuuuu owner, vvvvvvvv viewer"
    assert lines.said(replace(project, members=[], deleted_at=datetime.now(UTC))) == "3: deleted"
    agent = AgentChanged(agent_id="a" * 36, project_id="p" * 36, revision=2, version=2, kind="openai")
    assert lines.said(agent) == "2: openai, version 2, of project pppppppp"
    assert lines.said(replace(agent, deleted=True)) == "2: deleted"

"""Links that anybody can read by, and that lead nowhere once they are taken back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.running import Stack
from tests.stack.rest_api import Api, Someone, Written, opened, start_api


@dataclass
class Thread:
    """A conversation of Ada's: two questions, of which the second was said differently, each with its answer."""

    owner: Someone
    id: str
    project_id: str
    agent: str
    messages: Mapping[str, str]
    written: Written

    @property
    def shares(self) -> str:
        return f"/v1/conversations/{self.id}/shares"

    async def share(self) -> Any:
        made = await self.owner.call("POST", self.shares)
        assert made.status == 201, made
        return made.json

    async def say(self, name: str, position: int, parent: str | None, **more: Any) -> str:
        return await self.written.message(
            self.id, self.owner.id, position, content=f"{name}!", parent_message_id=parent, **more
        )

    async def reach(self, position: int, **changes: Any) -> None:
        """The conversation is there by now."""
        given = {"position": position, **changes}
        sets = ", ".join(f"{name} = ${n}" for n, name in enumerate(given, 2))
        await self.written.database.execute(f"UPDATE conversations SET {sets} WHERE id = $1", self.id, *given.values())


@pytest.fixture
async def thread(api: Api, written: Written) -> Thread:
    ada = await api.sign_up(display_name="Ada Lovelace")
    project_id = await ada.project_id()
    agent = (await ada.call("GET", f"/v1/projects/{project_id}/agents")).json["data"][0]
    conversation_id = await written.conversation(project_id, ada.id, position=7, title="Engines")
    made = Thread(ada, conversation_id, project_id, agent["name"], {}, written)
    ids: dict[str, str] = {}
    answer = {"role": "assistant", "author_id": None, "agent_id": agent["id"]}
    for position, (name, parent, more) in enumerate(
        (
            ("q1", None, {}),
            ("a1", "q1", answer),
            ("q2 with a secret", "q1", {}),
            ("a2", "q2 with a secret", answer),
            ("q2", "q1", {}),
            ("a2 anew", "q2", answer),
        ),
        2,
    ):
        ids[name] = await made.say(name, position, parent and ids[parent], **more)
    made.messages = ids
    return made


async def read(api: Api, token: str, **params: Any) -> Any:
    answer = await api.call("GET", f"/v1/shared/{token}", **params)
    assert answer.status == 200, answer
    return answer.json


async def test_whoever_has_the_link_reads(api: Api, thread: Thread, database: Any) -> None:
    """The newest path with names, and nothing else: no e-mail, no id, no version that was corrected; robots are told to
    keep away, and the token stands nowhere as it is."""
    made = await thread.share()
    assert made["url"] == f"/shared/{made['token']}"
    assert len(made["token"]) >= 43
    assert made["created_by"] == thread.owner.id

    answer = await api.call("GET", f"/v1/shared/{made['token']}")
    assert answer.headers["X-Robots-Tag"].startswith("noindex")
    assert answer.headers["Cache-Control"] == "no-store"
    shown = answer.json
    assert (shown["title"], shown["shared_at"], shown["next_cursor"]) == ("Engines", made["created_at"], None)
    assert [(m["role"], m["author"], m["content"]) for m in shown["messages"]] == [
        ("user", "Ada Lovelace", "q1!"),
        ("assistant", thread.agent, "a1!"),
        ("user", "Ada Lovelace", "q2!"),
        ("assistant", thread.agent, "a2 anew!"),
    ]
    secrets = [thread.owner.email, thread.owner.id, thread.id, thread.project_id, *thread.messages.values(), "secret"]
    assert not [secret for secret in secrets if secret in answer.text]

    page = await api.call("GET", made["url"])
    assert (page.status, page.headers["X-Robots-Tag"]) == (200, answer.headers["X-Robots-Tag"])

    stored = str(await database.fetch("SELECT s::text FROM shares s WHERE id = $1", made["id"]))
    assert made["token"] not in stored
    listed = await thread.owner.call("GET", thread.shares)
    assert [one["id"] for one in listed.json["data"]] == [made["id"]]
    assert made["token"] not in listed.text
    assert made["token"] not in api.running.output.read_text(), "no link in a log"


async def test_what_is_said_later_is_not_shared(api: Api, thread: Thread) -> None:
    """Neither a message, nor another version of one, nor a title; what is deleted later is deleted there as well."""
    token = (await thread.share())["token"]
    before = await read(api, token)
    await thread.say("q3", 8, thread.messages["q2"])
    await thread.say("q1 anew", 9, None)
    await thread.reach(9)
    assert await read(api, token) == before

    await thread.reach(10, title="What it is really about")
    assert await read(api, token) == before | {"title": None}
    later = (await thread.share())["token"]
    assert [m["content"] for m in (await read(api, later))["messages"]] == ["q1 anew!"]

    await thread.written.database.execute(
        "UPDATE messages SET content = '', content_deleted = true WHERE id = $1", thread.messages["q1"]
    )
    first = (await read(api, token))["messages"][0]
    assert (first["content"], first["deleted"]) == ("", True)
    await thread.written.database.execute(
        "UPDATE messages SET author_id = $2 WHERE id = $1", thread.messages["q2"], str(uuid4())
    )
    assert (await read(api, token))["messages"][2]["author"] == "deleted"


async def test_a_long_thread_comes_in_pages(api: Api, thread: Thread) -> None:
    """Each message once, in its order."""
    token = (await thread.share())["token"]
    whole = (await read(api, token))["messages"]
    pages, cursor = [], None
    while cursor is not None or not pages:
        page = await read(api, token, limit=3, **({} if cursor is None else {"cursor": cursor}))
        pages.append(page["messages"])
        cursor = page["next_cursor"]
    assert [len(page) for page in pages] == [3, 1]
    assert [message for page in pages for message in page] == whole
    for odd in ("-1", "x", "²"):
        assert (await api.call("GET", f"/v1/shared/{token}", cursor=odd)).code == "invalid"


async def test_taken_back_it_was_never_there(api: Api, thread: Thread, database: Any) -> None:
    """A link that was revoked, one of a deleted conversation and one that nobody made answer alike, to the byte."""
    kept, revoked = await thread.share(), await thread.share()
    path = f"{thread.shares}/{revoked['id']}"
    for _ in range(2):
        assert (await thread.owner.call("DELETE", path)).status == 204
    never = await api.call("GET", f"/v1/shared/{uuid4()}")
    assert (never.status, never.code) == (404, "not_found")

    async def leads_nowhere(token: str) -> None:
        answer = await api.call("GET", f"/v1/shared/{token}")
        assert (answer.status, answer.text) == (never.status, never.text)
        assert answer.headers.keys() == never.headers.keys()

    await leads_nowhere(revoked["token"])
    assert [one["id"] for one in (await thread.owner.call("GET", thread.shares)).json["data"]] == [kept["id"]]
    await read(api, kept["token"])
    await thread.reach(8, deleted=True)
    await leads_nowhere(kept["token"])
    await thread.reach(9, deleted=False)
    await read(api, kept["token"])

    recorded = await database.fetch(
        """
        SELECT event, what ->> 'share_id' FROM audit_log WHERE project_id = $1 AND what ? 'share_id' ORDER BY at
        """,
        thread.project_id,
    )
    assert [tuple(row) for row in recorded] == [
        ("sensitive_create", kept["id"]),
        ("sensitive_create", revoked["id"]),
        ("sensitive_delete", revoked["id"]),
    ]


async def test_who_may_share(api: Api, thread: Thread, database: Any) -> None:
    """Members may, and take back what others shared; viewers may not, and to strangers nothing is there."""
    made = await thread.share()
    one = f"{thread.shares}/{made['id']}"
    for role, code in ((None, "not_found"), ("viewer", "forbidden")):
        who = await api.sign_up()
        if role is not None:
            await database.execute("INSERT INTO project_members VALUES ($1, $2, $3)", thread.project_id, who.id, role)
        for method, path in (("POST", thread.shares), ("GET", thread.shares), ("DELETE", one)):
            assert (await who.call(method, path)).code == code
    carol = await api.sign_up()
    await database.execute("INSERT INTO project_members VALUES ($1, $2, 'member')", thread.project_id, carol.id)
    assert (await carol.call("DELETE", f"{thread.shares}/{uuid4()}")).code == "not_found"
    assert (await carol.call("DELETE", one)).status == 204
    assert (await carol.call("GET", thread.shares)).json["data"] == []


async def test_nobody_tries_links(stack: Stack, thread: Thread) -> None:
    """One address reads so often and no more; it is told when it may again."""
    running, url = start_api(stack, CHORUS_SHARED_READS_PER_MINUTE="3")
    try:
        async with opened(running, url) as other:
            codes = [(await other.call("GET", f"/v1/shared/{uuid4()}")).code for _ in range(4)]
            assert codes == ["not_found"] * 3 + ["rate_limited"]
            late = await other.call("GET", f"/v1/shared/{(await thread.share())['token']}")
            assert (late.status, int(late.headers["Retry-After"]) > 0) == (429, True)
    finally:
        await running.stop()


async def test_the_file_and_who_may_have_it(api: Api, thread: Thread, database: Any) -> None:
    """All versions, for whoever may read; a conversation without a word is a file, too."""
    bob = await api.sign_up()
    path = f"/v1/conversations/{thread.id}/export"
    assert (await bob.call("GET", path)).code == "not_found"
    carol = await api.sign_up()
    await database.execute("INSERT INTO project_members VALUES ($1, $2, 'viewer')", thread.project_id, carol.id)
    whole = await carol.call("GET", path, format="json")
    assert [m["content"] for m in whole.json["messages"]] == [f"{name}!" for name in thread.messages]
    assert [m["on_newest_path"] for m in whole.json["messages"]] == [True, True, False, False, True, True]
    assert (await carol.call("GET", path, format="pdf")).code == "invalid"
    assert (
        whole.headers["Content-Disposition"] == "attachment; filename=\"engines.json\"; filename*=UTF-8''engines.json"
    )

    empty = await thread.written.conversation(thread.project_id, thread.owner.id, title=None)
    file = await carol.call("GET", f"/v1/conversations/{empty}/export")
    assert file.text.startswith("# Untitled conversation\n")
    assert (await carol.call("GET", f"/v1/conversations/{empty}/export", format="json")).json["messages"] == []


async def test_pins_are_ones_own(api: Api, thread: Thread, database: Any) -> None:
    """Who pins a conversation sees it pinned, in the list and alone, and nobody else does."""
    bob = await api.sign_up()
    await database.execute("INSERT INTO project_members VALUES ($1, $2, 'viewer')", thread.project_id, bob.id)
    listed, one = f"/v1/projects/{thread.project_id}/conversations", f"/v1/conversations/{thread.id}"
    await thread.written.conversation(thread.project_id, thread.owner.id)

    async def pinned(who: Someone, **params: Any) -> list[tuple[str, bool]]:
        return [(c["id"], c["pinned"]) for c in (await who.call("GET", listed, **params)).json["data"]]

    for _ in range(2):
        assert (await bob.call("PUT", f"{one}/pin")).status == 204
    assert (thread.id, True) in await pinned(bob)
    assert await pinned(bob, pinned="true") == [(thread.id, True)]
    assert (await bob.call("GET", one)).json["pinned"] is True
    assert not any(is_pinned for _, is_pinned in await pinned(thread.owner))
    assert await pinned(thread.owner, pinned="true") == []
    for _ in range(2):
        assert (await bob.call("DELETE", f"{one}/pin")).status == 204
    assert await pinned(bob, pinned="true") == []
    stranger = await api.sign_up()
    assert (await stranger.call("PUT", f"{one}/pin")).code == "not_found"

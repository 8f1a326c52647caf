"""Search over REST: what is found, in which order, how it is marked, and what nobody finds."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra import search
from tests.stack.rest_api import Api, Someone, Written

NOW = datetime.now(UTC)


@dataclass
class Library:
    """A person with a project of messages."""

    person: Someone
    project_id: str
    written: Written

    async def conversation(self, **changes: object) -> str:
        return await self.written.conversation(self.project_id, self.person.id, **changes)

    async def message(self, conversation_id: str, position: int, content: str, **changes: object) -> str:
        return await self.written.message(
            conversation_id, self.person.id, position, content=content, project_id=self.project_id, **changes
        )

    async def found(self, q: str, **more: str | int) -> list[dict[str, Any]]:
        answer = await self.person.call("GET", "/v1/search", q=q, **more)
        assert answer.status == 200, answer
        return list(answer.json["data"])

    async def texts(self, q: str, **more: str | int) -> list[str]:
        return [text(hit) for hit in await self.found(q, **more)]


def text(hit: Mapping[str, Any]) -> str:
    return "".join(part["text"] for part in hit["snippet"])


def marked(hit: Mapping[str, Any]) -> list[str]:
    return [part["text"] for part in hit["snippet"] if part["match"]]


@pytest.fixture
async def library(api: Api, written: Written) -> Library:
    person = await api.sign_up()
    return Library(person, await person.project_id(), written)


async def test_accents_and_case_do_not_count(library: Library) -> None:
    """`hoa don` finds `Hoá đơn`, however either is written, and the match is marked as it stands there."""
    conversation = await library.conversation()
    composed = await library.message(conversation, 1, "Gửi tôi Hoá đơn tháng này")
    decomposed = await library.message(conversation, 2, unicodedata.normalize("NFD", "ĐÓ LÀ HOÁ ĐƠN CŨ"))
    for query in ("hoa don", "HOÁ ĐƠN", unicodedata.normalize("NFD", "hoá đơn"), '"hoa don"', "hóa đơn"):
        hits = await library.found(query)
        assert {hit["message_id"] for hit in hits} == {composed, decomposed}, query
        assert sorted(marked(hit) for hit in hits) == [["HOÁ", "ĐƠN"], ["Hoá", "đơn"]]


async def test_words_phrases_and_beginnings(library: Library) -> None:
    """All words must be there, a phrase as it stands, of `begin*` the beginning."""
    conversation = await library.conversation()
    for position, content in enumerate(("red big house", "big red house", "redder bighouse", "e-mail to a@b.org"), 1):
        await library.message(conversation, position, content)
    assert set(await library.texts("red house")) == {"red big house", "big red house"}
    assert await library.texts('"red house"') == ["big red house"]
    assert set(await library.texts("red*")) == {"red big house", "big red house", "redder bighouse"}
    assert await library.texts('"big red" hou*') == ["big red house"]
    assert await library.texts('"big red') == ["big red house"]  # a phrase that is being typed
    assert await library.texts("e-mai*") == await library.texts("e-mail") == ["e-mail to a@b.org"]
    assert await library.texts("house blue") == []


async def test_the_best_comes_first(library: Library) -> None:
    """Titles before messages; among messages what says it often, and of equals the newer one."""
    conversation = await library.conversation(title="Plain", created_at=NOW)
    often = await library.message(conversation, 1, "tea tea tea", created_at=NOW - timedelta(days=2))
    old = await library.message(conversation, 2, "tea and more words", created_at=NOW - timedelta(days=900))
    new = await library.message(conversation, 3, "tea and more words", created_at=NOW)
    named = await library.conversation(title="All about tea")
    hits = await library.found("tea")
    assert [hit["message_id"] for hit in hits] == [None, often, new, old]
    assert (hits[0]["conversation_id"], marked(hits[0])) == (named, ["tea"])
    assert [hit["rank"] for hit in hits[1:]] == sorted((hit["rank"] for hit in hits[1:]), reverse=True)


async def test_nobody_finds_what_is_not_theirs(library: Library, api: Api) -> None:
    """Messages and titles of projects that one is no member of are found with no query and no `project_id`."""
    conversation = await library.conversation(title="Quokka plans")
    await library.message(conversation, 1, "the quokka is ours")
    stranger = Library(await api.sign_up(), library.project_id, library.written)
    own = Library(stranger.person, await stranger.person.project_id(), library.written)
    mine = await own.message(await own.conversation(title="x"), 1, "a quokka of mine")
    for more in ({}, {"project_id": library.project_id}):
        hits = await stranger.found("quokka", **more)
        assert [hit["message_id"] for hit in hits] == ([] if more else [mine])
    # The word that stands for a project is found by nobody who types it.
    assert await stranger.found(f"={library.project_id}") == []
    assert len(await library.found("quokka")) == 2
    await library.written.database.execute(
        "INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, 'viewer')",
        library.project_id,
        stranger.person.id,
    )
    assert len(await stranger.found("quokka")) == 3
    assert len(await stranger.found("quokka", project_id=library.project_id)) == 2


async def test_what_is_deleted_is_not_found(library: Library) -> None:
    """Deleted conversations and deleted texts never; archived conversations with a mark."""
    deleted = await library.conversation(title="wombat", deleted=True)
    await library.message(deleted, 1, "wombat one")
    archived = await library.conversation(title="other", archived=True)
    kept = await library.message(archived, 1, "wombat two")
    await library.message(archived, 2, "", content_deleted=True)
    hits = await library.found("wombat")
    assert [(hit["message_id"], hit["archived"]) for hit in hits] == [(kept, True)]


async def test_matches_are_segments_and_never_markup(library: Library) -> None:
    """What looks like markup is text, and no text can pretend to be a match."""
    conversation = await library.conversation()
    await library.message(conversation, 1, "<b>x</b> \x02not a match\x03 & <script>numbat</script>")
    [hit] = await library.found("numbat")
    assert marked(hit) == ["numbat"]
    assert "<b>x</b> not a match & <script>" in text(hit)
    await library.message(conversation, 2, "see vector<numbat> in src/dingo/main.py")
    assert len(await library.found("numbat")) == 2
    assert await library.texts("dingo") == ["see vector<numbat> in src/dingo/main.py"]


async def test_pages_of_ranked_matches_are_whole(library: Library) -> None:
    """Page by page every match comes once, in the order of one large page."""
    conversation = await library.conversation(title="no")
    for position in range(1, 24):
        await library.message(conversation, position, "bilby " * (position % 4 + 1) + "and more")
    whole = [hit["message_id"] for hit in await library.found("bilby", limit=100)]
    assert len(whole) == 23
    assert await _through(library, "bilby", 7) == whole


async def test_common_words_come_newest_first_and_whole(library: Library) -> None:
    """Where words are everywhere the newest come first, and pages still bring every one of them, once."""
    count = search.MOST_RANKED + 2_600
    conversation = await library.conversation(title="no")
    await library.written.database.execute(
        """
        INSERT INTO messages (id, conversation_id, project_id, position, role, owner_id, content, created_at)
        SELECT gen_random_uuid(), $1, $2, n, 'user', $3, CASE WHEN n % 3 = 0 THEN 'galah there' ELSE 'galah' END,
            $4::timestamptz - n / 10 * interval '1 minute'
        FROM generate_series(1, $5::integer) AS n
        """,
        conversation,
        library.project_id,
        library.person.id,
        NOW,
        count,
    )
    found = await _through(library, "galah", 200)
    assert len(found) == len(set(found)) == count
    rows = await library.written.database.fetch(
        "SELECT id::text FROM messages WHERE conversation_id = $1 ORDER BY created_at DESC, id DESC", conversation
    )
    assert found == [row["id"] for row in rows]


async def test_a_rare_phrase_of_common_words_is_found(library: Library) -> None:
    """More messages have its words than are read at once: pages still bring all that have them side by side, newest
    first, and only these."""
    conversation = await library.conversation(title="no")
    await library.written.database.execute(
        """
        INSERT INTO messages (id, conversation_id, project_id, position, role, owner_id, content, created_at)
        SELECT gen_random_uuid(), $1, $2, n, 'user', $3,
            CASE WHEN n % 400 = 7 THEN 'quoll numbat' ELSE 'numbat, not quoll' END,
            $4::timestamptz - n * interval '1 minute'
        FROM generate_series(1, 3600) AS n
        """,
        conversation,
        library.project_id,
        library.person.id,
        NOW,
    )
    rows = await library.written.database.fetch(
        "SELECT id::text FROM messages WHERE content = 'quoll numbat' ORDER BY created_at DESC"
    )
    assert len(rows) == 9
    assert await _through(library, '"quoll numbat"', 4) == [row["id"] for row in rows]


async def _through(library: Library, q: str, limit: int) -> list[str]:
    found, cursor = [], {}
    while True:
        answer = await library.person.call("GET", "/v1/search", q=q, limit=limit, **cursor)
        assert answer.status == 200, answer
        found += [hit["message_id"] for hit in answer.json["data"]]
        if answer.json["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json["next_cursor"]}


@pytest.mark.parametrize("query", ["", " ", "!!! ???", '""', "*", "%", "&", "a" * 201, "a\0b", "=", "'", "x" * 10_000])
async def test_what_is_no_query_is_told(library: Library, query: str) -> None:
    """Without a word, too long, or with NUL: 422, and the field is named."""
    answer = await library.person.call("GET", "/v1/search", q=query)
    assert (answer.status, answer.fields) == (422, {"q"}), answer


@pytest.mark.parametrize(
    "query",
    ["a & b", "a | !b", "foo:*", "a:b", "'; DROP TABLE messages; --", "\\", "<->", "((((x", "the", "a <2> b", "x' 'y",
     '"a" "b', "http://a.b/c?d=e", "1e999", "𝕏 日本語", "\u202e x", "* a* b*", "a" * 200, "b " * 100],
)  # fmt: skip
async def test_hostile_queries_are_only_text(library: Library, query: str) -> None:
    """What means something to PostgreSQL means nothing here: an answer without matches, or a clear refusal."""
    answer = await library.person.call("GET", "/v1/search", q=query)
    assert answer.status == 200 or answer.fields == {"q"}, answer


@pytest.mark.parametrize(
    "cursor", ["x", "e30=", "bnVsbA==", "eyJ0eXBlIjoibmV3ZXN0IiwiY3JlYXRlZF9hdCI6MSwiaWQiOiJ4In0="]
)
async def test_a_cursor_of_nobodys_is_refused(library: Library, cursor: str) -> None:
    """422, not an error of the database."""
    answer = await library.person.call("GET", "/v1/search", q="x", cursor=cursor)
    assert (answer.status, answer.fields) == (422, {"cursor"})


async def test_the_longest_and_oddest_texts_can_be_stored(library: Library) -> None:
    """No text stops history, whatever it is made of: only its first 32,768 characters are searched."""
    conversation = await library.conversation()
    every = "".join(chr(n) for n in range(1, 0x110000) if not 0xD800 <= n <= 0xDFFF)
    for position, content in enumerate(
        (
            "x" * 256_000,
            " ".join(map(str, range(60_000))),
            every,
            "-".join("ab" * 90_000),
            "a/b." * 64_000,
            "ế" * 85_000,
        ),
        1,
    ):
        await library.message(conversation, position, content)
    assert len(await library.found("999")) == 1
    assert await library.found("59999") == []

"""A conversation as a file."""

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import exports
from edge.branches import Place
from edge.exports import Said
from schemas import frames

AT = datetime(2026, 11, 23, 5, 7, tzinfo=UTC)
ALONE = Place(1, 1, True)
HERE = frames.Conversation(
    id="c", project_id="p", title="Giá *cà phê*", archived=False, deleted=False, agent_id=None, created_by="u",
    created_at=AT, updated_at=AT,
)  # fmt: skip


def said(content: str = "words", *, speaker: str = "Ada", place: Place = ALONE, **changes: Any) -> Said:
    given: dict[str, Any] = {
        "id": "m", "role": "user", "author_id": "u", "agent_id": None, "content": content, "run_id": None,
        "parent_message_id": None, "created_at": AT, "finish_reason": None, "usage": None,
    }  # fmt: skip
    return Said(frames.Message(**(given | changes)), speaker, place)


def test_markdown() -> None:
    """A title, and for each message who, when, which version, and the words."""
    assert exports.markdown_head(HERE, AT) == "# Giá \\*cà phê\\*\n\nExported 2026-11-23 05:07 UTC.\n"
    assert exports.markdown_message(said()) == "\n## Ada\n\n*2026-11-23 05:07 UTC*\n\n> words\n"
    second = exports.markdown_message(said(place=Place(2, 3, False), finish_reason="cancelled"))
    assert "version 2 of 3 · not on the newest path · ended: cancelled" in second
    assert exports.markdown_message(said("", deleted=True)).endswith("> *deleted*\n")


@given(st.text(), st.text())
def test_nothing_said_passes_for_somebody_else_s_words(content: str, speaker: str) -> None:
    """Each line of a message is quoted, and a name is one line: the only heading is ours."""
    text = exports.markdown_message(said(content, speaker=speaker))
    lines = re.split(r"\r\n|\r|\n", text)
    assert [line for line in lines if line.startswith("#")] == [lines[1]]
    assert all(line.startswith(">") for line in lines[5:-1])


def test_json_is_one_document() -> None:
    """The pieces, one after the other, are JSON that a strict reader takes; texts are as they were said."""
    pieces = [exports.json_message(said("a\n\u2028🙂")), exports.json_message(said(place=Place(1, 2, False)))]
    whole = json.loads(exports.json_head(HERE, AT) + b",".join(pieces) + exports.JSON_END)
    assert (whole["format"], whole["version"], whole["conversation"]["title"]) == (
        "chorus.conversation", 1, "Giá *cà phê*",
    )  # fmt: skip
    assert [m["content"] for m in whole["messages"]] == ["a\n\u2028🙂", "words"]
    assert whole["messages"][1]["sibling"] == {"number": 1, "of": 2}
    assert json.loads(exports.json_head(HERE, AT) + exports.JSON_END)["messages"] == []


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Plan for today", "plan-for-today.md"),
        ("Hoá đơn tháng 11", "hoá-đơn-tháng-11.md"),
        ("../../etc/passwd", "etc-passwd.md"),
        ('a"; filename=b.exe\r\nX: y', "a-filename-b.exe-x-y.md"),
        ("CON", "_con.md"),
        ("…", "conversation.md"),
        (None, "conversation.md"),
        ("x" * 300, "x" * 80 + ".md"),
    ],
)
def test_the_file_s_name(title: str | None, name: str) -> None:
    """Words of the title, and nothing that a path, a header or a shell would read."""
    assert exports.filename(title, "md") == name


@given(st.text())
def test_the_header_that_names_it(title: str) -> None:
    """It is one line of ASCII, quoted once, and names the same file to those who read the newer form."""
    name = exports.filename(title, "json")
    header = exports.disposition(name)
    assert re.fullmatch(r"attachment; filename=\"[A-Za-z0-9._-]+\.json\"; filename\*=UTF-8''[A-Za-z0-9%._~-]+", header)
    assert unquote(header.rpartition("''")[2]) == name
    assert not name.startswith((".", "-"))

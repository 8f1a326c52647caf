"""What a conversation is called after its first exchange."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.rules.titles import LONGEST, title_of


@pytest.mark.parametrize(
    ("question", "answer", "title"),
    [
        ("How do I bake bread? I have an oven.", "Mix flour and water.", "How do I bake bread?"),
        ("Giá cà phê hôm nay thế nào.", "Cao.", "Giá cà phê hôm nay thế nào"),
        ("Hello!", "Good morning to you all. How are you?", "Good morning to you all"),
        ("Hello!", "Hi!", "Hello!"),
        ("???", "Please say what you mean.", "Please say what you mean"),
        ("???", "…", None),
        ("", "", None),
        ("# **Plan** for `today`\nmore", "", "Plan for today"),
        ("1. See [the docs](https://example.org/x) now", "", "See the docs now"),
        ("snake_case_name stays as it is", "", "snake_case_name stays as it is"),
        ("```python\nimport os\n```\nWhat does this do?", "", "What does this do?"),
        ("```\nprint the whole list\n```", "", "print the whole list"),
        ("请给我写一首关于春天的诗。谢谢", "好", "请给我写一首关于春天的诗"),
        ("first\tline \u202e of it\nsecond", "", "first line of it"),
        ("family 👩‍👩‍👧 photos please", "", "family 👩‍👩‍👧 photos please"),
    ],
)
def test_the_words(question: str, answer: str, title: str | None) -> None:
    """The first sentence of the question without its marks, or of the answer where only that says enough."""
    assert title_of(question, answer) == title


def test_a_long_sentence_is_cut_between_words() -> None:
    """At most so many characters, never in the middle of a word where there is a place before it."""
    question = "word " * 40
    title = title_of(question, "")
    assert title is not None
    assert len(title) <= LONGEST
    assert title == "word " * ((len(title) - 5) // 5) + "word…"
    endless = title_of("x" * 500 + " y z", "")
    assert endless == "x" * (LONGEST - 1) + "…"


@given(st.text(), st.text())
def test_any_words_give_a_title_that_can_be_shown(question: str, answer: str) -> None:
    """Whatever is said, a title is one short line without control characters, and the same each time."""
    title = title_of(question, answer)
    assert title == title_of(question, answer)
    if title is not None:
        assert 0 < len(title) <= LONGEST
        assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in title)
        assert title == title.strip()

"""What a model is shown, and what it costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.prompts import chat_messages
from agents.provider import ChatMessage, TokenCount
from agents.usage import Spoken, estimated_tokens, message_tokens, usage_of
from schemas.events import Usage


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


def agent(text: str) -> ChatMessage:
    return ChatMessage("assistant", text)


def test_the_system_prompt_comes_first() -> None:
    """Then the conversation, oldest first; where there is none, none."""
    assert chat_messages("Be kind.", [user("hi")], 100) == [ChatMessage("system", "Be kind."), user("hi")]
    assert chat_messages("", [user("hi")], 100) == [user("hi")]


def test_the_oldest_go_first() -> None:
    """What does not fit is cut from the old end, at a message."""
    context = [user("a" * 400), agent("b" * 400), user("c" * 40), agent("d" * 40), user("e")]

    assert chat_messages("", context, 60) == context[2:]


def test_an_answer_without_its_question_goes_too() -> None:
    """A model is never shown a conversation that begins with its own words."""
    context = [user("a" * 400), agent("short"), user("e")]

    assert chat_messages("", context, 60) == [user("e")]


@given(
    st.text(max_size=50),
    st.lists(st.builds(ChatMessage, st.sampled_from(["user", "assistant"]), st.text(max_size=200)), max_size=12),
    st.integers(0, 400),
)
def test_the_question_is_always_there_and_the_rest_fits(system: str, before: list[ChatMessage], window: int) -> None:
    """The prompt is the newest part of the conversation, ends with the question, and fits the window if it can."""
    context = [*before, user("the question")]
    prompt = chat_messages(system, context, window)
    shown = prompt[1:] if system else prompt

    assert shown == context[len(context) - len(shown) :]
    assert shown[-1] == user("the question")
    assert len(shown) == 1 or sum(map(message_tokens, prompt)) <= window
    assert len(shown) == 1 or shown[0].role == "user"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("antidisestablishmentarianism", 6),
        ("2 + 2 = 4", 7),
        ("お誕生日おめでとう", 8),
        # A word that is special in a vocabulary is text like any other here.
        ("<|endoftext|>", 7),
    ],
    ids=["empty", "long", "sum", "japanese", "special"],
)
def test_tokens_are_counted_as_their_publisher_does(text: str, tokens: int) -> None:
    """OpenAI's own counts for o200k_base, from its cookbook ("How to count tokens with tiktoken")."""
    assert estimated_tokens(text) == tokens


@given(st.lists(st.text("aethno Việt.", max_size=12), max_size=30), st.integers(1, 60))
def test_a_text_that_grows_reaches_its_limit_when_its_whole_does(pieces: list[str], limit: int) -> None:
    """However it was cut into pieces: never before, and a token late at the most where two of them meet."""
    spoken, text = Spoken(), ""
    for n, piece in enumerate(pieces):
        spoken.add(piece)
        text += piece
        if spoken.reaches(limit):
            assert estimated_tokens(text) >= limit
            break
        assert estimated_tokens(text) < limit + n


def test_the_providers_count_goes_before_any_estimate() -> None:
    """Zeros included."""
    said = TokenCount(input=0, output=0)

    assert usage_of(said, [user("hi")], "hello there", began=True) == Usage(source="provider")


def test_a_count_that_cannot_be_is_taken_at_its_bounds() -> None:
    """Less than nothing is nothing, and no number is too large for the books."""
    usage = usage_of(TokenCount(input=-5, output=10**30), [user("hi")], "", began=True)

    assert (usage.input_tokens, usage.output_tokens) == (0, 10**9)


def test_without_a_count_it_is_estimated_and_says_so() -> None:
    """From what was shown and what was said."""
    usage = usage_of(None, [user("2 + 2 = 4")], "antidisestablishmentarianism", began=True)

    assert (usage.input_tokens, usage.output_tokens, usage.source) == (4 + 7, 6, "estimated")


def test_what_never_began_took_nothing() -> None:
    """A refused call is free."""
    assert usage_of(None, [user("a" * 40)], "", began=False) == Usage()

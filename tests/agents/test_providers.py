"""What every provider keeps: the scripted one in the process, and its twin behind HTTP with the real client."""

import asyncio
import re
import time
from contextlib import aclosing

import pytest

from agents.answering import Answering
from agents.provider import (
    TROUBLES,
    ChatMessage,
    Chunk,
    Prompt,
    Provider,
    ProviderError,
    TimeLimits,
    TokenCount,
    Trouble,
)

LIMITS = TimeLimits(connect_s=2, first_token_s=5, between_tokens_s=5, whole_s=10, retry_s=0, usage_s=1)


def asking(text: str) -> Prompt:
    return Prompt(messages=[ChatMessage("system", "Be kind."), ChatMessage("user", text)])


async def called(
    provider: Provider, text: str, limits: TimeLimits = LIMITS, **options: int
) -> tuple[list[str], Answering]:
    said: list[str] = []
    answering = Answering(said.append, **options)
    await answering.run(provider, asking(text), limits)
    return said, answering


async def failed(provider: Provider, text: str, limits: TimeLimits = LIMITS) -> tuple[list[str], Trouble]:
    said: list[str] = []
    with pytest.raises(ProviderError) as caught:
        await Answering(said.append).run(provider, asking(text), limits)
    return said, caught.value.trouble


async def test_says_every_token_in_order_and_why_it_stopped(provider: Provider) -> None:
    """An answer is what the script says, piece by piece, with its reason and the provider's own count."""
    said, answering = await called(provider, "/tokens 5 one two")

    assert "".join(said) == "one two and so the "
    assert answering.finish_reason == "stop"
    assert answering.usage is not None
    assert answering.usage.output == 5
    assert answering.usage.input > 0


async def test_says_the_same_to_the_same_question(provider: Provider) -> None:
    """A script is deterministic."""
    first, _ = await called(provider, "/tokens 30 tell me")
    second, _ = await called(provider, "/tokens 30 tell me")

    assert "".join(first) == "".join(second)


async def test_says_words_that_are_not_ascii(provider: Provider) -> None:
    """Text arrives as it was said, whatever its language."""
    said, _ = await called(provider, "/say Xin chào 👋 thế giới")

    assert "".join(said) == "Xin chào 👋 thế giới"


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_tells_why_it_stopped(provider: Provider, reason: str) -> None:
    """The finish reasons of the vocabulary come through."""
    _, answering = await called(provider, f"/finish {reason}")

    assert answering.finish_reason == reason


async def test_another_reason_means_stop() -> None:
    """A reason of a server's own is a stop."""
    from agents.openai_events import EventReader

    chunk = EventReader().feed(b'data: {"choices": [{"finish_reason": "tool_calls"}]}\n\n')

    assert chunk == Chunk(finish_reason="stop")


async def test_no_usage_is_none(provider: Provider) -> None:
    """A provider that counts nothing is known as one."""
    _, answering = await called(provider, "/usage none")

    assert answering.usage is None
    assert answering.finish_reason == "stop"


async def test_a_zero_usage_counts(provider: Provider) -> None:
    """An explicit zero is a statement of the provider's, not a missing one."""
    _, answering = await called(provider, "/usage zero")

    assert answering.usage == TokenCount(input=0, output=0)


async def test_usage_is_a_snapshot(provider: Provider) -> None:
    """Usage that comes with every token is not added up: the last one counts."""
    _, answering = await called(provider, "/tokens 7 /usage cumulative")

    assert answering.usage is not None
    assert answering.usage.output == 7


async def test_a_repeated_end_changes_nothing(provider: Provider) -> None:
    """Finish and usage that come twice give one answer, counted once."""
    said, answering = await called(provider, "/tokens 4 a b c d /repeat")

    assert "".join(said) == "a b c d "
    assert answering.usage is not None
    assert answering.usage.output == 4


async def test_is_slow_to_begin_within_its_time(provider: Provider) -> None:
    """A slow first token is waited for."""
    said, _ = await called(provider, "/first 400 /tokens 2")

    assert len("".join(said).split()) == 2


async def test_is_too_slow_to_begin(provider: Provider) -> None:
    """No first token in time: the call fails, and says that nothing came."""
    limits = TimeLimits(first_token_s=0.2, retry_s=0)

    assert await failed(provider, "/first 5000", limits) == ([], Trouble.SILENT)


async def test_hangs_in_mid_answer(provider: Provider) -> None:
    """No further token in time: the call fails, what was said stands."""
    limits = TimeLimits(between_tokens_s=0.2, retry_s=0)
    asked_at = time.monotonic()
    said, trouble = await failed(provider, "/tokens 8 /hang 3", limits)

    assert time.monotonic() - asked_at < 5
    assert len("".join(said).split()) == 3
    assert trouble == Trouble.STALLED


async def test_never_comes_to_an_end(provider: Provider) -> None:
    """Tokens that come in time, and go on for ever, end at the whole limit."""
    limits = TimeLimits(whole_s=0.5, between_tokens_s=0.4, retry_s=0)
    said, trouble = await failed(provider, "/tokens 1000 /delay 20", limits)

    assert said
    assert trouble == Trouble.ENDLESS


async def test_steady_tokens_outlast_the_limit_between_two(provider: Provider) -> None:
    """The limit between tokens is one between tokens: it does not run from the first."""
    limits = TimeLimits(between_tokens_s=0.3, retry_s=0)
    said, _ = await called(provider, "/tokens 30 /delay 30", limits)

    assert len("".join(said).split()) == 30


@pytest.mark.parametrize("limits", [TimeLimits(between_tokens_s=0.6, retry_s=0), TimeLimits(whole_s=2, retry_s=0)])
async def test_a_process_that_stood_still_takes_up_the_answer(provider: Provider, limits: TimeLimits) -> None:
    """Limits count no time in which this process was stopped: what came meanwhile is read, and the answer goes on."""
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 4:
            # As SIGSTOP does: nothing of this process runs, here while it waits for the next word.
            asyncio.get_running_loop().call_soon(time.sleep, 2.5)

    await Answering(say).run(provider, asking("/tokens 30 /delay 30"), limits)

    assert len("".join(said).split()) == 30


async def test_breaks_off(provider: Provider) -> None:
    """A connection that breaks in mid-answer fails the call, what was said stands."""
    said, trouble = await failed(provider, "/tokens 9 /fail-after 4")

    assert len("".join(said).split()) == 4
    assert trouble == Trouble.BROKEN_OFF


async def test_talks_nonsense(provider: Provider) -> None:
    """What is no event fails the call, what was said stands."""
    said, trouble = await failed(provider, "/tokens 9 /garble 4")

    assert len("".join(said).split()) == 4
    assert trouble == Trouble.UNREADABLE


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (503, Trouble.DOWN),
        (500, Trouble.DOWN),
        (429, Trouble.BUSY),
        (413, Trouble.TOO_LONG),
        (401, Trouble.REFUSED),
        (404, Trouble.REFUSED),
    ],
)
async def test_refuses(provider: Provider, status: int, trouble: Trouble) -> None:
    """Each refusal is one of the vocabulary, and tells nobody what the provider wrote."""
    with pytest.raises(ProviderError) as caught:
        await Answering(lambda _: None).run(provider, asking(f"/fail {status}"), LIMITS)

    assert caught.value.trouble == trouble
    assert "sk-" not in str(caught.value)
    assert "sk-" not in caught.value.for_people.message


async def test_failures_that_pass_are_tried_again(provider: Provider) -> None:
    """A provider that is back within the retry time answers, and nobody noticed."""
    limits = TimeLimits(retry_s=5)
    said, _ = await called(provider, "/flaky 2 /tokens 3", limits)

    assert len("".join(said).split()) == 3


async def test_a_failure_after_the_first_token_is_not_tried_again(provider: Provider) -> None:
    """Once words were said, another try would say them twice."""
    said, trouble = await failed(provider, "/tokens 9 /fail-after 2", TimeLimits(retry_s=5))

    assert len("".join(said).split()) == 2
    assert trouble == Trouble.BROKEN_OFF


async def test_an_endless_text_ends_as_too_long(provider: Provider) -> None:
    """The answer is cut at its bound, never inside a character, and ends `length`."""
    said, answering = await called(provider, f"/say {'thế giới ' * 200}", max_bytes=1000)
    text = "".join(said)

    assert answering.finish_reason == "length"
    assert 997 <= len(text.encode()) <= 1000
    assert ("thế giới " * 200).startswith(text)


async def test_a_stamped_token_tells_when_it_left(provider: Provider) -> None:
    """Benchmarks read the time of each token from its text."""
    said, _ = await called(provider, "/stamp /tokens 3")
    stamps = [int(found) for found in re.findall(r"@(\d+) ", "".join(said))]

    assert len(stamps) == 3
    assert stamps == sorted(stamps)


async def test_tells_what_it_was_shown(provider: Provider) -> None:
    """`/context` answers with the messages of the prompt."""
    said, _ = await called(provider, "/context please")

    assert "".join(said) == "system: Be kind.\nuser: /context please\n"


async def test_closing_a_stream_ends_it(provider: Provider) -> None:
    """Whoever has read enough closes the stream, and nothing is left behind."""
    async with aclosing(provider.stream(asking("/tokens 1000 /delay 5"))) as chunks:
        first = await anext(chunks)

    assert first.text
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_cancelling_ends_it_at_once(provider: Provider) -> None:
    """A call that is cancelled in mid-answer is over, and what was said stands."""
    heard = asyncio.Event()
    answering = Answering(lambda _: heard.set())
    call = asyncio.ensure_future(answering.run(provider, asking("/tokens 1000 /delay 5"), LIMITS))
    await heard.wait()
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 0.5)


def test_every_trouble_has_a_meaning() -> None:
    """No failure is without a code and a sentence for people."""
    assert set(TROUBLES) == set(Trouble)
    assert all(meaning.message.endswith(".") for meaning in TROUBLES.values())

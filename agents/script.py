"""What the scripted agent says. Pure: the same messages always give the same script.

The last user message directs it. Without a directive it answers a number of words, taken from the message.

`/tokens 500`       so many tokens
`/delay 20`         milliseconds from one token to the next
`/first 300`        milliseconds to the first token (else as `/delay`)
`/say TEXT…`        the rest of the message, word by word, is the answer
`/stamp`            each token holds the CLOCK_MONOTONIC microsecond at which it leaves, as `@123456 `
`/context`          the answer says what it was shown: one line a message, its role and its first words
`/fail 503`         the call is refused with this HTTP status
`/flaky 2`          the first two calls with this very message are refused with 503, later ones are answered
`/fail-after 30`    the connection breaks after so many tokens
`/hang`, `/hang 5`  nothing more comes, after no token, or five
`/garble 3`         after three tokens comes what is no event
`/usage none|zero|cumulative`  the provider's count: not told, told as zero, told with each token; else at the end
`/repeat`           the end of the answer comes twice
`/finish length`    the reason of the end
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from agents.provider import ChatMessage, TokenCount
from agents.usage import message_tokens

_MOST_TOKENS: Final = 100_000
_LONGEST_MS: Final = 600_000

_DIRECTIVE = re.compile(r"(?<!\S)/([a-z-]+)(?:[ \t]+([^\s/]\S*))?")
_SAY = re.compile(r"(?<!\S)/say\s+(.*)", re.DOTALL)
_TOKEN = re.compile(r"\s*\S+\s*")
_WORDS = re.findall(r"\w+", "and so the river goes on past the old town under a quiet sky until it meets the sea again")


class Manner(Struct, frozen=True, kw_only=True):
    """How an agent speaks where a message does not say. Times in milliseconds."""

    tokens: int = 40
    delay_ms: int = 20


class Say(Struct, frozen=True):
    """One token, so many milliseconds after the one before. A stamped one has the time in place of a text."""

    text: str
    after_ms: int
    stamped: bool = False


class Count(Struct, frozen=True):
    """The provider tells its count of tokens."""

    tokens: TokenCount


class Finish(Struct, frozen=True):
    reason: str


class BreakOff(Struct, frozen=True):
    """The connection breaks."""


class Hang(Struct, frozen=True):
    """Nothing more comes."""


class Garble(Struct, frozen=True):
    """Something comes that is no event."""


Step = Say | Count | Finish | BreakOff | Hang | Garble


class Script(Struct, frozen=True, kw_only=True):
    """One answer.

    Attributes:
        key: what tells calls apart that count together: the message that directs.
        refuse: the HTTP status of a refusal, or None.
        flaky: how many calls are refused before one is answered.
    """

    key: str
    steps: Sequence[Step]
    refuse: int | None = None
    flaky: int = 0


def script_of(messages: Sequence[ChatMessage], manner: Manner) -> Script:
    """The script that these messages ask for."""
    asked = next((m.content for m in reversed(messages) if m.role == "user"), "")
    say = _SAY.search(asked)
    directives = dict(_DIRECTIVE.findall(asked[: say.start()] if say else asked))
    return Script(
        key=asked,
        steps=list(_steps(messages, directives, say.group(1) if say else None, manner)),
        refuse=_number(directives, "fail", 503, 599) if "fail" in directives else None,
        flaky=_number(directives, "flaky", 1, 1000) if "flaky" in directives else 0,
    )


def _number(directives: dict[str, str], name: str, default: int, most: int) -> int:
    text = directives.get(name, "")
    return min(int(text), most) if text.isdecimal() else default


def _steps(
    messages: Sequence[ChatMessage], directives: dict[str, str], say: str | None, manner: Manner
) -> Iterator[Step]:
    texts = _texts(messages, directives, say, manner)
    delay = _number(directives, "delay", manner.delay_ms, _LONGEST_MS)
    first = _number(directives, "first", delay, _LONGEST_MS)
    usage = directives.get("usage", "")
    counted = sum(map(message_tokens, messages))
    faults: dict[int, list[Step]] = {}
    for name, fault in (("fail-after", BreakOff()), ("hang", Hang()), ("garble", Garble())):
        if name in directives:
            faults.setdefault(_number(directives, name, 0, _MOST_TOKENS), []).append(fault)
    for n, text in enumerate(texts):
        yield from faults.get(n, ())
        yield Say(text, delay if n else first, stamped="stamp" in directives)
        if usage == "cumulative":
            yield Count(TokenCount(input=counted, output=n + 1))
    yield from (step for n, steps in faults.items() if n >= len(texts) for step in steps)
    end: list[Step] = [Finish(directives.get("finish", "stop"))]
    if usage == "zero":
        end.append(Count(TokenCount(input=0, output=0)))
    elif usage != "none":
        end.append(Count(TokenCount(input=counted, output=len(texts))))
    yield from end * (2 if "repeat" in directives else 1)


def _texts(
    messages: Sequence[ChatMessage], directives: dict[str, str], say: str | None, manner: Manner
) -> Sequence[str]:
    if say is not None:
        return _TOKEN.findall(say)
    if "context" in directives:
        return [f"{m.role}: {m.content[:60]}\n" for m in messages]
    tokens = _number(directives, "tokens", manner.tokens, _MOST_TOKENS)
    asked = messages[-1].content if messages else ""
    words = [w for w in re.findall(r"\w+", _DIRECTIVE.sub(" ", asked)) if len(w) < 30] + _WORDS
    return [f"{words[n % len(words)]} " for n in range(tokens)]

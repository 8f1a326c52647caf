"""Who answers: what every provider looks like to the rest, and the ways in which it fails."""

from collections.abc import AsyncGenerator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from msgspec import Struct

from schemas.events import RunError
from schemas.frames import ErrorCode


class ChatMessage(Struct, frozen=True):
    """One message as a model is shown it; `role` is system, user or assistant."""

    role: str
    content: str


class Prompt(Struct, frozen=True, kw_only=True):
    """What a provider is asked. `params` are the model's own (temperature, max_tokens, …), passed on as they are."""

    messages: list[ChatMessage]
    params: Mapping[str, Any] = {}


class TokenCount(Struct, frozen=True, kw_only=True):
    """What the provider says a call has taken so far. `cached_input` is a part of `input`."""

    input: int
    output: int
    cached_input: int = 0


class Chunk(Struct, frozen=True, kw_only=True):
    """What came in one piece.

    Attributes:
        text: the next words; never any after a `finish_reason`.
        finish_reason: why the model stopped: `stop`, `length` or `content_filter`.
        usage: a snapshot that takes the place of those before it; a zero in it is a statement.
    """

    text: str = ""
    finish_reason: str | None = None
    usage: TokenCount | None = None


class Trouble(StrEnum):
    """The ways in which a provider fails."""

    UNREACHABLE = "unreachable"
    BUSY = "busy"
    DOWN = "down"
    REFUSED = "refused"
    TOO_LONG = "too_long"
    SILENT = "silent"
    STALLED = "stalled"
    ENDLESS = "endless"
    BROKEN_OFF = "broken_off"
    UNREADABLE = "unreadable"
    NO_AGENT = "no_agent"


class TroubleMeaning(NamedTuple):
    """What a failure means: the code that clients get, whether trying again at once may help, and a sentence."""

    code: ErrorCode
    passing: bool
    message: str


TROUBLES: Final[dict[Trouble, TroubleMeaning]] = {
    Trouble.UNREACHABLE: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, True, "The agent cannot be reached at the moment. Try again in a while."
    ),
    Trouble.BUSY: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, True, "The agent has too much to do at the moment. Try again in a while."
    ),
    Trouble.DOWN: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, True, "The agent is out of order at the moment. Try again in a while."
    ),
    Trouble.REFUSED: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, False, "The agent refused the request. Its owner should check its settings."
    ),
    Trouble.TOO_LONG: TroubleMeaning(
        ErrorCode.TOO_LARGE, False, "The conversation is too long for this agent. Begin a new one or ask less at once."
    ),
    Trouble.SILENT: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, False, "The agent did not begin to answer in time. Try again in a while."
    ),
    Trouble.STALLED: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, False, "The agent stopped in the middle of its answer."
    ),
    Trouble.ENDLESS: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, False, "The agent took too long, so its answer was cut off."
    ),
    Trouble.BROKEN_OFF: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, False, "The connection to the agent broke in the middle of its answer."
    ),
    Trouble.UNREADABLE: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, False, "The agent answered with something that is not an answer."
    ),
    Trouble.NO_AGENT: TroubleMeaning(
        ErrorCode.AGENT_UNAVAILABLE, False, "The agent is gone, or its settings cannot be used."
    ),
}


class ProviderError(Exception):
    """The provider failed. The text is for logs: it never holds what the provider said, which may hold secrets.

    Attributes:
        retry_after_s: how long the provider asked to be left alone, in seconds.
    """

    def __init__(self, trouble: Trouble, detail: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{trouble}: {detail}")
        self.trouble = trouble
        self.retry_after_s = retry_after_s

    @property
    def for_people(self) -> RunError:
        meaning = TROUBLES[self.trouble]
        return RunError(code=meaning.code, message=meaning.message)


class Provider(Protocol):
    """Something that answers prompts, piece by piece."""

    def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Ask, and give what comes as it comes. Ends after the last piece; the last `finish_reason` is set by then.

        Closing the generator, or cancelling whoever waits for it, ends the call at the provider at once.

        Raises:
            ProviderError: it failed; what was given before stands. A time limit is the caller's to keep, but for that
                of connecting.
        """
        ...


class TimeLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long each part of a call may take, in seconds. An agent's configuration may say others."""

    connect_s: float = 5.0
    """To open a connection. 5: a server across the world needs less than one."""

    first_token_s: float = 60.0
    """To the first piece, retries included. 60: a model that has to be loaded first needs about half of that."""

    between_tokens_s: float = 30.0
    """From one piece to the next. 30: slow models pause for seconds, broken ones for ever."""

    whole_s: float = 600.0
    """For all of it. 600: the longest answers of the slowest models; after that conversations asks again."""

    retry_s: float = 3.0
    """How long failures that pass are tried again, before the first piece. 3: a server that is being replaced is back
    by then, and a person still waits without wondering."""

    usage_s: float = 2.0
    """For the count of tokens after the last word. 2: it comes at once or never, and the reader sees a finished text
    as unfinished meanwhile."""

"""Tags of what can be changed, so that nobody undoes what they have not seen. See ADR 0025.

A tag has two halves: of what a PATCH changes, and of all that is shown. `If-None-Match` asks about both; `If-Match`
about the first alone, because an answer that was said in a conversation meanwhile is nothing that a new title undoes.
"""

import hashlib
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final, TypeVar

import msgspec
from fastapi import Depends, FastAPI, Header, Request, Response

from edge.errors import Refused
from edge.rest import answers
from schemas.frames import ErrorCode

_CHANGEABLE: Final[Mapping[type[answers.Answer], tuple[str, ...]]] = {
    answers.User: ("display_name",),
    answers.Project: ("name", "default_agent_id"),
    # The version stands for the configuration, and also for the secret, which is not shown.
    answers.Agent: ("name", "version"),
    answers.Conversation: ("title", "archived", "agent_id"),
    answers.Member: ("role",),
    answers.Webhook: ("url", "kinds", "disabled_at"),
}
_HALF: Final = 16
"""Characters of each half: 64 bits, which nobody gains anything by finding another content for."""
_LONGEST: Final = 500
_ONE: Final = r'(W/)?"[!#-~]*"'
_TAGS: Final = rf"^(\*|{_ONE}( *, *{_ONE})*)$"
_IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        pattern=_TAGS,
        max_length=_LONGEST,
        description="An `ETag` that was read: refused where what can be changed here has changed since.",
    ),
]
_IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        pattern=_TAGS,
        max_length=_LONGEST,
        description="An `ETag` that was read: 304 while it is the same.",
    ),
]

T = TypeVar("T", bound=answers.Answer)


class NotModified(Exception):
    """The reader has it as it is."""

    def __init__(self, tag: str) -> None:
        self.tag = tag


def tag_of(shown: answers.Answer) -> str:
    """The strong tag of a single thing, without its quotes."""
    changeable = [getattr(shown, name) for name in _CHANGEABLE[type(shown)]]
    return _hash(msgspec.json.encode(changeable)) + _hash(shown.model_dump_json().encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_HALF]


def _named(tags: str) -> list[str]:
    """The tags of such a header. A proxy that compresses makes ours weak, and they say no less for it."""
    return re.findall(r'"([^"]*)"', tags)


class Reading:
    """`If-None-Match` of a GET. Depend on it as `ReadingOf`."""

    def __init__(self, response: Response, if_none_match: _IfNoneMatch = None) -> None:
        self._response = response
        self._tags = if_none_match

    def tagged(self, shown: T) -> T:
        """What is to be answered, with its tag; raises `NotModified`, which becomes a 304."""
        tag = tag_of(shown)
        if self._tags == "*" or (self._tags is not None and tag in _named(self._tags)):
            raise NotModified(tag)
        self._response.headers["ETag"] = f'"{tag}"'
        return shown


class Changing:
    """`If-Match` of a PATCH or DELETE. Depend on it as `ChangingOf`.

    Attributes:
        asked: whether there is something to check.
    """

    def __init__(self, response: Response, if_match: _IfMatch = None) -> None:
        self._response = response
        self._tags = if_match
        self.asked = if_match is not None and if_match != "*"  # what is not there at all is refused anyway

    def check(self, shown: answers.Answer) -> None:
        """Call it with what nobody else changes until the change is done.

        Raises:
            Refused: `precondition_failed`, where it is not as the caller has seen it.
        """
        present = tag_of(shown)[:_HALF]
        if self.asked and all(tag[:_HALF] != present for tag in _named(self._tags or "")):
            raise Refused(ErrorCode.PRECONDITION_FAILED)

    def tagged(self, shown: T) -> T:
        """What has become of it, with its new tag."""
        self._response.headers["ETag"] = f'"{tag_of(shown)}"'
        return shown


ReadingOf = Annotated[Reading, Depends()]
ChangingOf = Annotated[Changing, Depends()]


def install(app: FastAPI) -> None:
    """Let this application answer 304."""

    async def not_modified(_request: Request, error: Exception) -> Response:
        assert isinstance(error, NotModified)
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": f'"{error.tag}"'})

    app.add_exception_handler(NotModified, not_modified)

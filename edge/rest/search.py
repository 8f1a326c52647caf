"""Search: messages and titles by their words, in what the caller may read."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
import msgspec
from fastapi import APIRouter, Query
from msgspec.structs import replace

from edge.errors import invalid
from edge.rest.answers import Answer, Page
from edge.rest.fields import Cursor, Id, Limit, Text
from edge.rest.openapi import refusals
from edge.rest.services import Caller, Services, ServicesOf
from infra import search
from schemas.frames import ErrorCode

router = APIRouter(tags=["search"], responses=refusals(ErrorCode.UNAVAILABLE))

_LONGEST_QUERY: Final = 200

Asked = Annotated[
    Text,
    Query(
        max_length=_LONGEST_QUERY,
        description='Words, all of which must be there, `"a phrase"`, `begin*`. Accents and case do not count.',
    ),
]


class Segment(Answer):
    """`match`: this is what was looked for. Segments are plain text, never markup; joined they are an excerpt."""

    text: str
    match: bool


class Hit(Answer):
    """A message; without `message_id` it is the conversation's title that matches.

    `cursor` is the message's place in its conversation, as in a list of messages. `rank` compares hits of one query.
    """

    conversation_id: str
    conversation_title: str | None
    project_id: str
    archived: bool
    message_id: str | None
    role: str | None
    author_id: str | None
    created_at: datetime
    cursor: str | None
    snippet: list[Segment]
    rank: float


@router.get("/v1/search")
async def find(
    services: ServicesOf,
    caller: Caller,
    q: Asked,
    project_id: Id | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Page[Hit]:
    """The best matches first, titles before messages; of words that are in hundreds of messages, the newest first.

    A page may be short, even empty, and not be the last: `next_cursor` says whether it is. A project that is not the
    caller's has no matches.
    """
    after = _after(cursor)
    try:
        async with services.reading() as connection:
            found, following = await search.find(
                connection, caller.user_id, search.terms(q), project_id=project_id, after=after, limit=limit
            )
    except search.NothingToFind:
        raise invalid(q="has no word in it") from None
    except asyncpg.QueryCanceledError:
        raise invalid(q="takes too long to look for; give more or longer words") from None
    return Page(
        data=[_hit(services, one) for one in found], next_cursor=None if following is None else _cursor_of(following)
    )


def _hit(services: Services, found: search.Found) -> Hit:
    epoch = None if services.log is None or found.message_id is None else services.log.epoch
    return Hit(
        conversation_id=found.conversation_id,
        conversation_title=found.conversation_title,
        project_id=found.project_id,
        archived=found.archived,
        message_id=found.message_id,
        role=found.role,
        author_id=found.author_id,
        created_at=found.created_at,
        cursor=None if epoch is None else f"{epoch}:{found.position}",
        snippet=[Segment(text=part.text, match=part.match) for part in found.snippet],
        rank=found.rank,
    )


def _cursor_of(after: search.After) -> str:
    return urlsafe_b64encode(msgspec.json.encode(after)).decode()


_decoder: Final[msgspec.json.Decoder[search.After]] = msgspec.json.Decoder(search.After)


def _after(cursor: str | None) -> search.After | None:
    if cursor is None:
        return None
    try:
        after = _decoder.decode(urlsafe_b64decode(cursor.encode()))
        id = str(UUID(after.id))
        if isinstance(after, search.Ranked):
            return replace(after, at=after.at.astimezone(UTC), id=id)
        return replace(after, created_at=after.created_at.astimezone(UTC), id=id)
    except (ValueError, OverflowError):  # msgspec's errors are among them
        raise invalid(cursor="is no cursor of this list") from None

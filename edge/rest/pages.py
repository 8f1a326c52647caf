"""Pages of a list: the cursor names the last thing of the page before, so nothing is skipped or shown twice."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from edge.errors import invalid
from edge.rest.answers import Page

T = TypeVar("T")

Key = tuple[datetime, str]
"""What lists are sorted by: a time, and the id of the thing, because times can be equal."""


def cursor_of(key: Key) -> str:
    """Opaque to clients: what is in it may change."""
    at, id = key
    return urlsafe_b64encode(f"{at.isoformat()}/{id}".encode()).decode()


def key_of(cursor: str | None) -> Key | None:
    """Raises `Refused` (`invalid`) for what is no cursor of ours."""
    if cursor is None:
        return None
    try:
        at, _, id = urlsafe_b64decode(cursor.encode()).decode().partition("/")
        return datetime.fromisoformat(at).astimezone(UTC), str(UUID(id))
    except (ValueError, OverflowError):
        raise invalid(cursor="is no cursor of this list") from None


def page(found: list[T], limit: int, key: Callable[[T], Key]) -> Page[T]:
    """A page of at most `limit`, made of what was found where one more was asked for."""
    more = len(found) > limit
    shown = found[:limit]
    return Page(data=shown, next_cursor=cursor_of(key(shown[-1])) if more else None)

"""One's own notifications: what there is, what was read, and which one wants."""

from datetime import datetime
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Query
from msgspec.structs import asdict
from pydantic import Field

from edge.errors import Refused
from edge.notifications import Notifications as Seen
from edge.rest.answers import Answer, Page
from edge.rest.fields import Body, Cursor, Id, Limit
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.repeats import Once
from edge.rest.services import Caller, ServicesOf
from infra import notifications as stored
from schemas.frames import ErrorCode
from schemas.notifications import Kind, Wishes

router = APIRouter(route_class=Once, tags=["notifications"], responses=refusals(ErrorCode.UNAVAILABLE))


class Notification(Answer):
    """`kind` says why one is told: `mention`, `answer` (one's own has ended unseen), `invitation`, `budget`,
    `deployment`, `training`; others may come. `data` says what it is about, by ids. Newest first is by `created_at`."""

    id: str
    kind: str
    project_id: str
    data: dict[str, str | int]
    occurred_at: datetime
    created_at: datetime
    read: bool


class Notifications(Page[Notification]):
    """`unread` counts all that are unread, on whatever page."""

    unread: int


class Read(Body):
    up_to: Id


class Unread(Answer):
    unread: int


class Channels(Body):
    """By which channels one kind of notification is told."""

    app: bool = Field(default=True, description="On one's own screens.")
    webhook: bool = Field(default=True, description="Through the webhooks of the project that it is about.")
    email: bool = Field(default=False, description="By mail, where it is not read on a screen within 5 minutes.")


class Preferences(Body):
    """What is absent is told by every channel but mail."""

    mention: Channels = Channels()
    answer: Channels = Channels()
    invitation: Channels = Channels()
    budget: Channels = Channels()
    deployment: Channels = Channels()
    training: Channels = Channels()


@router.get("/v1/notifications")
async def notifications(
    services: ServicesOf,
    caller: Caller,
    unread: Annotated[bool, Query(description="Only those that are unread.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Notifications:
    """What happened while the caller was not looking, newest first, for 90 days."""
    after = key_of(cursor)
    async with services.database() as connection:
        found = await stored.page(connection, caller.user_id, unread_only=unread, after=after, limit=limit + 1)
        left = await stored.unread(connection, [caller.user_id])
    listed = page([Notification.model_validate(n) for n in found], limit, lambda n: (n.created_at, n.id))
    return Notifications(data=listed.data, next_cursor=listed.next_cursor, unread=left[caller.user_id])


@router.post("/v1/notifications/read", responses=refusals(ErrorCode.NOT_FOUND))
async def read(services: ServicesOf, caller: Caller, seen: Read) -> Unread:
    """This notification is read, and all below it, on every screen; how many are left."""
    return Unread(unread=await Seen(services.pool, services.redis).read(caller.user_id, seen.up_to))


@router.get("/v1/notifications/preferences")
async def preferences(services: ServicesOf, caller: Caller) -> Preferences:
    """By which channels the caller wants which kind."""
    async with services.database() as connection:
        wanted = await stored.wishes(connection, caller.user_id)
    return Preferences.model_validate({kind: asdict(wishes) for kind, wishes in wanted.items()})


@router.put("/v1/notifications/preferences")
async def set_preferences(services: ServicesOf, caller: Caller, wanted: Preferences) -> Preferences:
    """All of them at once. What was told before stays told."""
    wishes = {kind: Wishes(**getattr(wanted, kind).model_dump()) for kind in Kind}
    async with services.database() as connection:
        try:
            await stored.wish(connection, caller.user_id, wishes)
        except asyncpg.ForeignKeyViolationError:  # the token outlived the person
            raise Refused(ErrorCode.UNAUTHENTICATED) from None
    return wanted

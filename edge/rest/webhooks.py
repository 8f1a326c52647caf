"""A project's webhooks: where its notifications are sent, signed, and what became of each delivery."""

import asyncio
import re
import socket
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec
from fastapi import APIRouter
from pydantic import AfterValidator, Field

from edge import audit
from edge.errors import Forbidden, Refused, invalid
from edge.problems import Conflict
from edge.rest.answers import Answer, Page, Webhook
from edge.rest.changing import Held, changing
from edge.rest.conditional import ChangingOf, ReadingOf
from edge.rest.fields import Body, Cursor, IdInPath, Limit, Said, Text
from edge.rest.openapi import refusals
from edge.rest.pages import key_of, page
from edge.rest.repeats import Once
from edge.rest.services import Caller, Services, ServicesOf
from infra.addresses import is_public
from schemas.frames import ErrorCode
from schemas.ids import new_id
from schemas.notifications import Kind
from schemas.roles import Action, may
from schemas.webhooks import new_secret

if TYPE_CHECKING:
    import asyncpg

router = APIRouter(
    route_class=Once,
    tags=["webhooks"],
    responses=refusals(ErrorCode.UNAVAILABLE, ErrorCode.NOT_FOUND, ErrorCode.FORBIDDEN),
)

_CONFLICT: Final = refusals(HTTPStatus.CONFLICT)

MOST: Final = 20
"""Webhooks of one project: each notification is sent to all of them."""
BOTH_FOR: Final = timedelta(hours=24)
"""How long a secret still signs that another has taken the place of."""
_RESOLVE_WITHIN_S: Final = 2.0

_LIST: Final = """
SELECT id::text, url, kinds, created_by::text, created_at, failing_since, disabled_at, disabled_why
FROM webhooks
WHERE project_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) > ($2, $3::uuid))
ORDER BY created_at, id LIMIT $4
"""
_ONE: Final = """
SELECT id::text, url, kinds, created_by::text, created_at, failing_since, disabled_at, disabled_why
FROM webhooks WHERE project_id = $1 AND id = $2
"""
_MAKE: Final = """
INSERT INTO webhooks (id, project_id, url, kinds, secret, created_by) VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id::text, url, kinds, created_by::text, created_at, failing_since, disabled_at, disabled_why
"""
_CHANGE: Final = """
UPDATE webhooks SET url = coalesce($3, url), kinds = coalesce($4, kinds),
    failing_since = CASE WHEN $5::boolean THEN NULL ELSE failing_since END,
    disabled_why = CASE WHEN $5 THEN NULL WHEN disabled_at IS NULL AND NOT $5 THEN 'by hand' ELSE disabled_why END,
    disabled_at = CASE WHEN $5 THEN NULL WHEN NOT $5 THEN coalesce(disabled_at, now()) ELSE disabled_at END
WHERE project_id = $1 AND id = $2
RETURNING id::text, url, kinds, created_by::text, created_at, failing_since, disabled_at, disabled_why
"""
_ROTATE: Final = """
UPDATE webhooks SET secret_before = secret, secret_before_until = now() + $4, secret = $3
WHERE project_id = $1 AND id = $2
RETURNING id::text, url, kinds, created_by::text, created_at, failing_since, disabled_at, disabled_why
"""
_TEST: Final = """
INSERT INTO webhook_deliveries (id, webhook_id, body)
SELECT $3, id, $4 FROM webhooks WHERE project_id = $1 AND id = $2 AND disabled_at IS NULL RETURNING id
"""
_DELIVERIES: Final = """
SELECT d.id::text, d.body::jsonb ->> 'type' AS type, d.status, d.created_at, d.next_at, d.attempts
FROM webhook_deliveries AS d JOIN webhooks AS w ON w.id = d.webhook_id
WHERE w.project_id = $1 AND w.id = $2 AND ($3::timestamptz IS NULL OR (d.created_at, d.id) < ($3, $4::uuid))
ORDER BY d.created_at DESC, d.id DESC LIMIT $5
"""
_EXISTS: Final = "SELECT EXISTS (SELECT FROM webhooks WHERE project_id = $1 AND id = $2)"


def _url(text: str) -> str:
    parts = urlsplit(text)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\\]", text) or not text.isascii():
        raise ValueError("must be an address as https://host/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("may not hold a user name, a password or a fragment")
    return text


Url = Annotated[Text, Field(max_length=2000), AfterValidator(_url), Said(format="uri", pattern="^https?://")]
Kinds = Annotated[list[Annotated[Kind, Field(strict=False)]], Field(max_length=len(Kind))]


class NewWebhook(Body):
    """`kinds` says which notifications are sent; none, or absent: all, also those that come to be."""

    url: Url
    kinds: Kinds = Field(default=[])


class WebhookChange(Body):
    """What is absent stays. `enabled` true also forgets past failures."""

    url: Url | None = None
    kinds: Kinds | None = None
    enabled: bool | None = None


class WebhookWithSecret(Webhook):
    """`secret` is shown this once: receivers verify signatures with it."""

    secret: str


class Attempt(Answer):
    """`status` is what the receiver answered; without an answer `error` says why."""

    at: datetime
    took_ms: int
    status: int | None
    error: str | None


class Delivery(Answer):
    """`id` is the `webhook-id`. `next_at` is when it is attempted next; null where it is not."""

    id: str
    type: str
    status: Literal["waiting", "delivered", "failed"]
    created_at: datetime
    next_at: datetime | None
    attempts: list[Attempt]


class Testing(Answer):
    """What to look for among the deliveries."""

    delivery_id: str


@router.get("/v1/projects/{project_id}/webhooks")
async def webhooks(
    services: ServicesOf, caller: Caller, project_id: IdInPath, limit: Limit = 50, cursor: Cursor = None
) -> Page[Webhook]:
    """Oldest first; owners and admins see them."""
    await _check_may(services, caller, project_id)
    async with services.database() as connection:
        rows = await connection.fetch(_LIST, project_id, *(key_of(cursor) or (None, None)), limit + 1)
    return page([_webhook(row) for row in rows], limit, lambda w: (w.created_at, w.id))


@router.post("/v1/projects/{project_id}/webhooks", status_code=201, responses=_CONFLICT)
async def create_webhook(
    services: ServicesOf, caller: Caller, project_id: IdInPath, new: NewWebhook
) -> WebhookWithSecret:
    """The project's notifications are sent there from now on, signed as Standard Webhooks has it."""
    await _check_may(services, caller, project_id)
    await _check_address(services, new.url)
    webhook_id, secret = new_id(), new_secret()
    async with changing(services, caller.user_id, project_id, Action.MANAGE_WEBHOOKS, tell=False) as held:
        if await held.connection.fetchval("SELECT count(*) FROM webhooks WHERE project_id = $1", project_id) >= MOST:
            raise Conflict(url=f"The project has {MOST} webhooks already; delete one first.")
        sealed = services.secrets.seal(webhook_id, secret)
        made = _webhook(
            await held.connection.fetchrow(
                _MAKE, webhook_id, project_id, new.url, list(new.kinds), sealed, caller.user_id
            )
        )
        await _note(held, audit.Event.SENSITIVE_CREATE, webhook_id)
    return WebhookWithSecret(secret=secret, **made.model_dump())


@router.get("/v1/projects/{project_id}/webhooks/{webhook_id}")
async def webhook(
    services: ServicesOf, caller: Caller, project_id: IdInPath, webhook_id: IdInPath, reading: ReadingOf
) -> Webhook:
    """Owners and admins see it."""
    await _check_may(services, caller, project_id)
    async with services.database() as connection:
        return reading.tagged(_webhook(await connection.fetchrow(_ONE, project_id, webhook_id)))


@router.patch("/v1/projects/{project_id}/webhooks/{webhook_id}")
async def change_webhook(
    services: ServicesOf,
    caller: Caller,
    project_id: IdInPath,
    webhook_id: IdInPath,
    change: WebhookChange,
    if_match: ChangingOf,
) -> Webhook:
    """One that was switched off, by hand or for its failures, is switched on again by `enabled`."""
    await _check_may(services, caller, project_id)
    if change.url is not None:
        await _check_address(services, change.url)
    async with changing(services, caller.user_id, project_id, Action.MANAGE_WEBHOOKS, tell=False) as held:
        if_match.check(_webhook(await held.connection.fetchrow(_ONE, project_id, webhook_id)))
        kinds = None if change.kinds is None else list(change.kinds)
        row = await held.connection.fetchrow(_CHANGE, project_id, webhook_id, change.url, kinds, change.enabled)
        changed = _webhook(row)
        await _note(held, audit.Event.SENSITIVE_UPDATE, webhook_id)
    return if_match.tagged(changed)


@router.delete("/v1/projects/{project_id}/webhooks/{webhook_id}", status_code=204)
async def delete_webhook(services: ServicesOf, caller: Caller, project_id: IdInPath, webhook_id: IdInPath) -> None:
    """With what is still to be delivered, and the log of what was."""
    async with changing(services, caller.user_id, project_id, Action.MANAGE_WEBHOOKS, tell=False) as held:
        gone = await held.connection.fetchval(
            "DELETE FROM webhooks WHERE project_id = $1 AND id = $2 RETURNING id", project_id, webhook_id
        )
        if gone is None:
            raise Refused(ErrorCode.NOT_FOUND)
        await _note(held, audit.Event.SENSITIVE_DELETE, webhook_id)


@router.post("/v1/projects/{project_id}/webhooks/{webhook_id}/secret")
async def rotate_secret(
    services: ServicesOf, caller: Caller, project_id: IdInPath, webhook_id: IdInPath
) -> WebhookWithSecret:
    """Another secret. For 24 hours each webhook carries a signature with either, so receivers change when they like."""
    secret = new_secret()
    async with changing(services, caller.user_id, project_id, Action.MANAGE_WEBHOOKS, tell=False) as held:
        sealed = services.secrets.seal(webhook_id, secret)
        rotated = _webhook(await held.connection.fetchrow(_ROTATE, project_id, webhook_id, sealed, BOTH_FOR))
        await _note(held, audit.Event.SENSITIVE_UPDATE, webhook_id)
    return WebhookWithSecret(secret=secret, **rotated.model_dump())


@router.post(
    "/v1/projects/{project_id}/webhooks/{webhook_id}/test",
    status_code=202,
    responses=_CONFLICT,
)
async def test_webhook(services: ServicesOf, caller: Caller, project_id: IdInPath, webhook_id: IdInPath) -> Testing:
    """Send one of type `webhook.test`, and see among the deliveries what becomes of it."""
    delivery_id = new_id()
    body = {"type": "webhook.test", "timestamp": datetime.now(UTC), "data": {"project_id": project_id}}
    text = msgspec.json.encode(body).decode()
    async with changing(services, caller.user_id, project_id, Action.MANAGE_WEBHOOKS, tell=False) as held:
        if not await held.connection.fetchval(_EXISTS, project_id, webhook_id):
            raise Refused(ErrorCode.NOT_FOUND)
        if await held.connection.fetchval(_TEST, project_id, webhook_id, delivery_id, text) is None:
            raise Conflict(webhook_id="It is switched off: switch it on first, with `enabled`.")
    return Testing(delivery_id=delivery_id)


@router.get("/v1/projects/{project_id}/webhooks/{webhook_id}/deliveries")
async def deliveries(
    services: ServicesOf,
    caller: Caller,
    project_id: IdInPath,
    webhook_id: IdInPath,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Delivery]:
    """What was sent, or is to be, with every attempt; newest first, for 30 days."""
    await _check_may(services, caller, project_id)
    async with services.database() as connection:
        if not await connection.fetchval(_EXISTS, project_id, webhook_id):
            raise Refused(ErrorCode.NOT_FOUND)
        rows = await connection.fetch(_DELIVERIES, project_id, webhook_id, *(key_of(cursor) or (None, None)), limit + 1)
    found = [Delivery(**dict(row) | {"attempts": msgspec.json.decode(row["attempts"])}) for row in rows]
    return page(found, limit, lambda d: (d.created_at, d.id))


async def _check_may(services: Services, caller: Caller, project_id: str) -> None:
    if not may(await services.access.project_role(caller.user_id, project_id), Action.MANAGE_WEBHOOKS):
        raise Forbidden(project_id, Action.MANAGE_WEBHOOKS)


def _webhook(row: "asyncpg.Record | None") -> Webhook:
    if row is None:
        raise Refused(ErrorCode.NOT_FOUND)
    return Webhook(**row)


async def _check_address(services: Services, url: str) -> None:
    """Refuse what no call would be made to, while there is somebody to tell. It is judged again at each call, where it
    counts; a name that does not resolve now may do so then."""
    if services.settings.private_webhooks:
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise invalid(url="must begin with https://")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_WITHIN_S):
            found = await loop.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # a time-out is one of them
        return
    if not all(is_public(str(address[0])) for *_, address in found):
        raise invalid(url="is an address inside a private network, which may not be called from here")


async def _note(held: Held, event: audit.Event, webhook_id: str) -> None:
    await audit.record(
        held.connection,
        event,
        actor_id=held.user_id,
        project_id=held.project_id,
        thing="webhook",
        webhook_id=webhook_id,
    )

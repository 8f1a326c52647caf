"""Calls webhooks with what is to be delivered, again and again over days where that fails.

What is claimed and not noted, because whoever claimed it died, is attempted again under the same id.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

import aiohttp
import structlog
from prometheus_client import Counter, Gauge

from infra import effects, postgres, webhooks
from infra.addresses import NotPublic, PublicConnector
from infra.patience import patiently
from infra.secrets import Secrets, UnusableSecret
from infra.version import VERSION
from infra.webhooks import Attempt, Claimed, WebhookSettings
from schemas.webhooks import headers
from streams.rules.webhooks import judge

if TYPE_CHECKING:
    import asyncpg

LOOK_S: Final = 1.0
"""Seconds after which is looked for what is due, or was stored by other processes."""
AT_ONCE: Final = 64
"""Attempts under way in one process."""
ATTEMPT_S: Final = 15.0
"""Seconds for an attempt from its beginning to the head of the answer; its body is nobody's concern."""
KEPT: Final = timedelta(days=30)
"""How long the log of deliveries goes back."""
_FORGET_EVERY_S: Final = 3_600.0

log = structlog.get_logger(__name__)

_attempts = Counter("chorus_webhook_attempts_total", "Attempts to deliver a webhook, by what became of it", ["status"])
_disabled = Counter("chorus_webhooks_disabled_total", "Webhooks switched off because of what their receivers answered")
_under_way = Gauge("chorus_webhook_attempts_under_way", "Attempts to deliver a webhook that are under way")


class Deliverer:
    """Delivers what is due.

    Args:
        luck: draws 0 … 1 for each attempt.

    Attributes:
        stored: set by those in this process who have stored something.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        secrets: Secrets,
        settings: WebhookSettings,
        luck: Callable[[], float] = random.random,
    ) -> None:
        effects.check("calling webhooks")
        self._pool = pool
        self._secrets = secrets
        self._settings = settings
        self._luck = luck
        self._busy: set[str] = set()
        self.stored = asyncio.Event()

    async def run(self) -> None:
        """Deliver until cancelled, however long PostgreSQL is away."""
        connector = aiohttp.TCPConnector if self._settings.private_addresses else PublicConnector
        forget_at = monotonic()
        async with (
            aiohttp.ClientSession(
                connector=connector(limit=0, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_S),
                headers={"User-Agent": f"Chorus/{VERSION} (webhooks)", "Content-Type": "application/json"},
            ) as http,
            asyncio.TaskGroup() as attempts,
        ):
            while True:
                self.stored.clear()
                claimed = await patiently("PostgreSQL", postgres.AWAY, self._claim)
                for delivery in claimed:
                    self._busy.add(delivery.webhook_id)
                    attempts.create_task(self._attempt(http, delivery))
                _under_way.set(len(self._busy))
                if not claimed:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_S):
                            await self.stored.wait()
                if monotonic() >= forget_at:
                    forget_at = monotonic() + _FORGET_EVERY_S
                    await patiently("PostgreSQL", postgres.AWAY, self._forget)

    async def _claim(self) -> list[Claimed]:
        async with self._pool.acquire() as connection:
            return await webhooks.claim(connection, self._busy, AT_ONCE - len(self._busy))

    async def _forget(self) -> None:
        async with self._pool.acquire() as connection:
            await webhooks.forget(connection, datetime.now(UTC) - KEPT)

    async def _attempt(self, http: aiohttp.ClientSession, delivery: Claimed) -> None:
        at, began = datetime.now(UTC), monotonic()
        status, error = await self._call(http, delivery, int(at.timestamp()))
        attempt = Attempt(at=at, took_ms=round((monotonic() - began) * 1000), status=status, error=error)
        verdict = judge(delivery.attempts + 1, status, delivery.failing_s, self._luck())

        async def note() -> None:
            async with self._pool.acquire() as connection, connection.transaction():
                await webhooks.note(
                    connection,
                    delivery,
                    attempt,
                    status=verdict.status,
                    again_s=verdict.again_s,
                    disable=verdict.disable,
                )

        await patiently("PostgreSQL", postgres.AWAY, note)
        _attempts.labels(verdict.status).inc()
        if verdict.disable is not None:
            _disabled.inc()
            log.warning("webhook switched off", webhook_id=delivery.webhook_id, why=verdict.disable)
        self._busy.discard(delivery.webhook_id)
        self.stored.set()  # its next delivery may be due

    async def _call(self, http: aiohttp.ClientSession, delivery: Claimed, at: int) -> tuple[int | None, str | None]:
        """The receiver's status, or why there is none. What it says besides is not kept: it may be anything."""
        body = delivery.body.encode()
        try:
            secrets = [self._secrets.open(delivery.webhook_id, box) for box in delivery.secrets]
            # A redirect would lead where nobody has judged the address, and is a failure.
            async with http.post(
                delivery.url, data=body, headers=headers(secrets, delivery.id, at, body), allow_redirects=False
            ) as answer:
                return answer.status, None
        except UnusableSecret:
            return None, "its secret cannot be opened: give it a new one"
        except NotPublic:
            return None, "its address is not public"
        except TimeoutError:
            return None, f"no answer within {ATTEMPT_S:.0f} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return None, type(error).__name__

"""How often a person or an address may ask, counted in Redis for all processes together. See ADR 0033.

For each of them Redis holds one moment: when all that was asked for would have been allowed at the steady rate (the
generic cell rate algorithm; the same as a bucket that fills with time). A script reads and moves it in one step, by
Redis' own clock, so neither processes that ask at once nor clocks that differ allow anybody more. A key goes when its
moment is past, because then it says nothing. While Redis is away each process counts by itself.
"""

import math
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter

from edge.errors import Refused
from edge.limits import Rate
from edge.rest.attempts import Attempts, subscriber
from edge.rest.settings import RestSettings
from infra import redis
from schemas.frames import ErrorCode

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)

_REFUSED: Final = Counter(
    "chorus_http_rate_limited",
    "Requests that came too often, by limit and by who counted (redis, process).",
    ["limit", "by"],
)

# KEYS: the moment. ARGV: µs for each, how many at once. Returns 0, or the µs until there is one to take. A moment
# further ahead than all at once can bring it was written before Redis' clock was set back.
_TAKE: Final = """
local time, each, most = redis.call('TIME'), tonumber(ARGV[1]), tonumber(ARGV[2])
local now = time[1] * 1000000 + time[2]
local moment = math.max(now, math.min(tonumber(redis.call('GET', KEYS[1]) or 0), now + most * each))
local wait = moment - (most - 1) * each - now
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', moment + each), 'PX', math.ceil((moment + each - now) / 1000))
return 0
"""
_GIVE_BACK: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('DECRBY', KEYS[1], ARGV[1]) end
"""


class Limit:
    """Allows everybody the same. Limits of one name and rate are one, in whatever process.

    Args:
        cache: a client that answers or fails within `edge.revocations.CACHE_WITHIN_S`.
    """

    def __init__(self, name: str, rate: Rate, cache: "Redis", reach: redis.Reach) -> None:
        self._name = name
        self._each_us = round(1_000_000 / rate.per_s)
        self._most = rate.burst
        # With the rate in it: while settings change, processes of either do not judge by each other's moments.
        self._prefix = f"limit/{name}/{self._each_us}/{self._most}/"
        self._cache = cache
        self._reach = reach
        self._alone = Attempts(rate)

    async def take(self, whose: str) -> None:
        """Count one request. One round trip; none while Redis is away.

        Args:
            whose: a person's id, or an address; an IPv6 subscriber has a whole /64, which counts as one.

        Raises:
            Refused: `rate_limited`, with the time until the next one is allowed.
        """
        whose, by = subscriber(whose), "process"
        wait_s: float | None = None
        if self._reach.is_due():
            try:
                wait_s = await self._cache.eval(_TAKE, 1, self._prefix + whose, self._each_us, self._most) / 1_000_000
            except redis.AWAY as error:
                self._reach.failed()
                log.warning("limits are counted by each process", error=repr(error))
            else:
                self._reach.answered()
                by = "redis"
        if wait_s is None:
            wait_s = self._alone.take(whose)
        if wait_s:
            _REFUSED.labels(self._name, by).inc()
            raise Refused(ErrorCode.RATE_LIMITED, retry_after_ms=math.ceil(wait_s * 1000))

    async def give_back(self, whose: str) -> None:
        """That request should not count."""
        whose = subscriber(whose)
        self._alone.give_back(whose)
        if self._reach.is_due():
            try:
                await self._cache.eval(_GIVE_BACK, 1, self._prefix + whose, self._each_us)
            except redis.AWAY:
                self._reach.failed()
            else:
                self._reach.answered()


class Limits:
    """Those of REST; each setting says what it counts. `cache` and its `reach` as for a `Limit`."""

    def __init__(self, settings: RestSettings, cache: "Redis", reach: redis.Reach) -> None:

        def limit(name: str, count: int, in_s: int = 60) -> Limit:
            return Limit(name, Rate(per_s=count / in_s, burst=count), cache, reach)

        self.requests_of_people = limit("requests-of-people", settings.requests_per_minute)
        self.requests_of_addresses = limit("requests-of-addresses", settings.anonymous_requests_per_minute)
        self.sign_ups = limit("sign-ups", settings.sign_ups_per_minute)
        self.failed_sign_ins = limit("failed-sign-ins", settings.failed_sign_ins_per_minute)
        self.failed_sign_ins_of_accounts = limit(
            "failed-sign-ins-of-accounts", settings.failed_sign_ins_per_account_per_hour, 3_600
        )
        self.mail_requests = limit("mail-requests", settings.mail_requests_per_minute)
        self.shared_reads = limit("shared-reads", settings.shared_reads_per_minute)

"""How often one address may try, in this process alone.

Several processes allow as many times as much, which still stops a script; to share a limit they need a shared store.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from edge.errors import Refused
from edge.limits import Bucket, Rate
from schemas.frames import ErrorCode

MOST_ADDRESSES: Final = 50_000
"""About 10 MB; beyond it those that tried longest ago are forgotten, who by then may try again anyway."""
_SUBSCRIBER_BITS: Final = 64
"""An IPv6 subscriber has a whole /64 to send from."""


class Attempts:
    """Allows each address so many tries in a minute, as many at once. `now` is in seconds, of any origin."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = Rate(per_s=per_minute / 60, burst=per_minute)
        self._now = now
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, address: str) -> None:
        """Count one try.

        Raises:
            Refused: `rate_limited`, with the time until the next one is allowed.
        """
        subscriber = _subscriber(address)
        bucket = self._buckets.setdefault(subscriber, Bucket(self._rate, self._now()))
        self._buckets.move_to_end(subscriber)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        if wait := bucket.take(self._now()):
            raise Refused(ErrorCode.RATE_LIMITED, retry_after_ms=math.ceil(wait * 1000))

    def give_back(self, address: str) -> None:
        """That try was no attempt at guessing."""
        if bucket := self._buckets.get(_subscriber(address)):
            bucket.give_back()


def _subscriber(address: str) -> str:
    """Who sends from this address: IPv6 gives everybody 2⁶⁴ of them."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a Unix socket's, or what a proxy made up
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> _SUBSCRIBER_BITS << _SUBSCRIBER_BITS))

"""How often somebody may ask, in this process alone: what `edge.rest.limits` falls back to while Redis is away.

Several processes then allow as many times as much, which still stops a script.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from edge.limits import Bucket, Rate

MOST: Final = 50_000
"""People and addresses: about 10 MB. Beyond it those who asked longest ago are forgotten, who by then may ask again
anyway."""
_SUBSCRIBER_BITS: Final = 64
"""An IPv6 subscriber has a whole /64 to send from."""


class Attempts:
    """Allows everybody the same. `now` is in seconds, of any origin."""

    def __init__(self, rate: Rate, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, whose: str) -> float:
        """Take one; returns 0, or the seconds until there is one to take."""
        bucket = self._buckets.setdefault(whose, Bucket(self._rate, self._now()))
        self._buckets.move_to_end(whose)
        if len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
        return bucket.take(self._now())

    def give_back(self, whose: str) -> None:
        """Return one that was taken, and should not count."""
        if bucket := self._buckets.get(whose):
            bucket.give_back()


def subscriber(address: str) -> str:
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

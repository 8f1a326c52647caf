"""How often one address may try: a token bucket for each, in this process alone.

Several processes allow as many times as much, which still stops a script; a limit across processes needs a shared store.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from edge.errors import Refused
from schemas.frames import ErrorCode

MOST_ADDRESSES: Final = 50_000
"""About 10 MB; beyond it those that tried longest ago are forgotten, whose buckets are the fullest."""
_SUBSCRIBER_BITS: Final = 64
"""An IPv6 subscriber has a whole /64 to send from."""


class Attempts:
    """Allows each address so many tries in a minute, as many at once. `now` is in seconds, of any origin."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / 60
        self._now = now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What each bucket held, and when that was."""

    def take(self, address: str) -> None:
        """Count one try.

        Raises:
            Refused: `rate_limited`, with the time until the next one is allowed.
        """
        left = self._refilled(address)
        if left < 1:
            raise Refused(ErrorCode.RATE_LIMITED, retry_after_ms=math.ceil((1 - left) / self._per_second * 1000))
        self._keep(address, left - 1)

    def give_back(self, address: str) -> None:
        """That try was no attempt at guessing."""
        self._keep(address, min(self._most, self._refilled(address) + 1))

    def _refilled(self, address: str) -> float:
        left, since = self._left.get(_subscriber(address), (self._most, self._now()))
        return min(self._most, left + (self._now() - since) * self._per_second)

    def _keep(self, address: str, left: float) -> None:
        key = _subscriber(address)
        self._left[key] = (left, self._now())
        self._left.move_to_end(key)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)


def _subscriber(address: str) -> str:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a test client's name, a Unix socket
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> (128 - _SUBSCRIBER_BITS) << (128 - _SUBSCRIBER_BITS)))

"""Connections by the address they come from. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

_V6_PREFIX: Final = 64
"""Bits of an IPv6 address that say whose it is: the rest a customer chooses freely."""
_UNFINISHED_FACTOR: Final = 2
"""Connections of one address for each that is allowed, those whose handshake is not done included: beyond them the line
is cut without an answer."""

_ANY: Final = ("0.0.0.0/0", "::/0")
NOBODY: Final = ""
"""Whose connections are not counted."""


class Proxies:
    """The proxies whose `X-Forwarded-For` is believed.

    Args:
        addresses: addresses, networks (`10.0.0.0/8`), or `*` for whoever connects.

    Raises:
        ValueError: one of them is neither.
    """

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        self._networks = [ip_network(a) for given in addresses for a in (_ANY if given == "*" else (given,))]

    def trusted(self, address: str) -> bool:
        found = _read(address)
        return found is not None and any(found in network for network in self._networks)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """Where a request comes from: the last address that no proxy of ours wrote down, or the peer itself.

        Args:
            forwarded: the values of all `X-Forwarded-For` headers, in their order.
        """
        at = peer
        for said in reversed([part.strip() for header in forwarded for part in header.split(",")]):
            if not self.trusted(at) or _read(said) is None:
                break
            at = said
        return at


class Crowd:
    """How many connections each address has open here.

    Args:
        most: connections that one address may have open. Loopback has no such end: there it is the operator, or a proxy
            that nobody named, and everybody behind it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def came(self, address: str) -> str | None:
        """Someone connects; what to give back to `left`, or None where the line is to be cut at once."""
        whose = _whose(address)
        if whose == NOBODY:
            return whose
        if self._open[whose] >= _UNFINISHED_FACTOR * self._most:
            return None
        self._open[whose] += 1
        return whose

    def crowded(self, whose: str) -> bool:
        """Whether more are open than may be, the one asking included."""
        return self._open[whose] > self._most

    def left(self, whose: str) -> None:
        if whose == NOBODY:
            return
        self._open[whose] -= 1
        if not self._open[whose]:
            del self._open[whose]


def _whose(address: str) -> str:
    found = _read(address)
    if found is None or found.is_loopback:
        return NOBODY
    return str(IPv6Network((int(found), _V6_PREFIX), strict=False)) if isinstance(found, IPv6Address) else str(found)


def _read(address: str) -> Address | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found

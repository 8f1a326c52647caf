"""Addresses that people give us to call: only those that anybody on the Internet could reach, unless a setting says so.

A server that calls where it is told can be told to call what only it reaches: the metadata service of a cloud, a
database, itself. So the address is judged that is connected to, after its name was resolved, each time.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp.abc import ResolveResult

if TYPE_CHECKING:
    from aiohttp.tracing import Trace

_UNICAST: Final = IPv6Network("2000::/3")
"""RFC 4291: all of IPv6 that is given out. What carries IPv4 in it (RFC 3056, 4380) is refused: nobody needs it."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are an IPv4 address, which a translator calls."""


class NotPublic(Exception):
    """An address that only machines inside can reach."""


def is_public(address: str) -> bool:
    """Whether anybody on the Internet could call this IP address; False for what is none."""
    try:
        ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:
            ip = IPv4Address(int(ip) & 0xFFFF_FFFF)
        elif ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip not in _UNICAST or ip.sixtofour is not None or ip.teredo is not None:
            return False
    return ip.is_global and not ip.is_multicast


class PublicConnector(aiohttp.TCPConnector):
    """Connects to public addresses alone, and to the very one that was judged: a name cannot change in between."""

    async def _resolve_host(self, host: str, port: int, traces: "Sequence[Trace] | None" = None) -> list[ResolveResult]:
        """Raises `NotPublic` where one of its addresses is not: whoever answers so is not to be trusted with others."""
        found = await super()._resolve_host(host, port, traces)
        if not all(is_public(one["host"]) for one in found):
            raise NotPublic("its address is not public")
        return found

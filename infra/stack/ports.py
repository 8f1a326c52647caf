"""Ports of this machine: which are free."""

import random
import socket
from collections import deque
from typing import Final

_PORTS: Final = range(15_000, 32_768)
"""Below those that Linux gives to outgoing connections (`ip_local_port_range`): one of them could be on the port before
the process that it was found for."""

_claims: Final = deque[socket.socket](maxlen=256)
"""What tells other processes that look for a port that this one is spoken for until its server listens: the UDP port of
the same number, held by the finder. The last 256 only, since a file descriptor each is their price; by then their
servers have long begun."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now, and that nobody else who asks here is given."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of `count` such ports in a row."""
    while True:
        first = random.randrange(_PORTS.start, _PORTS.stop - count)  # noqa: S311 - no secret
        ports = range(first, first + count)
        if claims := _claim(ports):
            if all(is_free(port) for port in ports):
                _claims.extend(claims)
                return first
            for claim in claims:
                claim.close()


def _claim(ports: range) -> list[socket.socket]:
    """Hold all of these ports against others who look for one; empty when one of them is held already."""
    claims: list[socket.socket] = []
    for port in ports:
        claims.append(socket.socket(type=socket.SOCK_DGRAM))
        try:
            claims[-1].bind(("127.0.0.1", port))
        except OSError:
            for claim in claims:
                claim.close()
            return []
    return claims


def is_free(port: int) -> bool:
    """Can this port of the loopback address be listened on?"""
    with socket.socket() as probe:
        # As servers do: a connection of an earlier server in TIME_WAIT is no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True

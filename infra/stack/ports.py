"""Ports of this machine: which are free."""

import random
import socket
from itertools import cycle
from typing import Final

_PORTS: Final = range(15_000, 32_768)
"""Below those that Linux gives to outgoing connections (`ip_local_port_range`): one of them could be on the port before
the process that it was found for."""
# In turn, so that nobody here gets one twice before it is listened on; from anywhere, because others do the same.
_turn: Final = cycle(random.sample(_PORTS, len(_PORTS)))


def free_port() -> int:
    """A TCP port of the loopback address that nobody uses now."""
    return next(port for port in _turn if is_free(port))


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

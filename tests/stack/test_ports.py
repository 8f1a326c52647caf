"""A port that is found free is still free when its server begins, though others look for ports at the same time."""

import random
import socket
import subprocess
import sys

import pytest

from infra.stack.ports import free_port, free_ports

SEED = 7
OTHER = f"""
import random
from infra.stack.ports import free_port
random.seed({SEED})
print(*(free_port() for _ in range(20)), flush=True)
input()
"""


def test_two_who_look_at_once_are_given_different_ports() -> None:
    """Two processes that draw the same numbers are given different ports, and both can listen on theirs."""
    other = subprocess.Popen([sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout
        theirs = {int(port) for port in other.stdout.readline().split()}
        random.seed(SEED)
        ours = {free_port() for _ in range(20)}
    finally:
        other.communicate("\n", timeout=10)

    assert len(ours) == len(theirs) == 20
    assert not ours & theirs
    for port in ours:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_row_of_ports_is_free_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ports in a row, none is one on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        draws = iter([taken - 2, taken - 1, taken, taken - 10])
        monkeypatch.setattr(random, "randrange", lambda *_: next(draws))
        assert free_ports(3) == taken - 10

"""What the running stack says about itself: a file in the data folder, and a lock that tells whether it runs."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec


class PartState(msgspec.Struct):
    """One process as `chorus status` shows it.

    Attributes:
        state: `waiting`, `starting`, `ready`, `restarting` or `stopped`.
        since: when it came into this state, seconds since 1970.
        restarts: how often it was started again since the stack was started.
        restarted_at: when that was the last time, seconds since 1970.
        born: the kernel's start time of the process, so that a number used again is not mistaken for it.
    """

    role: str
    name: str
    port: int
    health: str | None = None
    pid: int | None = None
    born: int | None = None
    state: str = "waiting"
    since: float = 0.0
    restarts: int = 0
    restarted_at: float | None = None
    log: str = ""


class StackState(msgspec.Struct):
    """The whole stack.

    Attributes:
        ready: everything has been ready at least once.
        started: seconds since 1970.
    """

    pid: int
    born: int
    started: float
    url: str
    ws_url: str
    parts: list[PartState]
    ready: bool = False


class AlreadyRunning(Exception):
    """Another process holds this data folder."""


def write(data: Path, state: StackState) -> None:
    new = data / "stack.json.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    new.replace(data / "stack.json")


def read(data: Path) -> StackState | None:
    """The last state that was written, by a stack that may be gone; None where there is none."""
    try:
        return msgspec.json.decode((data / "stack.json").read_bytes(), type=StackState)
    except FileNotFoundError:
        return None


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Hold the data folder for as long as this process lives, or until the block ends.

    Raises:
        AlreadyRunning: another process holds it.
    """
    with (data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning from None
        yield


def is_held(data: Path) -> bool:
    """Does a stack run on this data folder?"""
    if not (data / "lock").exists():
        return False
    try:
        with held(data):
            return False
    except AlreadyRunning:
        return True


def born(pid: int) -> int | None:
    """The start time of a process in the kernel's ticks since boot; None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name in brackets, may hold anything; the 22nd of all is the start time.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] == "Z" else int(fields[19])


def leftovers(state: StackState) -> list[int]:
    """Processes of a stack that is gone which still live."""
    return [
        p.pid for p in state.parts if p.pid and p.born is not None and born(p.pid) == p.born and p.pid != os.getpid()
    ]

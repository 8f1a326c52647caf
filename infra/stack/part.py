"""What a part of the local stack is: something with a command, that is ready at some time and can be stopped."""

import asyncio
import re
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

_FAILURE = re.compile(r"FATAL|PANIC|ERROR|[Ee]rror|Exception|[Cc]annot|could not")


class StackError(Exception):
    """Why the stack cannot start, as one sentence that says what to do."""


@dataclass(frozen=True)
class Command:
    """How a part's process is started.

    Attributes:
        env: its whole environment.
        sets_death_signal: the command asks the kernel itself for the signal at its parent's death.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: Path
    sets_death_signal: bool = False


class Part(ABC):
    """One process of the stack, kept running by the supervisor.

    Attributes:
        role: what it is, such as `kafka` or `gateway`.
        name: which one, such as `gateway-0`; the same as the role where there is only ever one.
        title: for people.
        port: where it serves, 0 where it serves nobody.
        needs: names of the parts and steps that must be ready before this starts the first time.
        stop_signal: asks it to stop in order.
        stop_within_s: seconds after which it is killed; over all tiers they sum up to less than 20.
        death_signal: what the kernel sends it when the supervisor is killed.
        advice: a sentence on what to do where it ends while starting.
    """

    role: str
    name: str
    title: str
    port: int = 0
    needs: tuple[str, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 1.0
    death_signal: signal.Signals = signal.SIGTERM
    advice: str = ""

    def prepare(self) -> None:  # noqa: B027 - most parts have nothing to prepare
        """Make what must be there before the process starts; runs before every start, in a thread.

        Raises:
            StackError: it cannot be made.
        """

    @abstractmethod
    def command(self) -> Command: ...

    def log(self, folder: Path) -> Path:
        """Where in the folder of logs its own words are; by default what it prints."""
        return folder / f"{self.name}.out"

    @abstractmethod
    async def ready(self) -> bool:
        """Does it serve? Asked again and again until it does."""

    @property
    def health(self) -> str | None:
        """URL that answers 200 while it can serve; None where the part speaks no HTTP."""
        return None


@dataclass(frozen=True)
class Step:
    """Something done once while the stack starts, such as bringing the database's schema up to date."""

    name: str
    title: str
    needs: tuple[str, ...]
    act: Callable[[], object] = field(repr=False)


def telling_line(lines: Iterable[str]) -> str:
    """Of the last lines that a program wrote the one that says why it ended; empty where it wrote none."""
    heads = [line.strip() for line in lines if line.strip() and not line[0].isspace()]
    failures = [line for line in heads if _FAILURE.search(line)]
    return (failures or heads or [""])[-1]


async def listens(port: int) -> bool:
    """Does something accept connections on this port of this machine?"""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def answers(port: int, request: bytes, expected: bytes) -> bool:
    """Does whatever listens on this port answer `request` with something that begins with `expected`, within 1 s?"""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                return (await reader.read(len(expected))) == expected
            finally:
                writer.close()
    except OSError:  # a TimeoutError too
        return False


async def healthy(port: int, path: str) -> bool:
    """Does GET `path` on this port answer 200?"""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    return await answers(port, request.encode(), b"HTTP/1.1 200")

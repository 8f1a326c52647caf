"""One child process: started in a session of its own, its output kept in a bounded file, gone when we are gone."""

import asyncio
import ctypes
import os
import signal
from collections import deque
from collections.abc import Callable
from pathlib import Path

from infra.stack.part import Part

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded now: after a fork it is too late for anything complicated

_TAIL_LINES = 40


def dies_with_parent(number: signal.Signals) -> Callable[[], None]:
    """For `preexec_fn`: the kernel sends the new process this signal when the thread that starts it ends."""
    parent = os.getpid()

    def ask() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return ask


class BoundedLog:
    """A file that is put aside as `<name>.1` when it is full, in place of the one put aside before.

    What cannot be written is dropped: a full disk must not make a part wait for its own log.
    """

    def __init__(self, path: Path, max_bytes: int = 10 * 1024 * 1024) -> None:
        self._path = path
        self._max_bytes = max_bytes

    def write(self, data: bytes) -> None:
        try:
            if self._path.exists() and self._path.stat().st_size + len(data) > self._max_bytes:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            with self._path.open("ab") as file:
                file.write(data)
        except OSError:
            pass


class Child:
    """A started process of a part.

    Attributes:
        tail: the last lines that it wrote.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: BoundedLog) -> None:
        self._process = process
        self.pid = process.pid
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._copying = asyncio.create_task(self._copy(log))

    @classmethod
    async def start(cls, part: Part, log_dir: Path) -> "Child":
        """Start a part's process, its output going to `<log_dir>/<name>.out`.

        Raises:
            OSError: it cannot be started.
        """
        command = part.command()
        process = await asyncio.create_subprocess_exec(
            *command.argv,
            env=command.env,
            cwd=command.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # A Ctrl-C in the terminal reaches the supervisor alone, which stops the parts in order.
            start_new_session=True,
            preexec_fn=None if command.sets_death_signal else dies_with_parent(part.death_signal),
        )
        return cls(process, BoundedLog(log_dir / f"{part.name}.out"))

    async def _copy(self, log: BoundedLog) -> None:
        assert self._process.stdout is not None
        rest = b""
        while data := await self._process.stdout.read(65_536):
            log.write(data)
            *lines, rest = (rest + data).split(b"\n")
            self.tail.extend(line.decode(errors="replace") for line in lines if line.strip())
            rest = rest[-4096:]

    async def wait(self) -> int:
        """Wait for its end; the exit status, negative where a signal ended it."""
        status = await self._process.wait()
        # What it wrote last says why it ended; a grandchild that holds the pipe must not hold us.
        await asyncio.wait([self._copying], timeout=0.5)
        return status

    def send(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def stop(self, number: signal.Signals, within_s: float) -> bool:
        """Ask it to end; kill it where it does not within the time. True where it ended by itself."""
        self.send(number)
        try:
            async with asyncio.timeout(within_s):
                await self._process.wait()
            return True
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self._process.wait()
            return False
        finally:
            self._copying.cancel()

"""What a process takes, as the kernel and the process itself say: memory, handles, threads, time, lag."""

import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LAG = re.compile(r"^chorus_intake_lag_records\{.*\} (\S+)$", re.MULTILINE)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Taken:
    """What a process and its descendants take at one moment.

    Attributes:
        memory: resident bytes that are nobody else's and in no file: where a leak shows.
        lag: records between what is acknowledged and what there is; None where it reads no topic.
    """

    memory: int
    handles: int
    threads: int
    cpu_s: float
    lag: float | None = None


def taken(pid: int, health: str | None) -> Taken:
    """What it takes now.

    Raises:
        ProcessLookupError: it is gone.
    """
    memory = handles = threads = 0
    cpu_s = 0.0
    for one in _family(pid):
        folder = Path("/proc", str(one))
        try:
            status = (folder / "status").read_text()
            memory += 1024 * _number(status, "RssAnon")
            threads += _number(status, "Threads")
            handles += len(os.listdir(folder / "fd"))
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            cpu_s += (int(fields[11]) + int(fields[12])) / _TICKS
        except (FileNotFoundError, ProcessLookupError) as error:
            if one == pid:
                raise ProcessLookupError(f"process {pid} is gone") from error
    return Taken(memory, handles, threads, cpu_s, _lag(health) if health else None)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path("/proc", str(pid), "task", str(pid), "children").read_text().split()
    except FileNotFoundError:
        return
    for child in children:
        yield from _family(int(child))


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0


def _lag(health: str) -> float | None:
    try:
        with urllib.request.urlopen(health.replace("/readyz", "/metrics"), timeout=2) as answer:
            figures = _LAG.findall(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return None
    return sum(map(float, figures)) if figures else None

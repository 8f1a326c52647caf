"""How far a replay is: a bar on a terminal, elsewhere a line now and then."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from infra.operator.shown import duration

LINE_S = 5.0
"""Seconds between two lines where there is no terminal."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} records/s")


class Bar:
    """Counts records; `with` shows it. Its total grows as the log does."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self.done, self.total = 0, total
        self._began = self._told = time.monotonic()
        self._shown: Progress | None = None
        if sys.stderr.isatty():
            self._shown = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                speed_estimate_period=10,
            )
            self._task = self._shown.add_task(what, total=total)

    def __enter__(self) -> Self:
        if self._shown:
            self._shown.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shown:
            self._shown.stop()

    def advance(self, records: int) -> None:
        self.done += records
        if self._shown:
            self._shown.update(self._task, advance=records)
        elif (now := time.monotonic()) - self._told >= LINE_S:
            self._told = now
            rate = self.done / (now - self._began)
            left = duration((self.total - self.done) / rate) if rate else "?"
            say(f"{self._what}: {self.done:,} of {self.total:,} records, {rate:,.0f} records/s, {left} left")

    def grow(self, total: int) -> None:
        self.total = max(total, self.done)
        if self._shown:
            self._shown.update(self._task, total=self.total)

    def phase(self, what: str) -> None:
        """Say what is done now; it takes its time, and has no records."""
        if self._shown:
            self._shown.update(self._task, description=what)
        else:
            say(what)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201  # what a command says is its output

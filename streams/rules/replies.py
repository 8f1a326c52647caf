"""What is to be done about a request, given what was reported about its run. Pure.

Reports come back from the log: all that were ever made, by whichever worker, in the order of their offsets. The rule
reads them as the conversation does: the first end of the highest attempt that had been started by then is the end.
"""

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct


class Started(Struct, frozen=True):
    """The report that an attempt began."""

    attempt: int


class Ended(Struct, frozen=True):
    """The report that an attempt ended."""

    attempt: int


Report: TypeAlias = Started | Ended


class Call(Struct, frozen=True):
    """Call the agent, as this attempt."""

    attempt: int


class Join(Struct, frozen=True):
    """It is being called here: wait for that."""


class Repeat(Struct, frozen=True):
    """It has ended: make the same report again. It stands at this offset."""

    offset: int


class EndUncalled(Struct, frozen=True):
    """It is to end as this attempt without a call: it was cancelled before one began."""

    attempt: int


Decision: TypeAlias = Call | Join | Repeat | EndUncalled


class Known:
    """What was reported about one run. `newest_ms` is the time of its newest report."""

    __slots__ = ("newest_ms", "reports")

    def __init__(self) -> None:
        self.reports: dict[int, Report] = {}
        self.newest_ms = 0

    @property
    def attempts(self) -> int:
        """The highest attempt that anybody reported."""
        return max((report.attempt for report in self.reports.values()), default=0)

    @property
    def end(self) -> int | None:
        """The offset of the end that counts."""
        started = 0
        for offset, report in sorted(self.reports.items()):
            if isinstance(report, Started):
                started = max(started, report.attempt)
            elif report.attempt >= started:
                return offset
        return None


NOTHING_KNOWN = Known()


def decide(known: Known, *, running: bool, cancelled: bool) -> Decision:
    """What to do about a request.

    Args:
        running: whether this worker is calling the agent for it.
        cancelled: whether its cancel was seen.
    """
    if running:
        return Join()
    if (end := known.end) is not None:
        return Repeat(end)
    attempt = known.attempts + 1
    return EndUncalled(attempt) if cancelled else Call(attempt)


def overtaken(attempt: int, known: Known) -> bool:
    """Whether an attempt that is still running is in vain: the run has ended, or a later attempt was started."""
    return known.end is not None or known.attempts > attempt


def is_ours_alone(attempt: int, offset: int, known: Known) -> bool:
    """Whether an attempt whose beginning stands at this offset is the only one there is, or the last."""
    others = (report.attempt for at, report in known.reports.items() if at != offset)
    return known.end is None and max(others, default=0) < attempt


MARGIN_MS = 60_000
"""How far the clocks of two machines may differ, in milliseconds. 60,000: far more than where time is kept."""


class Memory:
    """The reports and cancels of one partition, from some time on.

    Attributes:
        since_ms: everything that was reported at this time or later is known; nothing yet where it is None.
        read_to: the offset up to which it was known when it was last read. Beyond it stand our own reports, and perhaps
            those of a worker that does not know yet that we took its place.
        doubts: how often it was doubted.
    """

    def __init__(self) -> None:
        self.since_ms: int | None = None
        self.read_to = 0
        self.doubts = 0
        self._runs: dict[str, Known] = {}
        self._cancelled: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._runs) + len(self._cancelled)

    def known(self, run_id: str) -> Known:
        return self._runs.get(run_id, NOTHING_KNOWN)

    def is_cancelled(self, run_id: str) -> bool:
        return run_id in self._cancelled

    def covers(self, run_id: str, requested_ms: int) -> bool:
        """Whether all reports are known that this run can have, first requested at this time, up to its end."""
        end = self.known(run_id).end
        reaches_back = self.since_ms is not None and self.since_ms <= requested_ms - MARGIN_MS
        return reaches_back and (end is None or end < self.read_to)

    def was_read(self, since_ms: int, start: int, end: int, doubts: int) -> None:
        """All reports from this time on, which stand from offset `start` up to, not including, `end`, have been noted.

        Args:
            doubts: how many there had been when the reading began. One that came meanwhile makes it worth nothing.
        """
        if doubts != self.doubts:
            return
        if self.since_ms is None or start > self.read_to:  # what stands between two readings was not read
            self.since_ms = since_ms
        self.since_ms = min(self.since_ms, since_ms)
        self.read_to = end

    def doubt(self) -> None:
        """Something may have been reported since that is not known: it must be read before it is relied on."""
        self.since_ms = None
        self.doubts += 1

    def note(self, run_id: str, offset: int, report: Report, at_ms: int) -> None:
        """A report stands at this offset. Noting it again changes nothing."""
        known = self._runs.setdefault(run_id, Known())
        known.reports[offset] = report
        known.newest_ms = max(known.newest_ms, at_ms)

    def note_cancel(self, run_id: str, at_ms: int) -> None:
        self._cancelled[run_id] = max(at_ms, self._cancelled.get(run_id, 0))

    def forget(self, count: int) -> None:
        """Forget so many, those noted first; what was asked before their time must then be read again."""
        for newest_ms in list(self._forgotten(count)):
            if self.since_ms is not None:
                self.since_ms = max(self.since_ms, newest_ms + 1)

    def _forgotten(self, count: int) -> Iterator[int]:
        for _ in range(min(count, len(self))):
            if self._runs:
                yield self._runs.pop(next(iter(self._runs))).newest_ms
            else:
                yield self._cancelled.pop(next(iter(self._cancelled)))

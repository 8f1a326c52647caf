"""How a benchmark writes its figures down."""

import resource
from dataclasses import dataclass, field


def cpu_seconds() -> float:
    """Processor time that this process has used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@dataclass
class Series:
    """Times of one kind, added in seconds, shown in milliseconds."""

    name: str
    values: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        self.values.append(seconds)

    def at(self, share: float) -> float:
        """The value below which `share` (0 … 1) of all values lie, in milliseconds."""
        ordered = sorted(self.values)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    def __str__(self) -> str:
        return (
            f"{self.name:<46} n {len(self.values):>6}   p50 {self.at(0.5):8.1f}   p99 {self.at(0.99):8.1f}   "
            f"max {self.at(1):8.1f} ms"
        )

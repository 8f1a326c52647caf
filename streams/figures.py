"""The numbers of an intake, for Prometheus."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How an intake goes at one moment; mappings are by partition."""

    in_flight: int
    oldest_in_flight_s: float
    unfinished_records: int
    unfinished_bytes: int
    read: int
    dead_letters: int
    breaker_open: bool
    watermarks: Mapping[int, int]
    lag_records: Mapping[int, int]
    lag_s: Mapping[int, float]


class IntakeFigures(Collector):
    """Asks for the figures whenever somebody reads /metrics, so that nothing is counted twice or forgotten."""

    def __init__(self, topic: str, group: str, figures: Callable[[], Figures]) -> None:
        self._labels = {"topic": topic, "group": group}
        self._figures = figures

    def describe(self) -> Iterator[Metric]:
        """Nothing: names need not be known before there is something to tell."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        now = self._figures()
        yield self._gauge("in_flight", "Records, or batches, being handled", now.in_flight)
        yield self._gauge("oldest_in_flight_seconds", "Age of the longest-running one", now.oldest_in_flight_s)
        yield self._gauge("unfinished_records", "Records read and not acknowledged", now.unfinished_records)
        yield self._gauge("unfinished_bytes", "Their keys and values", now.unfinished_bytes)
        yield self._counter("records_read", "Records read", now.read)
        yield self._counter("dead_letters", "Records put aside as dead letters", now.dead_letters)
        yield self._gauge("breaker_open", "1 where so much failed that nothing more is handled", now.breaker_open)
        yield self._per_partition("watermark", "Offset after the last acknowledged record", now.watermarks)
        yield self._per_partition("lag_records", "Records between there and the partition's end", now.lag_records)
        yield self._per_partition("lag_seconds", "Age of the first unfinished record", now.lag_s)

    def _gauge(self, name: str, help_text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"chorus_intake_{name}", help_text, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _counter(self, name: str, help_text: str, value: float) -> Metric:
        family = CounterMetricFamily(f"chorus_intake_{name}", help_text, labels=list(self._labels))
        family.add_metric(list(self._labels.values()), value)
        return family

    def _per_partition(self, name: str, help_text: str, values: Mapping[int, float]) -> Metric:
        family = GaugeMetricFamily(f"chorus_intake_{name}", help_text, labels=[*self._labels, "partition"])
        for partition, value in values.items():
            family.add_metric([*self._labels.values(), str(partition)], value)
        return family

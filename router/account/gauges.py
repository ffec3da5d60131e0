"""Gauges that are read at a scrape: queues, caches and tables with their limits (law 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Reading = tuple[str, Callable[[], float]]
"""What it is, and how to read it."""


class Gauges(Collector):
    """Named readings."""

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        """Read each of them now."""
        for name, (help_text, read) in self._readings.items():
            yield GaugeMetricFamily(name, help_text, value=float(read()))

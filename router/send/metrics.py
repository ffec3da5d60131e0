"""The health of targets and replicas as Prometheus sees it, read when it looks."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from router.send.health import HealthBook, State


class HealthCollector(Collector):
    """Costs requests nothing; its labels are bounded as the book is."""

    def __init__(self, book: HealthBook) -> None:
        self._book = book

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """State of each breaker, and what is left of each retry budget."""
        breakers = GaugeMetricFamily(
            "graftwork_breaker_state",
            "Circuit breaker of a target, or of a replica: 0 closed, 1 half open, 2 open.",
            labels=["target"],
        )
        budgets = GaugeMetricFamily(
            "graftwork_retry_budget",
            "Retries and hedges that a target may get now, saved up from its requests.",
            labels=["target"],
        )
        paused = GaugeMetricFamily(
            "graftwork_paused_seconds",
            "For how long a target asked to be left alone, by Retry-After.",
            labels=["target"],
        )
        now = time.monotonic()
        for name, health in self._book:
            state = health.breaker.state
            if state is State.OPEN and health.breaker.lets_in(now):
                state = State.HALF_OPEN  # nobody came to look yet
            breakers.add_metric([name], float(state))
            paused.add_metric([name], max(0.0, health.paused_until - now))
            if not name.startswith("replica:"):
                budgets.add_metric([name], health.retries.tokens)
        yield from (breakers, budgets, paused)

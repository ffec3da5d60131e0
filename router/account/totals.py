"""Time, tokens and money by heading, tenant, intent and target, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from router.account.usage import GONE, TIMES, Counts, Group, UsageMeter
from router.stages import TARGET

_LABELS = ("tenant", "intent", "target")


class UsageCollector(Collector):
    """What one router's usage adds up to since it began; a target's name has its version.

    Args:
        meter: counts.
        known: whether a target is still there. What left is one target, so that names stay bounded.
    """

    def __init__(self, meter: UsageMeter, known: Callable[[str], bool] = lambda _: True) -> None:
        self._meter = meter
        self._known = known

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        seconds = CounterMetricFamily(
            "graftwork_usage_seconds",
            "Time of requests by heading; `target` is waiting for who answers.",
            labels=["heading", *_LABELS],
        )
        tokens = CounterMetricFamily(
            "graftwork_usage_tokens", "Tokens that are paid for.", labels=["type", *_LABELS]
        )
        money = CounterMetricFamily(
            "graftwork_usage_cost_usd", "Cost of all calls, US dollars.", labels=_LABELS
        )
        requests = CounterMetricFamily(
            "graftwork_usage_requests", "Requests, by who was chosen last.", labels=_LABELS
        )
        refused = CounterMetricFamily(
            "graftwork_usage_refused", "Of them, those that ended with an error.", labels=_LABELS
        )
        headings = {**TIMES, TARGET: f"{TARGET}_us"}
        for group, counts in self._groups().items():
            for heading, name in headings.items():
                seconds.add_metric([heading, *group], getattr(counts, name) / 1e6)
            tokens.add_metric(["input", *group], counts.input_tokens)
            tokens.add_metric(["output", *group], counts.output_tokens)
            money.add_metric(group, counts.nano_usd / 1e9)
            requests.add_metric(group, counts.requests)
            refused.add_metric(group, counts.refused)
        yield from (seconds, tokens, money, requests, refused)

    def _groups(self) -> dict[Group, Counts]:
        found: dict[Group, Counts] = {}
        for group, counts in self._meter.totals().items():
            shown = group if self._known(group.target) else group._replace(target=GONE)
            found.setdefault(shown, Counts()).add(counts)
        return found

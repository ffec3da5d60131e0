"""Prometheus metrics of the request path; OpenTelemetry's GenAI names where they exist.

Source of the GenAI names and buckets: OpenTelemetry semantic conventions for generative AI.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from router.account.usage import GONE
from router.errors import SecretBlocked
from router.exchange import Exchange
from router.stages import Booked

_DURATION_S = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
FIRST_TOKEN_S = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5, 10)
_PER_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)
_STAGE_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 5, 30)
_LABELS = ("gen_ai_operation_name", "gen_ai_response_model")
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "generate_content",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
NO_TARGET = "none"
_CLIENTS = frozenset({"read", "respond", "last-byte"})
"""Stages that last as long as a client takes to send its body, or to read its answer."""


class StageTimes(Collector):
    """The histogram of every stage's time.

    Counts of its own: a request has two dozen stages, and ``Histogram`` takes a lock for each of
    them, and again for its sum. Belongs to one event loop; read from there too.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[list[int], list[float]]] = {}

    def observe(self, stages: Iterable[Booked]) -> None:
        """Add one request's."""
        for each in stages:
            found = self._seen.get(each.stage)
            if found is None:
                found = self._seen[each.stage] = [0] * (len(_STAGE_S) + 1), [0.0]
            counts, total = found
            counts[bisect_left(_STAGE_S, each.seconds)] += 1
            total[0] += each.seconds

    def collect(self) -> Iterator[Metric]:
        """As Prometheus has it."""
        family = HistogramMetricFamily(
            "graftwork_stage_seconds",
            "Time of each stage of the request path; `target` is waiting for who answers.",
            labels=["stage"],
        )
        for stage, (counts, total) in list(self._seen.items()):
            bounds = [*map(floatToGoString, _STAGE_S), "+Inf"]
            family.add_metric([stage], list(zip(bounds, accumulate(counts), strict=True)), total[0])
        yield family


class RouterMetrics:
    """One process's metrics; labels come from configuration and table, so they are bounded."""

    def __init__(
        self,
        registry: CollectorRegistry,
        in_flight: Callable[[], int],
        known: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._known = known
        self._children: dict[tuple[Any, ...], Any] = {}
        self.requests = Counter(
            "graftwork_requests",
            "Answered and refused inference requests.",
            ("endpoint", "target", "status"),
            registry=registry,
        )
        self.duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "From the request's arrival to its last byte.",
            _LABELS,
            buckets=_DURATION_S,
            registry=registry,
        )
        self.first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request's arrival to the first byte of a streamed answer.",
            _LABELS,
            buckets=FIRST_TOKEN_S,
            registry=registry,
        )
        self.per_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time between tokens of a streamed answer, after the first; mean of each answer.",
            _LABELS,
            buckets=_PER_TOKEN_S,
            registry=registry,
        )
        self.tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens per request.",
            (*_LABELS, "gen_ai_token_type"),
            buckets=_TOKENS,
            registry=registry,
        )
        self.stages = StageTimes()
        registry.register(self.stages)
        self.overhead = Histogram(
            "graftwork_overhead_seconds",
            "Time of a request that waited neither for targets nor for its client.",
            buckets=_STAGE_S,
            registry=registry,
        )
        self.attempts = Counter(
            "graftwork_attempts", "Calls of targets.", ("target", "outcome"), registry=registry
        )
        self.delivery = Counter(
            "graftwork_delivery_events",
            "Candidates skipped, calls hedged, streams rescued or not.",
            ("event",),
            registry=registry,
        )
        self.cost = Counter(
            "graftwork_cost_usd",
            "Money spent on targets, US dollars.",
            ("target",),
            registry=registry,
        )
        self.redactions = Counter(
            "graftwork_redactions",
            "Values that targets were not shown, by kind of data and what became of them; a "
            "request that is refused for a secret counts one, as `block`.",
            ("entity", "action"),
            registry=registry,
        )
        gauge = Gauge(
            "graftwork_requests_in_flight", "Inference requests under way.", registry=registry
        )
        gauge.set_function(lambda: float(in_flight()))
        self.epoch = Gauge(
            "graftwork_table_epoch", "Epoch of the routing table in use.", registry=registry
        )

    def observe(self, exchange: Exchange, stages: Sequence[Booked]) -> None:
        """Book one finished exchange, and the time of its stages."""
        target = self._label(exchange.chosen.target) if exchange.chosen else NO_TARGET
        endpoint = exchange.request.endpoint.value
        labels = (_OPERATIONS[endpoint], target)
        child = self._child
        child(self.requests, endpoint, target, str(exchange.account.status)).inc()
        child(self.duration, *labels).observe(exchange.account.seconds)
        if exchange.request.stream and exchange.account.first_byte_s is not None:
            child(self.first_token, *labels).observe(exchange.account.first_byte_s)
            tokens = exchange.account.usage.output_tokens or 0
            if tokens > 1:
                streaming_s = exchange.account.seconds - exchange.account.first_byte_s
                child(self.per_token, *labels).observe(streaming_s / (tokens - 1))
        if exchange.account.usage.input_tokens is not None:
            child(self.tokens, *labels, "input").observe(exchange.account.usage.input_tokens)
        if exchange.account.usage.output_tokens is not None:
            child(self.tokens, *labels, "output").observe(exchange.account.usage.output_tokens)
        self.stages.observe(stages)
        self.overhead.observe(
            sum([each.seconds for each in stages if each.heading and each.stage not in _CLIENTS])
        )
        for attempt in exchange.delivery.attempts:
            child(self.attempts, self._label(attempt.target), attempt.outcome).inc()
        self._redacted(exchange)
        for note in exchange.delivery.notes:
            child(self.delivery, next(iter(note))).inc()
        if exchange.account.cost_usd:
            child(self.cost, target).inc(exchange.account.cost_usd)

    def _redacted(self, exchange: Exchange) -> None:
        child = self._child
        for option in {each.target: each.option for each in exchange.delivery.attempts}.values():
            for kind, count in exchange.delivery.redactions(option).items():
                child(self.redactions, *kind).inc(count)
        if exchange.account.error == SecretBlocked.code:
            child(self.redactions, "SECRET", "block").inc()

    def _label(self, target: str) -> str:
        return target if self._known(target) else GONE

    def _child(self, metric: Any, *labels: str) -> Any:
        """``metric.labels`` is a third of this module's cost: remember what it returned."""
        key = (metric, *labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*labels)
        return found

    def forget(self, target: str) -> None:
        """Drop a retired target's label values, so that the names stay bounded."""
        for metric in (self.requests, self.attempts, self.cost):
            metric.remove_by_labels({"target": target})
        for histogram in (self.duration, self.first_token, self.per_token, self.tokens):
            histogram.remove_by_labels({"gen_ai_response_model": target})
        self._children = {key: c for key, c in self._children.items() if target not in key}

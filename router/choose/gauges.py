"""How much deciding remembers (law 9) and what local tokens cost, for a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from router.choose.difficulty_source import DifficultySource
from router.choose.learning import Learning
from router.prices import Basis, LocalPricing

Reading = tuple[str, Callable[[], float]]


def readings(learning: Learning) -> dict[str, Reading]:
    """Sizes by metric name; each has its limit where it is kept."""
    return {
        "graftwork_routing_sessions": (
            "Sessions whose target is remembered (routing.sessions.kept).",
            lambda: len(learning.sessions),
        ),
        "graftwork_routing_quality_cells": (
            "Pairs of intent and target with judgements (routing.quality.cells_kept).",
            lambda: len(learning.quality),
        ),
        "graftwork_routing_calibration_cells": (
            "Pairs of intent and target with judged answers; at most 250.",
            lambda: len(learning.calibration),
        ),
        "graftwork_routing_measured_targets": (
            "Targets whose lengths and latencies are known; at most 10000.",
            lambda: len(learning.measured),
        ),
    }


def difficulty_readings(source: DifficultySource) -> dict[str, Reading]:
    """The same of what is known of single requests."""
    return {
        "graftwork_routing_difficulty_heads": (
            "Targets whose requests are told apart by difficulty; at most 64.",
            lambda: source.heads,
        ),
        "graftwork_routing_difficulty_texts": (
            "Vectors of repeated texts that are kept; at most 2048.",
            lambda: source.remembered,
        ),
    }


class PriceGauges(Collector):
    """The local price that new requests get, and the throughput that was measured."""

    def __init__(self, pricing: LocalPricing) -> None:
        self._pricing = pricing

    def collect(self) -> Iterator[Metric]:
        """Of this moment; the throughput has no sample before enough was measured."""
        tariff = self._pricing.current
        price = GaugeMetricFamily(
            "graftwork_local_price_usd_per_mtok",
            "Price of a million local tokens.",
            labels=["kind"],
        )
        price.add_metric(["input"], tariff.price.input_usd * 1e6)
        price.add_metric(["output"], tariff.price.output_usd * 1e6)
        yield price
        yield GaugeMetricFamily(
            "graftwork_local_price_measured",
            "1 when the local price comes from measured throughput.",
            value=float(tariff.basis is Basis.MEASURED),
        )
        ratio = GaugeMetricFamily(
            "graftwork_local_input_tokens_per_output_token",
            "K: price of a generated local token over that of a prompt token.",
        )
        if tariff.ratio is not None:
            ratio.add_metric([], tariff.ratio)
        yield ratio
        rate = GaugeMetricFamily(
            "graftwork_local_tokens_per_busy_second",
            "Computed prompt tokens and generated tokens per busy second of an engine replica.",
            labels=["kind"],
        )
        if (work := tariff.work) is not None and work.busy_s > 0:
            rate.add_metric(["input"], work.input_tokens / work.busy_s)
            rate.add_metric(["output"], work.output_tokens / work.busy_s)
        yield rate

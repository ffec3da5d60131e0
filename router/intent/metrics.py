"""Prometheus metrics of the intents: whether they are fresh, and how much is remembered."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from router.intent.source import IntentSource


class IntentMetrics:
    """Read when they are scraped; no labels."""

    def __init__(self, registry: CollectorRegistry, source: IntentSource) -> None:
        declared = Gauge(
            "graftwork_intents_declared",
            "Intents that model auto can recognise.",
            registry=registry,
        )
        declared.set_function(lambda: len(source.current.names))
        remembered = Gauge(
            "graftwork_intent_verdicts_remembered",
            "Verdicts on repeated texts that are kept, at most 2048.",
            registry=registry,
        )
        remembered.set_function(lambda: source.current.remembered)
        refused = Gauge(
            "graftwork_intent_changes_refused",
            "Changed intents files since the start that could not be used; the log says why.",
            registry=registry,
        )
        refused.set_function(lambda: source.refused)
